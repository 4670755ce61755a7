"""Stages that build, start, watch and stop the containers of a stack."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from apps.environments.containers import commands, explain, routing
from apps.environments.containers.commands import Compose
from apps.environments.snapshots import pausing
from apps.environments.stages import stack
from apps.environments.stages.model import Outcome, Stage, StageFailed
from apps.environments.stages.platform import check_port, is_local
from apps.environments.stages.stand import Stand

BUILD_SECONDS = 1800.0
UP_SECONDS = 600.0
DOWN_SECONDS = 180.0
ASK_SECONDS = 30.0
HEALTHY_SECONDS = 180.0
LOOK_SECONDS = 1.0
STEADY_SECONDS = 1.0  # that a container without a health check has to run before it counts as well
TAIL_LINES = 20
MOST_RESTARTS = 3  # of a container, while it is waited for
# Compose renames a container that it replaces; killed in between, the renamed one keeps the next `up` from passing.
_LEFT_BEHIND = re.compile(r"[0-9a-f]{12}_.+")


def compose(stand: Stand) -> Compose:
    environment = stand.environment
    return Compose(
        environment.project_name, (*stand.files, *stand.added), stack.settings_file(environment), stand.files_folder
    )


def docker(stand: Stand, command: Sequence[str], *, timeout: float = ASK_SECONDS, quiet: bool = True) -> str:
    """Run a docker command; when it fails, with what to do about that."""
    try:
        return stand.run(command, timeout=timeout, quiet=quiet)
    except StageFailed as failure:
        raise StageFailed(
            failure.message, hint=explain.hint(failure.tail) or failure.hint, tail=failure.tail
        ) from failure


def image_on_engine(stand: Stand, image: str) -> dict[str, Any] | None:
    """What the engine says of an image; None where it has none of that name. Raises StageFailed where it says nothing."""
    try:
        return dict(json.loads(stand.run(commands.inspect_image(image), timeout=ASK_SECONDS, quiet=True))[0])
    except StageFailed as failure:
        if any("no such image" in line.lower() for line in failure.tail):
            return None
        raise


# --- what the file says ---------------------------------------------------------------------------------


def check_config(stand: Stand) -> Outcome:
    """The compose file is whole, each variable it asks for has a value, and the ports it publishes can be had.

    Where services take traffic by a label, a proxy is added to the stack.
    """
    config = described(stand)
    if is_local(stand):
        for port in _published(config):
            check_port(stand, port, "change the published port in the compose file")
    services = sorted(config["services"])
    return Outcome(f"{len(services)} service{'s'[: len(services) != 1]}: {', '.join(services)}.")


def described(stand: Stand) -> dict[str, Any]:
    """The configuration as its file is now, with what is added to it written anew. Flow Control's own stack has its proxy in
    its file."""
    added = stack.added_file(stand.environment)
    added.unlink(missing_ok=True)  # what the file itself says is asked for first
    try:
        routing.write_added(added, configuration(stand), has_proxy=stand.environment.runs_ourselves)
    except routing.RouteInvalid as error:
        raise StageFailed(error.message, hint=error.hint) from error
    return configuration(stand)


def configuration(stand: Stand) -> dict[str, Any]:
    """The stack's description with its variables filled in. Raises StageFailed with the file and the line."""
    lines: list[str] = []
    path = stack.compose_file(stand.environment)
    if not path.exists():
        raise StageFailed(f"There is no file {path}.", hint="Restore it, or name another for this environment.")
    try:
        said = stand.run(compose(stand).config(), timeout=ASK_SECONDS, hear=lines.append)
    except StageFailed as failure:
        lines = [*lines, *failure.tail]
        _check_missing(stand, lines)
        line, words = explain.mistake(lines, path.read_text(encoding="utf-8"))
        place = f"{path}, line {line}" if line else str(path)
        raise StageFailed(f"{place}: {words}", hint=explain.hint(lines) or failure.hint, tail=failure.tail) from failure
    _check_missing(stand, lines)
    config: dict[str, Any] = json.loads(said)
    return config


