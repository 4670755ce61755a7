"""Tiny strict readers of environment variables. A wrong value stops the start with a sentence that helps."""

import os
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured


def text(name: str, default: str = "") -> str:
    """The variable, or the content of the file that NAME_FILE names (for secrets), or the default."""
    if path := os.environ.get(f"{name}_FILE"):
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ImproperlyConfigured(f"{name}_FILE={path} cannot be read: {error.strerror}.") from error
    return os.environ.get(name, default)


def flag(name: str, default: bool = False) -> bool:
    value = os.environ.get(name, "").strip().lower()
    if value in {"1", "true", "yes", "on", "enabled"}:
        return True
    if value in {"0", "false", "no", "off", "disabled"}:
        return False
    if not value:
        return default
    raise ImproperlyConfigured(f"{name}={value!r} is neither yes nor no. Write {name}=true or {name}=false.")


def choice(name: str, allowed: tuple[str, ...], default: str) -> str:
    """One of `allowed`, exactly as written there."""
    value = os.environ.get(name, "").strip() or default
    if value not in allowed:
        raise ImproperlyConfigured(
            f"{name}={value!r} is not known. Write {' or '.join(f'{name}={each}' for each in allowed)}."
        )
    return value


def number(name: str, default: int, low: int = 0, high: int = 2**62) -> int:
    value = os.environ.get(name, "").strip()
    if not value:
        return default
    if not value.isdigit() or not low <= int(value) <= high:
        raise ImproperlyConfigured(f"{name}={value!r} is not a whole number from {low} to {high}.")
    return int(value)


def words(name: str, default: str = "") -> list[str]:
    return [word.strip() for word in os.environ.get(name, default).split(",") if word.strip()]


def folder(name: str, default: Path) -> Path:
    return Path(os.environ.get(name) or default).expanduser().absolute()


def web_address(name: str, default: str) -> str:
    """http://host:port or https://…, without a slash at its end."""
    value = os.environ.get(name, "").strip().rstrip("/") or default
    if not value.startswith(("http://", "https://")):
        raise ImproperlyConfigured(f"{name}={value!r} is no address. Write {name}=http://host:port.")
    return value


def check_switches(*, test_framework: bool, bridge_protocol: bool) -> None:
    """Stop a start whose switches contradict each other. Raises ImproperlyConfigured."""
    if test_framework and not bridge_protocol:
        raise ImproperlyConfigured(
            "TEST_FRAMEWORK=enabled needs the bridge, and BRIDGE_PROTOCOL=inactive switches it off. "
            "Set BRIDGE_PROTOCOL=active, or TEST_FRAMEWORK=disabled too."
        )
