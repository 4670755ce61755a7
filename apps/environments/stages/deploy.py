"""Bringing a stack to what its files say, without a gap where a service takes traffic.

A service with the label `flowcontrol.route: "HOSTPORT:CONTAINERPORT"` is reached through the stack's proxy, which has an
explicit target. When it changes, a new container starts beside the old one, gets healthy, and becomes the target; then
the old one may finish what it has begun and is removed. All else is stopped and started.

Killed anywhere: what is up to date by its labels is the new one. Where it is healthy the next attempt switches to it and
removes the old, where it is not it waits; the proxy keeps serving by the target it has.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apps.environments.containers import commands, routing
from apps.environments.containers import proxy as haproxy
from apps.environments.stages.containers import (
    DOWN_SECONDS,
    HEALTHY_SECONDS,
    LOOK_SECONDS,
    STEADY_SECONDS,
    UP_SECONDS,
    compose,
    containers,
    described,
    docker,
    image_on_engine,
    last_lines,
    settle_left_behind,
)
from apps.environments.stages.model import Outcome, Stage, StageFailed
from apps.environments.stages.stand import Stand

HASH_LABEL = "com.docker.compose.config-hash"
DRAIN_SECONDS = 2.0  # between the switch and asking the old one to stop: answers that have begun come to their end
PROXY_SECONDS = 20.0  # until a proxy that was just started listens
STOP_SECONDS = 15  # and how long it may take over that


@dataclass(frozen=True)
class Routed:
    """A container of a service that takes traffic."""

    name: str
    service: str
    is_current: bool  # made from the description and the image as they are now
    state: str
    health: str
    exit_code: int
    restarts: int = 0  # by the engine's restart policy
    deployment: str = ""  # the number of the deployment that made it; "" for none
    release: str = ""  # and the name of the release it was made of
    made_from: str = ""  # our mark of the description it was made from
    has_image: bool = True  # the one that its description names now

    @property
    def is_well(self) -> bool:
        return self.state == "running" and self.health in ("", "healthy")


def deploy(stand: Stand) -> Outcome:
    """Bring the stack to what its files say; what is up to date is left alone."""
    settle_left_behind(stand)
    config = described(stand)
    routes = routing.routes_of(config)
    there = routed(stand, config, config["services"] if routes else {})
    running = {each.service for each in there if each.service in routes and each.state == "running"}
    fresh = sorted(set(routes) - running)
    # The proxy comes after those it points to: made anew, it has somebody to send traffic to at once.
    proxy = routing.proxy_of(config)
    rest = sorted(set(config["services"]) - running - settled(config, there) - {proxy})
    if not running:
        remove(stand, (routing.kept_name(stand.environment.project_name, name) for name in routes))
        docker(stand, compose(stand).up(), timeout=UP_SECONDS, quiet=False)
    elif rest:
        stand.progress(0.2, f"bringing up {', '.join(rest)}")
        docker(stand, compose(stand).up_alone(rest), timeout=UP_SECONDS, quiet=False)
    switched = [name for name in sorted(running) if replace(stand, config, name, routes)]
    if routes:
        if running:
            docker(stand, compose(stand).up_alone([proxy]), timeout=UP_SECONDS, quiet=False)
        point(stand, config, routes, {each.service: each.name for each in newest(stand, config, routes)})
        remove_old(stand, config, routes)
        remove_unknown(stand)
    return Outcome(_told(len(config["services"]), fresh if running else (), switched))


def settled(config: Mapping[str, Any], there: Sequence[Routed]) -> set[str]:
    """The services that run as they are described. Compose itself would make those of them anew that depend on one that takes
    traffic, since it is not told of that one."""
    return {
        name
        for name, service in config["services"].items()
        if routing.MADE_FROM_LABEL in (service.get("labels") or {})
        and (mine := [each for each in there if each.service == name])
        and len(mine) == routing.replicas(service)
        and all(each.is_current and each.state == "running" for each in mine)
    }


def remove_unknown(stand: Stand) -> None:
    """Remove containers of services that the files do not know any more, whichever profiles are on."""
    known = set(docker(stand, compose(stand).services()).split())
    there = [
        line.split() for line in docker(stand, commands.services_there(stand.environment.project_name)).splitlines()
    ]
    gone = [words[0] for words in there if len(words) == 3 and words[1] not in known and words[2] != "True"]
    if gone:
        stand.say(f"removing what the files do not know any more: {', '.join(gone)}")
        for name in gone:
            docker(stand, commands.stop(name, seconds=STOP_SECONDS), timeout=STOP_SECONDS + 30.0)
        docker(stand, commands.remove(gone), timeout=DOWN_SECONDS)


def _told(number: int, fresh: Sequence[str], switched: Sequence[str]) -> str:
    said = [f"{number} services are what the files say"]
    if fresh:
        said.append(f"{', '.join(fresh)} was started anew")
    if switched:
        said.append(f"{', '.join(switched)} was replaced without a gap")
    return "; ".join(said) + "."


def routed(stand: Stand, config: Mapping[str, Any], routes: Iterable[str]) -> list[Routed]:
    """The containers of these services, oldest first; without those that are kept for a rollback."""
    project = stand.environment.project_name
    return [each for each in with_kept(stand, config, routes) if each.name != routing.kept_name(project, each.service)]


def with_kept(stand: Stand, config: Mapping[str, Any], routes: Iterable[str]) -> list[Routed]:
    """The containers of these services, also those that are kept for a rollback."""
    routes, project = set(routes), stand.environment.project_name
    names = docker(stand, commands.containers_of(project)).split()
    if not names or not routes:
        return []
    hashes = _hashes(stand) if any(not _mark(config["services"][name]) for name in routes) else {}
    named = {name: config["services"][name].get("image") or f"{project}-{name}" for name in routes}
    ids = {image: _image_id(stand, image) for image in set(named.values())}
    images = {name: ids[image] for name, image in named.items()}
    found = []
    for each in sorted(json.loads(docker(stand, commands.inspect(names))), key=lambda each: each["Created"]):
        labels, state = each["Config"]["Labels"], each["State"]
        service = labels.get(commands.SERVICE_LABEL, "")
        if service in routes:
            has_image = images[service] == each["Image"]
            current = has_image and _is_described(labels, config["services"][service], hashes.get(service, ""))
            health = (state.get("Health") or {}).get("Status", "")
            found.append(
                Routed(
                    name=each["Name"].lstrip("/"),
                    service=service,
                    is_current=current,
                    state=state["Status"],
                    health=health,
                    exit_code=state["ExitCode"],
                    restarts=each.get("RestartCount", 0),
                    deployment=labels.get(routing.DEPLOYMENT_LABEL, ""),
                    release=labels.get(routing.RELEASE_LABEL, ""),
                    made_from=labels.get(routing.MADE_FROM_LABEL, ""),
                    has_image=has_image,
                )
            )
    return found


def _hashes(stand: Stand) -> dict[str, str]:
    """What compose itself would write on the containers of each service."""
    return dict(line.split() for line in docker(stand, compose(stand).hashes()).splitlines() if line.strip())


def _mark(service: Mapping[str, Any]) -> str:
    return str((service.get("labels") or {}).get(routing.MADE_FROM_LABEL, ""))


def _is_described(labels: Mapping[str, str], service: Mapping[str, Any], compose_hash: str) -> bool:
    """Whether a container was made from the description as it is now: by our own mark where the files have it."""
    if mark := _mark(service):
        return labels.get(routing.MADE_FROM_LABEL) == mark
    return labels.get(HASH_LABEL) == compose_hash


def _image_id(stand: Stand, image: str) -> str:
    """What the name stands for on the engine now; "" where it is not there yet."""
    if image.startswith("sha256:"):
        return image
    return str((image_on_engine(stand, image) or {}).get("Id", ""))


# --- one service that takes traffic ----------------------------------------------------------------------


def replace(stand: Stand, config: Mapping[str, Any], service: str, routes: Mapping[str, tuple[int, int]]) -> bool:
    """Where a service differs from its description, start a new container beside it and wait until it is healthy. Returns
    whether it differed. Raises StageFailed; then the old one still serves and the new one is gone."""
    mine = [each for each in routed(stand, config, routes) if each.service == service]
    if mine and all(each.is_current for each in mine):
        return False
    start_beside(stand, mine, service)
    try:
        await_current(stand, config, service, routes)
    except StageFailed:
        new = [each.name for each in routed(stand, config, routes) if each.service == service and each.is_current]
        docker(stand, commands.remove(new), timeout=DOWN_SECONDS) if new else None
        raise
    return True


def start_beside(stand: Stand, mine: Sequence[Routed], service: str) -> None:
    """Start a new container of the service beside those it has, unless one that is as described runs already. What is kept
    of an earlier one goes: compose would start it in place of a new one."""
    if any(each.is_current and each.state in ("running", "restarting") for each in mine):
        return
    # Those of an attempt that was killed are made again, too.
    gone = [each.name for each in mine if each.is_current]
    remove(stand, [*gone, routing.kept_name(stand.environment.project_name, service)])
    stand.progress(0.5, f"starting a new {service} beside the old")
    number = sum(each.name not in gone for each in mine) + 1
    docker(stand, compose(stand).one_more(service, number), timeout=UP_SECONDS, quiet=False)


def remove(stand: Stand, names: Iterable[str]) -> None:
    """Remove those of these containers that are there."""
    there = docker(stand, commands.containers_of(stand.environment.project_name)).split()
    if found := sorted(set(names) & set(there)):
        docker(stand, commands.remove(found), timeout=DOWN_SECONDS)


def await_current(stand: Stand, config: Mapping[str, Any], service: str, routes: Iterable[str]) -> None:
    deadline = time.monotonic() + HEALTHY_SECONDS
    is_steady = False
    while True:
        new = [each for each in routed(stand, config, routes) if each.service == service and each.is_current]
        if any(each.is_well and (each.health or is_steady) for each in new):
            return
        if is_steady := any(each.is_well for each in new):
            stand.wait(STEADY_SECONDS)
            continue
        bad = next((each for each in new if each.state in ("exited", "dead") or each.health == "unhealthy"), None)
        if bad or not new or time.monotonic() > deadline:
            how = f"ended with status {bad.exit_code}" if bad and bad.state == "exited" else "does not get healthy"
            raise StageFailed(
                f"The new {service} {how}; the old one still serves.",
                hint="Mend it and bring the stack up again.",
                tail=last_lines(stand, new[0].name) if new else (),
            )
        stand.progress(0.6, f"waiting for the new {service}")
        stand.wait(LOOK_SECONDS)


def newest(stand: Stand, config: Mapping[str, Any], routes: Mapping[str, Any]) -> list[Routed]:
    """One container a service to send traffic to: a current one that is well, else whichever there is."""
    best: dict[str, tuple[tuple[bool, bool], Routed]] = {}
    for each in routed(stand, config, routes):
        key = (each.is_current, each.is_well)
        if each.service not in best or key >= best[each.service][0]:
            best[each.service] = (key, each)
    return [each for _, each in best.values()]


def point(
    stand: Stand, config: Mapping[str, Any], routes: Mapping[str, tuple[int, int]], targets: Mapping[str, str]
) -> None:
    """Let the proxy send each route's traffic to its target. Done again it changes nothing; no answer is cut off."""
    proxy = proxy_container(stand, routing.proxy_of(config))
    wanted = {routes[service][0]: (name, routes[service][1]) for service, name in targets.items()}
    deadline = time.monotonic() + PROXY_SECONDS
    while not _points(stand, proxy, wanted):
        if time.monotonic() > deadline:
            raise StageFailed(
                "The proxy does not take its new target; it goes on with the one it has.",
                hint="See its log, and bring the stack up again.",
                tail=last_lines(stand, proxy),
            )
        stand.wait(LOOK_SECONDS / 4)
    stand.say(f"the proxy sends traffic to {', '.join(name for name, _ in wanted.values())}")