def _check_missing(stand: Stand, lines: Iterable[str]) -> None:
    """Compose makes an empty text of a variable without a value, and goes on: a password would be empty."""
    import difflib

    missing = explain.missing_variables(lines)
    if not missing:
        return
    known = sorted(stand.variables)
    near = [
        f"{name} (is {found[0]} meant?)" if (found := difflib.get_close_matches(name, known, 1)) else name
        for name in missing
    ]
    slug = stand.environment.slug
    raise StageFailed(
        f"The compose file asks for {', '.join(near)}, which {'has' if len(near) == 1 else 'have'} no value.",
        hint=f"Set it: `manage.py environment variable set {slug} {missing[0]} VALUE`, or `secret set` for a secret; or give it a default in the file.",
    )


def _published(config: dict[str, Any]) -> list[int]:
    found = [port.get("published") for service in config["services"].values() for port in service.get("ports", ())]
    return [int(each) for each in found if str(each or "").isdigit()]


# --- build, start ----------------------------------------------------------------------------------------


def build_images(stand: Stand) -> Outcome:
    """Build what the file says how to build; layers that have not changed are taken from the cache."""
    services = configuration(stand)["services"]
    built = {
        name: each.get("image") or f"{stand.environment.project_name}-{name}"
        for name, each in services.items()
        if each.get("build")
    }
    if not built:
        return Outcome("No service is built: every image comes ready.", skipped=True)
    stand.progress(0.1, f"building {', '.join(sorted(set(built.values())))}")
    docker(stand, compose(stand).build(), timeout=BUILD_SECONDS, quiet=False)
    return Outcome("; ".join(_described(stand, image) for image in sorted(set(built.values()))) + ".")


def _described(stand: Stand, image: str) -> str:
    found = json.loads(docker(stand, commands.inspect_image(image)))[0]
    return f"{image} is {found['Id'][7:19]}, {found['Size'] / 1000**2:.0f} MB"


def start_containers(stand: Stand) -> Outcome:
    """Create and start what is not there or differs from the file; what is up to date is left alone."""
    settle_left_behind(stand)
    stand.progress(0.3, "starting containers")
    docker(stand, compose(stand).up(), timeout=UP_SECONDS, quiet=False)
    found = containers(stand)
    return Outcome(f"{len(found)} container{'s'[: len(found) != 1]} of {stand.environment.project_name}.")


def build_and_start(stand: Stand) -> Outcome:
    built = build_images(stand)
    started = start_containers(stand)
    return started if built.skipped else Outcome(f"{started.message} {built.message}")


def settle_left_behind(stand: Stand) -> None:
    """End what an `up` that was killed has begun. Compose makes the new container beside the old under another name, takes
    the old one away and gives the new one its name; it stumbles over the new one under its first name.

    Where the old one is gone, the new one may be all that holds their volumes without a name: it gets its name. What a save
    of its state has left paused, the machine having gone down under it, goes on.
    """
    if left_paused := pausing.unpause_left(stand.environment):
        stand.say(f"unpausing what an interrupted save has left behind: {', '.join(left_paused)}")
    names = docker(stand, commands.containers_of(stand.environment.project_name)).split()
    left = {name: name.partition("_")[2] for name in names if _LEFT_BEHIND.fullmatch(name)}
    heirs = {meant: name for name, meant in left.items() if meant not in names}
    for meant, name in heirs.items():
        stand.say(f"giving {name} of an interrupted start its name {meant}")
        docker(stand, commands.rename(name, meant))
    if rest := [name for name in left if name not in heirs.values()]:
        stand.say(f"removing what an interrupted start has left behind: {', '.join(rest)}")
        docker(stand, commands.remove(rest), timeout=DOWN_SECONDS)


# --- what runs -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Container:
    """A container of the stack as compose tells of it."""

    name: str
    service: str
    state: str
    health: str
    exit_code: int

    @property
    def is_well(self) -> bool:
        """Healthy, or running where it has no health check; a one-off that has done its work."""
        return (self.state == "running" and self.health in ("", "healthy")) or self.is_done

    @property
    def is_done(self) -> bool:
        return self.state == "exited" and self.exit_code == 0


