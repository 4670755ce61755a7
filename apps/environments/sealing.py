"""Secrets at rest: AES-256-GCM, bound to where the secret belongs.

Format: 12 random bytes, then ciphertext and tag as AESGCM gives them. Associated data: a word for this format,
environment, name and version, each ended by NUL. So a ciphertext that somebody moves to another row, or an older one
that he puts back, does not open.
"""

import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.utils.crypto import salted_hmac
from django.views.decorators.debug import sensitive_variables

from apps.common.errors import FlowControlError
from apps.environments import keys
from apps.environments.models import Secret

NONCE_BYTES = 12


class SecretUnreadable(FlowControlError):  # noqa: N818
    """A secret cannot be opened."""

    code = "secret_unreadable"


@sensitive_variables("value")
def seal(secret: Secret, value: str, key: keys.Key | None = None) -> None:
    """Put `value` into the row, sealed by `key` or the newest. The row's environment, name and version are final."""
    key = key or keys.newest()
    nonce = secrets.token_bytes(NONCE_BYTES)
    secret.ciphertext = nonce + AESGCM(key.material).encrypt(nonce, value.encode(), _bound_to(secret))
    secret.key_id = key.id


@sensitive_variables("value")
def fingerprint(secret: Secret, value: str) -> str:
    """Eight hex digits that change when the value does: keyed, and other ones in each place, so that they tell nothing
    to who has only the database, and do not show that two secrets are the same. A rotation does not change them."""
    return salted_hmac(
        "environments.secret", _bound_to(secret, versioned=False) + value.encode(), algorithm="sha256"
    ).hexdigest()[:8]


@sensitive_variables()
def unseal(secret: Secret, known: tuple[keys.Key, ...] | None = None) -> str:
    """The value. Raises SecretUnreadable, with which secret of which environment and what to do."""
    where = f"The secret {secret.name} of {secret.environment.slug}"
    again = f"set it again: `manage.py environment secret set {secret.environment.slug} {secret.name}`."
    key = next((each for each in known or keys.all_keys() if each.id == secret.key_id), None)
    if key is None:
        raise SecretUnreadable(
            f"{where} was encrypted with the key {secret.key_id}, which is not there any more.",
            hint=f"Put that key back ({keys.place()}), or {again}",
        )
    sealed = bytes(secret.ciphertext)
    try:
        return AESGCM(key.material).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _bound_to(secret)).decode()
    except (InvalidTag, ValueError) as error:
        raise SecretUnreadable(
            f"{where} does not open: its row was changed or moved by something other than Flow Control.",
            hint=f"Restore the row from a backup, or {again}",
        ) from error


def _bound_to(secret: Secret, *, versioned: bool = True) -> bytes:
    parts = [
        "flowcontrol secret 1",
        secret.environment.slug,
        secret.name,
        *([str(secret.version)] if versioned else []),
    ]
    return "".join(f"{part}\0" for part in parts).encode()
