"""Bringing a stack to what a stand describes: the same steps forward to a release and back to the one before.

Each step asks the engine what is there and does what is missing, so each can be done again, by whoever goes on.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from apps.deployments.stages.stand import DeploymentStand
from apps.environments.containers import commands, routing
from apps.environments.containers import proxy as haproxy
from apps.environments.stages import deploy
from apps.environments.stages.containers import UP_SECONDS, compose, docker, last_lines, settle_left_behind
from apps.environments.stages.model import StageFailed

PROBE_SECONDS = 20.0  # until a new container has to answer well
PROBE_LOOK_SECONDS = 0.3
ENDED_SECONDS = 1800.0  # that a service may take over what it does once


def has_state(config: Mapping[str, Any], service: str) -> bool:
    """Whether a service keeps something in a volume with a name: it stays in place, and is changed where it stands."""
    mounts = config["services"][service].get("volumes") or ()
    return any(each.get("type") == "volume" and each.get("source") for each in mounts)


def ending(config: Mapping[str, Any]) -> set[str]:
    """The services for whose end another waits: migrations, mostly."""
    awaited = (each.get("depends_on") or {} for each in config["services"].values())
    return {
        name
        for each in awaited
        if isinstance(each, Mapping)
        for name, how in each.items()
        if (how or {}).get("condition") == "service_completed_successfully"
    }


def prepare(stand: DeploymentStand) -> list[str]:
    """Start what has to be there before traffic moves: new services, those that keep state where they differ, what does its
    work once before others start, and beside each changed service that takes traffic a new container. Returns the names of
    the services that differed.

    Where nothing of the stack serves yet, all of it is started. On the way back what works once comes after the traffic.
    """
    settle_left_behind(stand)
    config, routes = stand.config, stand.routes
    there = stand.there()
    serving = {each.service for each in there if each.service in routes and each.state == "running"}
    changed = stand.changed()
    if not serving and (routes or not there):
        if changed:
            _drop_kept(stand, routes)
            docker(stand, compose(stand).up(), timeout=UP_SECONDS, quiet=False)
    else:
        proxy = routing.proxy_of(config)
        known = {each.service for each in there}
        once = ending(config) - set(routes)
        before = {name for name in changed - serving - {proxy} if name not in known or has_state(config, name)}
        first = sorted((before | (changed & once)) if stand.is_forward else (before - once))
        if first:
            stand.progress(0.2, f"bringing up {', '.join(first)}")
            docker(stand, compose(stand).up_alone(first), timeout=UP_SECONDS, quiet=False)
        if stand.is_forward:
            _await_ended(stand, once)
        for name in sorted(changed & serving):
            _start_one(stand, name)
    fresh = sorted(changed & set(routes))
    for name in fresh:
        deploy.await_current(stand, config, name, routes)
    return sorted(changed)


def _await_ended(stand: DeploymentStand, services: Iterable[str]) -> None:
    """Wait until those of these that run as described have done their work. Raises StageFailed for one that fails in it."""
    deadline = time.monotonic() + ENDED_SECONDS
    while True:
        mine = [each for each in deploy.routed(stand, stand.config, services) if each.is_current]
        bad = next((each for each in mine if each.state in ("exited", "dead") and each.exit_code), None)
        busy = sorted({each.service for each in mine if each.state in ("created", "running", "restarting")})
        if bad or (busy and time.monotonic() > deadline):
            how = f"{bad.service} ended with status {bad.exit_code}" if bad else f"{', '.join(busy)} does not end"
            name = bad.name if bad else next(each.name for each in mine if each.service == busy[0])
            raise StageFailed(
                f"{how}; the old release still serves.",
                hint="What it has written by then stays written. Mend it, make another release, and deploy that.",
                tail=last_lines(stand, name),
            )
        if not busy:
            return
        stand.progress(0.3, f"waiting for the end of {', '.join(busy)}")
        stand.wait(PROBE_LOOK_SECONDS)


def _drop_kept(stand: DeploymentStand, services: Iterable[str]) -> None:
    project = stand.environment.project_name
    deploy.remove(stand, (routing.kept_name(project, name) for name in services))


def _start_one(stand: DeploymentStand, service: str) -> None:
    """A new container of the service beside the old; the one kept of a rollback's release, where it is that."""
    project = stand.environment.project_name
    name = routing.kept_name(project, service)
    kept = [each for each in deploy.with_kept(stand, stand.config, [service]) if each.name == name]
    mine = deploy.routed(stand, stand.config, [service])
    if kept and kept[0].is_current and not any(each.is_current for each in mine):
        stand.progress(0.5, f"starting the {service} that was kept")
        revive(stand, service)
        return
    deploy.start_beside(stand, mine, service)


