"""The first stage: whether this machine can do it at all, before anything is touched."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.conf import settings

from apps.environments.containers import commands, explain, ports
from apps.environments.containers.commands import Command
from apps.environments.models import StackJob
from apps.environments.stages import stack
from apps.environments.stages.model import Outcome, Stage, StageFailed
from apps.environments.stages.stand import Stand

OLDEST_API = (1, 44)  # Engine 25: health checks with a start interval
OLDEST_COMPOSE = (2, 20)
LEAST_DISK_BYTES = 2 * 1024**3
ANSWER_SECONDS = 20.0


def check_platform(stand: Stand) -> Outcome:
    """Docker is there and new enough, the disk has room, and the ports are free or ours."""
    if not shutil.which("docker", path=stand.variables.get("PATH")):
        raise StageFailed("There is no docker command on this machine.", hint=_how_to_install())
    engine = _engine(stand)
    compose = _compose(stand)
    info = json.loads(stand.run(commands.INFO, timeout=ANSWER_SECONDS, quiet=True))
    if stand.job.action != StackJob.Action.DOWN:
        _check_disk(stand, info)
        _check_portal_beside(stand)
        _check_ports(stand)
    where = _kind(info, stand)
    return Outcome(f"{where}, Engine {engine['Version']} (API {engine['ApiVersion']}), Compose {compose}.")


def _how_to_install() -> str:
    if platform.system() == "Darwin":
        return "Install Docker Desktop and start it, then try again."
    return "Install Docker Engine with its compose plugin (on Debian and Ubuntu: docker.io and docker-compose-v2), then try again."


def _engine(stand: Stand) -> dict[str, Any]:
    said = _asked(stand, commands.VERSION, "No Docker Engine answers.")
    server: dict[str, Any] | None = json.loads(said).get("Server") if said else None
    if not server:
        raise StageFailed("No Docker Engine answers.", hint=explain.hint(["cannot connect to the docker daemon"]))
    if numbers(server["ApiVersion"]) < OLDEST_API:
        raise StageFailed(
            f"Docker Engine {server['Version']} is too old: it speaks API {server['ApiVersion']}, 1.44 is needed.",
            hint="Update it to version 25 or newer.",
        )
    return server


def _compose(stand: Stand) -> str:
    said = _asked(stand, commands.COMPOSE_VERSION, "Docker has no compose plugin here.").strip()
    if numbers(said) < OLDEST_COMPOSE:
        raise StageFailed(f"Docker Compose {said} is too old; 2.20 is needed.", hint="Update docker-compose-plugin.")
    return said


def _asked(stand: Stand, command: Command, what: str) -> str:
    try:
        return stand.run(command, timeout=ANSWER_SECONDS, quiet=True)
    except StageFailed as failure:
        hint = explain.hint(failure.tail) or "Install the package docker-compose-plugin or docker-compose-v2."
        raise StageFailed(what, hint=hint, tail=failure.tail) from failure


def numbers(text: str) -> tuple[int, ...]:
    """`v2.26.1-desktop` as (2, 26, 1)."""
    digits = text.lstrip("v").replace("-", ".").replace("+", ".").split(".")
    return tuple(int(each) for each in digits if each.isdigit())


def _kind(info: dict[str, Any], stand: Stand) -> str:
    """Where this is: a laptop with Docker Desktop, a Linux server, a machine of CI, or another machine's engine."""
    if stand.environment.engine_url:
        return f"Engine at {stand.environment.engine_url} ({info.get('OperatingSystem', 'unknown system')})"
    if "Desktop" in info.get("OperatingSystem", ""):
        return f"{'macOS' if platform.system() == 'Darwin' else platform.system()} with Docker Desktop"
    return f"{'CI on ' if os.environ.get('CI') else ''}{info.get('OperatingSystem') or platform.system()}"


def is_local(stand: Stand) -> bool:
    """Whether the engine's ports and disk are this machine's own."""
    url = stand.environment.engine_url or stand.variables.get("DOCKER_HOST", "")
    return not url or url.startswith("unix://")


def _check_disk(stand: Stand, info: dict[str, Any]) -> None:
    root = Path(info.get("DockerRootDir") or "/")
    if not is_local(stand) or not root.exists():  # Docker Desktop keeps it in a machine of its own
        root = stand.folder
    with suppress(OSError):
        free = shutil.disk_usage(root).free
        if free < LEAST_DISK_BYTES:
            raise StageFailed(
                f"{free // 1024**2} MiB are free in {root}; 2048 are needed.",
                hint="Make room: `docker system df` says what Docker holds.",
            )


def _check_portal_beside(stand: Stand) -> None:
    """The development stack uses the same data folder as `make run`: two of them would do everything twice."""
    lock = Path(settings.DATA) / "run" / "stack.lock"
    if stand.environment.slug != "dev" or not stand.environment.runs_ourselves or not lock.exists():
        return
    if stand.run(commands.containers_of(stand.environment.project_name), timeout=ANSWER_SECONDS, quiet=True).strip():
        return  # the stack itself holds it
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StageFailed(
                "A portal of `make run` is at work on this data folder.",
                hint="Stop it with Ctrl-C, or give one of the two another folder by FLOWCONTROL_DATA.",
            ) from None


def _check_ports(stand: Stand) -> None:
    if not stand.environment.runs_ourselves or not is_local(stand):
        return  # what another's stack publishes is read from its file, in the next stage
    names = stack.PORTS if stand.environment.slug != "dev" else stack.PORTS[:1]
    for name in names:
        if value := stand.switches.get(name):
            check_port(stand, int(value), f"choose another: {name}={int(value) + 10}")


def check_port(stand: Stand, port: int, cure: str) -> None:
    """Raise StageFailed with who has the port, unless it is free or this stack's own."""
    for line in stand.run(commands.publishers(port), timeout=ANSWER_SECONDS, quiet=True).splitlines():
        name, _, project = line.partition(" ")
        if project == stand.environment.project_name:
            return
        raise StageFailed(
            f"Port {port} is taken by the container {name}{f' of {project}' if project else ''}.",
            hint=f"Stop it (`docker stop {name}`), or {cure}.",
        )
    if not ports.is_free(port):
        who = ports.listener(port) or "another program"
        raise StageFailed(f"Port {port} is taken by {who}.", hint=f"Stop it, or {cure}.")


PLATFORM = Stage("platform", "Platform check", check_platform)
