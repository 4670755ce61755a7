"""Who did something, as the record names them."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Actor:
    """`kind` is user, system, cli (somebody at a terminal without an account) or anonymous (not logged in)."""

    name: str
    kind: str = "user"


SYSTEM = Actor("system", "system")
ANONYMOUS = Actor("anonymous", "anonymous")


def actor_of(by: Any) -> Actor:
    """An Actor as it is, a user by its name, None as the system."""
    if by is None:
        return SYSTEM
    if isinstance(by, Actor):
        return by
    return Actor(by.get_username()) if getattr(by, "is_authenticated", True) else ANONYMOUS
