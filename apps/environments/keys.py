"""The keys that encrypt secrets. They are never in the database: SECRETS_KEYS, or a file in the data folder.

Newest first, each 32 random bytes as URL-safe base64, apart by spaces or lines. The newest encrypts; all of them open.
The file is read each time, so that a process that runs knows a key that another one has just made.
"""

import base64
import binascii
import hashlib
import secrets
from collections.abc import Collection
from dataclasses import dataclass, field

from django.conf import settings

from apps.common.errors import FlowControlError
from apps.common.files import read_or_create_secret, write_atomic

BYTES = 32


class KeysInvalid(FlowControlError):  # noqa: N818
    """The keys of the secrets cannot be used."""

    code = "secrets_keys_invalid"


@dataclass(frozen=True, slots=True)
class Key:
    id: str  # says which it is, and nothing of it
    material: bytes = field(repr=False)


def all_keys() -> tuple[Key, ...]:
    """Newest first; at least one, which is made where there is none. Raises KeysInvalid."""
    words = _text().replace(",", " ").split()
    if not words:
        raise KeysInvalid(f"{_place()} holds no key.", hint="Put the keys back from your backup of it.")
    return tuple(_key(number, word) for number, word in enumerate(words, 1))


def newest() -> Key:
    return all_keys()[0]


def are_given() -> bool:
    """Whether whoever set this portal up keeps the keys (SECRETS_KEYS), rather than the portal."""
    return bool(settings.SECRETS_KEYS)


def new_word() -> str:
    """A new key as it is written down."""
    return secrets.token_urlsafe(BYTES)


def make() -> Key:
    """Put a new key before the others in the file. Killed anywhere: the file is the old one or the new one.

    The caller holds the lock of the secrets, so that two do not lose each other's key.
    """
    assert not are_given(), "given keys are not ours to change"
    words = [new_word(), *_text().split()]
    write_atomic(settings.SECRETS_KEYS_PATH, "\n".join(words) + "\n", mode=0o600)
    return newest()


def retire(needed: Collection[str]) -> list[str]:
    """Take all keys out of the file but the newest and those `needed`. Returns the ids of those that went."""
    assert not are_given(), "given keys are not ours to change"
    words, known = _text().split(), all_keys()
    kept = [word for word, key in zip(words, known, strict=True) if key.id in needed or key is known[0]]
    gone = [key.id for key in known[1:] if key.id not in needed]
    if gone:
        write_atomic(settings.SECRETS_KEYS_PATH, "\n".join(kept) + "\n", mode=0o600)
    return gone


def place() -> str:
    """Where the keys are, for people."""
    return _place()


def _text() -> str:
    if are_given():
        return str(settings.SECRETS_KEYS)
    try:
        return read_or_create_secret(settings.SECRETS_KEYS_PATH, BYTES)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise KeysInvalid(
            f"{_place()} cannot be read: {reason}.", hint="Let the portal's account read and write it, mode 0600."
        ) from error


def _place() -> str:
    return "SECRETS_KEYS" if are_given() else f"The file {settings.SECRETS_KEYS_PATH.name} in the data folder"


def _key(number: int, word: str) -> Key:
    """Strictly: what decodes to something shorter would encrypt, and worse than anybody thinks."""
    try:
        material = base64.b64decode(word + "=" * (-len(word) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        material = b""
    if len(material) != BYTES:
        raise KeysInvalid(
            f"Key {number} of {_place()} is not {BYTES} bytes in URL-safe base64.",
            hint="Write the keys newest first, apart by spaces; `manage.py environment secret new-key` prints a new one.",
        )
    return Key(hashlib.sha256(b"flowcontrol key\0" + material).hexdigest()[:8], material)