def _points(stand: Stand, proxy: str, wanted: Mapping[int, tuple[str, int]]) -> bool:
    """Whether each port's traffic goes to the address of its container now; where not, the proxy is told to. A proxy that
    has just been started does not listen at once: no, then."""
    addresses = _addresses(stand, proxy, {name for name, _ in wanted.values()})
    try:
        state = stand.run(haproxy.ask_command(proxy), timeout=30, stdin=haproxy.SHOW, quiet=True)
        now = haproxy.targets(state)
        orders = [haproxy.point(port, name) for port, (name, _) in wanted.items() if now[port].host != name]
        # The address at once, too: by its name alone the proxy would ask for it a second later.
        orders += [
            haproxy.aim(port, min(addresses[name]), inner)
            for port, (name, inner) in wanted.items()
            if addresses[name] and (now[port].address not in addresses[name] or now[port].port != inner)
        ]
        if orders:
            stand.run(haproxy.ask_command(proxy), timeout=30, stdin="".join(orders), quiet=True)
        if orders or any(now[port].address not in addresses[name] for port, (name, _) in wanted.items()):
            return False
        stand.run(haproxy.save_command(proxy), timeout=30, stdin=state, quiet=True)
    except (StageFailed, KeyError):
        return False
    return True


def _addresses(stand: Stand, proxy: str, names: Iterable[str]) -> dict[str, set[str]]:
    """The addresses of containers on the networks that the proxy is on, too."""
    found = {each["Name"].lstrip("/"): each for each in json.loads(docker(stand, commands.inspect([proxy, *names])))}
    networks = {name: each["NetworkSettings"]["Networks"] for name, each in found.items()}
    return {
        name: {net["IPAddress"] for key, net in mine.items() if key in networks[proxy] and net["IPAddress"]}
        for name, mine in networks.items()
    }


def proxy_container(stand: Stand, service: str) -> str:
    found = next((each.name for each in containers(stand) if each.service == service), None)
    if found is None:
        raise StageFailed("The stack's proxy is not there.", hint="Bring the stack down and up again.")
    return found


def remove_old(stand: Stand, config: Mapping[str, Any], routes: Mapping[str, tuple[int, int]]) -> None:
    """Let containers finish that are no target any more, and remove them."""
    kept = {each.name for each in newest(stand, config, routes)}
    old = [each.name for each in routed(stand, config, routes) if each.name not in kept]
    if not old:
        return
    stand.progress(0.9, f"letting {', '.join(old)} finish")
    stand.wait(DRAIN_SECONDS)
    for name in old:
        docker(stand, commands.stop(name, seconds=STOP_SECONDS), timeout=STOP_SECONDS + 30.0)
    docker(stand, commands.remove(old), timeout=DOWN_SECONDS)


DEPLOY = Stage("deploy", "Deploy services", deploy, again=True)
