"""What an event tells, brought into the one form that every database gives back unchanged, and without secrets."""

import math
from collections.abc import Mapping
from datetime import date, datetime, time
from typing import Any

SECRET_WORDS = (
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "api_key",
    "apikey",
    "private_key",
    "credential",
    "authorization",
    "cookie",
)
MASK = "•••"


def plain(value: Any) -> Any:
    """`value` as JSON knows it. What stands under a key that sounds like a secret is masked, at any depth.

    Whole numbers lose their point (1e3 is 1000), since PostgreSQL keeps the number and not its spelling, and the seal
    is over the spelling. What JSON does not know (NaN, a path, a moment) becomes text.
    """
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            return str(value)
        return int(value) if value.is_integer() else value
    if isinstance(value, Mapping):
        return {clean(str(key)): MASK if is_secret(str(key)) else plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, set | frozenset):
        return sorted((plain(each) for each in value), key=str)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return clean(str(value))


def clean(text: str) -> str:
    """Without what some database refuses: NUL and half a character."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def is_secret(key: str) -> bool:
    return any(word in key.lower().replace("-", "_") for word in SECRET_WORDS)
