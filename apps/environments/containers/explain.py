"""What to do about what Docker says: its words in, a hint out."""

from __future__ import annotations

import re
from collections.abc import Iterable

# Where several fit, the first counts.
_HINTS: tuple[tuple[str, str], ...] = (
    (
        r"permission denied.*docker.*sock|docker.*sock.*permission denied",
        "Your account may not speak to the engine: add it to the group docker (`sudo usermod -aG docker $USER`) and log in again.",
    ),
    (
        r"cannot connect to the docker daemon|error during connect|is the docker daemon running|failed to connect to the docker API",
        "Start Docker Desktop, or on Linux the service: `sudo systemctl start docker`. Then try again.",
    ),
    (r"no space left on device", "The disk is full: make room (`docker system df` says what Docker holds), then try again."),
    (
        r"port is already allocated|address already in use|ports are not available",
        "Something else has the port: stop it, or choose another port, such as APP_PORT=8090.",
    ),
    (
        r"pull access denied|manifest unknown|repository .* not found|failed to resolve|no such host|failed to fetch|lookup .* on |error response from daemon: get |failed to do request|client.timeout exceeded",
        "The image cannot be fetched: see that its name is right and that this machine reaches the registry.",
    ),
    (r"no such image", "The image is not on this engine: build it, or see that its name is right."),
    (r"is already in use by container", "A container that was left behind has that name: `docker rm -f` it, then try again."),
    (r"did not complete successfully|failed to solve", "A step of the image's build failed: its last lines say which."),
    (
        r"password authentication failed",
        "The database was made with another password than the one it is given now: give it the old one, or remove its volume and with it what is in it.",
    ),
    (r"executable file not found", "The image has no such program: see the service's command and entrypoint."),
    (r"read-only file system", "It writes where it may not: give it a volume or tmpfs there."),
    (r"yaml: |additional propert|must be a |validating |undefined (volume|network|service)|invalid (compose|interpolation)|unsupported",
     "Mend the compose file there; `docker compose config` checks it."),
)  # fmt: skip


def hint(lines: Iterable[str]) -> str:
    """What to do about these lines, "" where they are not known."""
    text = "\n".join(lines)
    return next((advice for pattern, advice in _HINTS if re.search(pattern, text, re.IGNORECASE)), "")


_PROPERTY = re.compile(r"additional propert\w+ (?P<name>[\w.-]+)", re.IGNORECASE)
_THING = re.compile(r"(?:service|volume|network|secret|config)s?[ .]\"?(?P<name>[\w-]+)", re.IGNORECASE)


def mistake(lines: Iterable[str], text: str) -> tuple[int | None, str]:
    """The mistake in the compose file `text` that compose complains of: its line, as far as that can be told, and compose's
    words. Compose itself gives a line only for what is no YAML; else it is where the thing it names stands."""
    said = [line.strip() for line in lines if line.strip() and "level=warning" not in line]
    words = re.sub(r"^validating [^:]+: ", "", said[-1]) if said else ""
    if match := re.search(r"yaml: line (\d+): (.*)", "\n".join(said)):
        return int(match[1]), match[2]
    named = _PROPERTY.search(words) or _THING.search(words)
    wanted = named and named["name"]
    places = [
        number for number, line in enumerate(text.splitlines(), 1) if wanted and line.strip().startswith(f"{wanted}:")
    ]
    return (places[0] if places else None), words


_UNSET = re.compile(r'The \\?"(?P<name>[A-Za-z_][A-Za-z0-9_]*)\\?" variable is not set')
_REQUIRED = re.compile(r"required variable (?P<name>[A-Za-z_][A-Za-z0-9_]*) is missing a value")


def missing_variables(lines: Iterable[str]) -> list[str]:
    """The variables that compose found no value for, each once."""
    found = [match["name"] for line in lines for match in (_UNSET.search(line) or _REQUIRED.search(line),) if match]
    return list(dict.fromkeys(found))