def revive(stand: DeploymentStand, service: str) -> str:
    """Start the container of a service that was kept, under a name like the others'. Returns that."""
    name = _free_name(stand, service)
    docker(stand, commands.rename(routing.kept_name(stand.environment.project_name, service), name), timeout=30.0)
    policy = str(stand.config["services"][service].get("restart") or "no")
    docker(stand, commands.restart_policy(name, policy), timeout=30.0)
    docker(stand, commands.start([name]), timeout=UP_SECONDS)
    return name


def _free_name(stand: DeploymentStand, service: str) -> str:
    taken = set(docker(stand, commands.containers_of(stand.environment.project_name)).split())
    names = (f"{stand.environment.project_name}-{service}-{number}" for number in range(1, 1000))
    return next(each for each in names if each not in taken)


# --- traffic ---------------------------------------------------------------------------------------------


def targets(stand: DeploymentStand) -> dict[str, str]:
    """Service → the container to which its traffic is to go."""
    return {each.service: each.name for each in deploy.newest(stand, stand.config, stand.routes)}


def proxy(stand: DeploymentStand) -> str:
    return deploy.proxy_container(stand, routing.proxy_of(stand.config))


def probe(stand: DeploymentStand, service: str, container: str) -> int:
    """The status of a new container's answer, asked from the proxy's network. Raises StageFailed where it answers 500 or
    above, or not at all, until PROBE_SECONDS have passed."""
    path = str((stand.config["services"][service].get("labels") or {}).get(routing.PROBE_LABEL, "/"))
    command = haproxy.probe_command(proxy(stand), container, stand.routes[service][1], path)
    deadline = time.monotonic() + PROBE_SECONDS
    while True:
        try:
            status = int(stand.run(command, timeout=30.0, quiet=True))
            told = f"answers {status}"
        except StageFailed as failure:
            status, told = 0, f"does not answer ({' '.join(failure.tail[-1:]) or 'no word'})"
        if 0 < status < 500:
            return status
        if time.monotonic() > deadline:
            raise StageFailed(
                f"The new {service} {told} at {path}.",
                hint="Its last lines stand below. Another path to ask is set by the label flowcontrol.probe.",
                tail=last_lines(stand, container),
            )
        stand.progress(0.5, f"the new {service} {told}")
        stand.wait(PROBE_LOOK_SECONDS)


def switch(stand: DeploymentStand) -> list[str]:
    """Send traffic to the containers that are as described, then change the services that take none: stopped and started.
    Returns the names of those."""
    config, routes, changed = stand.config, stand.routes, stand.changed()
    if routes:
        name = routing.proxy_of(config)
        if name in changed:
            docker(stand, compose(stand).up_alone([name]), timeout=UP_SECONDS, quiet=False)
        deploy.point(stand, config, routes, targets(stand))
    rest = sorted(changed - set(routes) - {routing.proxy_of(config)})
    if rest:
        stand.progress(0.6, f"changing {', '.join(rest)}")
        docker(stand, compose(stand).up_alone(rest), timeout=UP_SECONDS, quiet=False)
    return rest


def settle(stand: DeploymentStand, *, keep: bool, since: float = 0.0) -> list[str]:
    """Let the containers that take traffic no more finish, and stop them; `since` are the seconds for which they have taken
    none. The newest of each service is kept for a
    rollback (`keep`); the others are removed, as is what the files do not know any more. Returns what is kept."""
    config, routes = stand.config, stand.routes
    serving = set(targets(stand).values())
    everything = deploy.with_kept(stand, config, routes)
    project = stand.environment.project_name
    old = [
        each
        for each in everything
        if each.name not in serving and each.name != routing.kept_name(project, each.service)
    ]
    if any(each.state == "running" for each in old):
        stand.wait(max(0.0, deploy.DRAIN_SECONDS - since))
    for each in old:
        if each.state == "running":
            docker(stand, commands.stop(each.name, seconds=deploy.STOP_SECONDS), timeout=deploy.STOP_SECONDS + 30.0)
    heirs = {each.service: each.name for each in old if not each.is_current} if keep else {}
    gone = {each.name for each in old} - set(heirs.values())
    gone |= {routing.kept_name(project, service) for service in (heirs if keep else routes)}
    deploy.remove(stand, gone)
    for service, name in heirs.items():
        # With its own policy the engine would start it again after a restart of its own.
        docker(stand, commands.restart_policy(name, "no"))
        docker(stand, commands.rename(name, routing.kept_name(project, service)))
    deploy.remove_unknown(stand)
    return sorted(heirs)
