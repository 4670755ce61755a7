"""A stack as its files describe it: which compose file, which settings, what commands get to know."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from django.conf import settings

from apps.common import masking
from apps.common.errors import FlowControlError
from apps.environments import variables
from apps.environments.containers import running
from apps.environments.containers.plain import plain
from apps.environments.containers.settings_file import SettingsFileError, read_settings
from apps.environments.models import Environment
from apps.environments.stages.model import Change, StageFailed

_INTERPOLATED = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)")
# Each switch of a stack, and what it may be: anything else stops the start.
SWITCHES: Mapping[str, tuple[str, ...]] = {
    "HOT_RELOAD": ("true", "false"),
    "TEST_FRAMEWORK": ("enabled", "disabled"),
    "BRIDGE_PROTOCOL": ("active", "inactive"),
    "MONITORING": ("enabled", "disabled"),
    "RECOVERY": ("active", "inactive"),
}
PORTS = ("APP_PORT", "WEBHOOK_PORT")
STATE = "FLOWCONTROL_STATE"  # the folder of a built stack: data, logs, secrets
DEFAULT_STATE = "/opt/flow-control"


def compose_file(environment: Environment) -> Path:
    """The file that describes the stack. Environments without one of their own that is shipped share staging's."""
    if environment.compose_file:
        return Path(environment.compose_file)
    name = "dev" if environment.slug == "dev" else "staging"
    return Path(settings.BASE_DIR) / f"compose.{name}.yaml"


def settings_file(environment: Environment) -> Path | None:
    """The variables beside Flow Control's own compose file; None for another's stack."""
    if environment.compose_file:
        return None
    own = Path(settings.BASE_DIR) / f".env.{environment.slug}"
    return own if own.exists() else Path(settings.BASE_DIR) / ".env.staging"


def added_file(environment: Environment) -> Path:
    """What is added to the stack's description: marks, and a proxy where services take traffic. Written when its file is
    read."""
    return Path(settings.DATA) / "run" / "stacks" / f"{environment.slug}.added.json"


# Whose word counts before the environment's own file: a higher room has releases. It answers the files and the folder in
# which relative paths start, or None.
Describer = Callable[[Environment], tuple[tuple[Path, ...], Path | None] | None]
_describers: dict[str, Describer] = {}


def describe_by(name: str, describer: Describer) -> None:
    """Ask `describer` which files describe a stack. Registering the same name again replaces it."""
    _describers[name] = describer


def files_of(environment: Environment) -> tuple[tuple[Path, ...], Path | None]:
    """The files that describe the stack now, and where relative paths start (None: beside the first of them)."""
    for describer in _describers.values():
        if found := describer(environment):
            return found
    return (compose_file(environment),), None


def from_terminal(environment: Environment) -> dict[str, str]:
    """What the person who asks has set in front of the command, of the variables that the compose file reads:
    `APP_PORT=8090 make dev`. Kept with the job, so that whoever does it knows."""
    if environment.compose_file:
        return {}
    names = set(_INTERPOLATED.findall(compose_file(environment).read_text(encoding="utf-8"))) | set(SWITCHES)
    names -= secret_names()
    return {name: os.environ[name] for name in sorted(names) if os.environ.get(name)}


def settings_of(job: Change) -> dict[str, str]:
    """The stack's variables that are no secrets: of its settings file, of the environment, of this job; the later counts.

    Raises StageFailed where one is wrong or unknown.
    """
    environment = job.environment
    path = settings_file(environment)
    try:
        found = read_settings(path) if path else {}
    except SettingsFileError as error:
        raise StageFailed(error.message, hint=error.hint) from error
    found |= plain_variables(environment)
    found |= job.settings
    if environment.runs_ourselves:
        _check(found, path.name if path else "")
        found |= {
            "COMPOSE_PROFILES": ",".join(profiles(found)),
            "FLOWCONTROL_STACK": environment.project_name,
            **owner(environment, found),
            **socket_group(found),
            **revision(),
        }
    return found


def profiles(switches: Mapping[str, str]) -> list[str]:
    """The compose profiles that the switches turn on."""
    found = []
    if switches.get("MONITORING") == "enabled":
        found.append("monitoring")
    if switches.get("TEST_FRAMEWORK") == "enabled":
        found.append("test")
    return found