def containers(stand: Stand) -> list[Container]:
    """Those of the stack, without what is kept for a rollback."""
    said = docker(stand, compose(stand).containers())
    rows = [json.loads(line) for line in said.splitlines() if line.strip()]
    found = (Container(row["Name"], row["Service"], row["State"], row["Health"], int(row["ExitCode"])) for row in rows)
    project = stand.environment.project_name
    return sorted(
        (each for each in found if each.name != routing.kept_name(project, each.service)), key=lambda each: each.name
    )


def await_health(stand: Stand) -> Outcome:
    """Wait until each service is well; one without a health check is when it still runs after a moment. Raises StageFailed
    with the last lines of the first that fails."""
    config = configuration(stand)
    wanted = _wanted(config)
    deadline = time.monotonic() + HEALTHY_SECONDS
    is_steady = False
    while True:
        found = containers(stand)
        for each in found:
            _check_failed(stand, each, config)
        well = {each.service for each in found if each.is_well}
        waiting = sorted(wanted - well | {each.service for each in found if not each.is_well})
        if not waiting and (is_steady or all(each.health or each.is_done for each in found)):
            return Outcome(f"{len(wanted)} of {len(wanted)} services are healthy.")
        if is_steady := not waiting:
            stand.wait(STEADY_SECONDS)
            continue
        if time.monotonic() > deadline:
            name = next((each.name for each in found if each.service == waiting[0]), "")
            raise StageFailed(
                f"{waiting[0]} did not get healthy within {HEALTHY_SECONDS:.0f} s.",
                hint="Its last lines stand below; `docker inspect` shows what its health check says.",
                tail=last_lines(stand, name) if name else (),
            )
        stand.progress(len(wanted & well) / max(1, len(wanted)), f"waiting for {', '.join(waiting)}")
        stand.wait(LOOK_SECONDS)


def _wanted(config: dict[str, Any]) -> set[str]:
    """The services that are to run: those with no profile, or with one that is on; compose has left out the others."""
    return {name for name, each in config["services"].items() if each.get("scale", 1) != 0}


def _check_failed(stand: Stand, container: Container, config: dict[str, Any]) -> None:
    if container.health == "unhealthy":
        how = "is unhealthy"
    elif container.state in ("exited", "dead") and not container.is_done:
        how = f"has ended with status {container.exit_code}" + (
            " (out of memory?)" if container.exit_code == 137 else ""
        )
    elif container.state == "restarting" and _restarts(stand, container) >= MOST_RESTARTS:
        how = f"ends again and again (status {container.exit_code})"
    else:
        return
    tail = last_lines(stand, container.name)
    raise StageFailed(
        f"{container.service} {how}.",
        hint=explain.hint(tail) or "Its last lines stand below. What ran before still runs.",
        tail=tail,
    )


def _restarts(stand: Stand, container: Container) -> int:
    return int(json.loads(docker(stand, commands.inspect([container.name])))[0]["RestartCount"])


def last_lines(stand: Stand, container: str) -> list[str]:
    """What a container has said last, on both of its streams."""
    lines: list[str] = []
    said = stand.run(commands.last_lines(container, TAIL_LINES), timeout=ASK_SECONDS, hear=lines.append)
    return (said.splitlines() + lines)[-TAIL_LINES:]


# --- down ------------------------------------------------------------------------------------------------


def stop_stack(stand: Stand) -> Outcome:
    """Stop and remove containers and networks, and say which volumes stay."""
    project = stand.environment.project_name
    docker(stand, compose(stand).down(), timeout=DOWN_SECONDS, quiet=False)
    if rest := docker(stand, commands.containers_of(project)).split():
        docker(stand, commands.remove(rest), timeout=DOWN_SECONDS)
    volumes = docker(stand, commands.volumes_of(project)).split()
    if not volumes:
        return Outcome("Nothing is left; it had no volumes.")
    return Outcome(
        f"Nothing is left but its volumes, with what is in them: {', '.join(sorted(volumes))}. "
        "`docker volume rm` removes them, for good."
    )


CONFIG = Stage("config", "Read compose file", check_config, again=True)
BUILD = Stage("build", "Build images", build_images, again=True)
CONTAINERS = Stage("containers", "Start containers", build_and_start, again=True)
STOP = Stage("stop", "Stop containers", stop_stack)