def owner(environment: Environment, switches: Mapping[str, str]) -> dict[str, str]:
    """Whose files the containers write: in development the project's owner, so that both can read them; in a built
    stack the owner of its folder, but never root."""
    if environment.slug == "dev":
        place = Path(settings.BASE_DIR).stat()
        return {"FLOWCONTROL_UID": str(place.st_uid), "FLOWCONTROL_GID": str(place.st_gid)}
    data = Path(switches.get(STATE) or DEFAULT_STATE) / "data"
    if data.exists() and data.stat().st_uid:
        return {"FLOWCONTROL_UID": str(data.stat().st_uid), "FLOWCONTROL_GID": str(data.stat().st_gid)}
    uid, gid = os.getuid(), os.getgid()
    return {"FLOWCONTROL_UID": str(uid or 10001), "FLOWCONTROL_GID": str(gid or 10001)}


def socket_group(switches: Mapping[str, str]) -> dict[str, str]:
    """The group that may use the engine's socket: the controller, which is no root, is made a member."""
    try:
        return {"DOCKER_GID": str(Path(switches.get("DOCKER_SOCKET") or "/var/run/docker.sock").stat().st_gid)}
    except OSError:
        return {}


def _check(found: Mapping[str, str], name: str) -> None:
    known = known_variables() | set(PORTS)
    for variable, value in found.items():
        if variable not in known:
            raise StageFailed(
                f"{variable} in {name} means nothing here.", hint="See .env.example for the names there are."
            )
        if variable in SWITCHES and value not in SWITCHES[variable]:
            raise StageFailed(f"{variable}={value} is not known.", hint=f"Write {' or '.join(SWITCHES[variable])}.")
        if variable in PORTS and not (value.isdigit() and 0 < int(value) < 65536):
            raise StageFailed(f"{variable}={value} is no port.", hint="Write a number from 1 to 65535.")
    if found.get("TEST_FRAMEWORK") == "enabled" and found.get("BRIDGE_PROTOCOL") == "inactive":
        raise StageFailed(
            "TEST_FRAMEWORK=enabled needs BRIDGE_PROTOCOL=active: layered tests pass through the bridge.",
            hint="Switch the bridge on, or the test framework off.",
        )


def known_variables() -> set[str]:
    """The names that `.env.example` explains: there and nowhere else a variable is made known."""
    sample = (Path(settings.BASE_DIR) / ".env.example").read_text(encoding="utf-8")
    return set(re.findall(r"^#? ?([A-Z][A-Z0-9_]+)=", sample, re.MULTILINE))


def secret_names() -> set[str]:
    """The variables that `.env.example` marks as secret: they are never kept with a job."""
    sample = (Path(settings.BASE_DIR) / ".env.example").read_text(encoding="utf-8")
    return set(re.findall(r"^([A-Z][A-Z0-9_]+)=\s*# \*", sample, re.MULTILINE))


def revision() -> dict[str, str]:
    """What the images are built from: the commit, with a + where the folder differs from it; nothing outside of git."""
    try:
        said = running.run(
            ("git", "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=+"),
            environment={name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            folder=Path(settings.BASE_DIR),
            timeout=20,
        )
    except running.CommandFailed:
        return {}
    return {"FLOWCONTROL_REVISION": said.strip()}


# --- what the environment itself holds ------------------------------------------------------------------


def plain_variables(environment: Environment) -> dict[str, str]:
    """Its variables that may be shown."""
    return variables.plain(environment)


def secret_variables(environment: Environment) -> dict[str, str]:
    """Its secrets, and variables that refer to them. Raises StageFailed for one that is missing or cannot be opened."""
    shown = variables.plain(environment)
    try:
        found = variables.resolved(environment)
    except FlowControlError as error:
        raise StageFailed(error.message, hint=error.hint) from error
    return {name: value for name, value in found.items() if name not in shown}


def masker(environment: Environment) -> Callable[[str], str]:
    """Hides what is secret in the environment, and in any other, from a text, and takes control characters away: what a
    container says is shown on terminals. Masked again then, since a secret may have stood in pieces between them."""
    return lambda text: masking.text(plain(masking.text(text)))


def engine_variables(environment: Environment) -> dict[str, str]:
    """How the docker command finds the environment's engine; nothing for this machine's own."""
    found = {"DOCKER_HOST": environment.engine_url} if environment.engine_url else {}
    if environment.engine_certificates:
        found |= {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": environment.engine_certificates}
    return found
