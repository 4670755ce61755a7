"""Signatures of hooks. Plain functions of bytes; every comparison takes the same time for each wrong answer.

GitHub: X-Hub-Signature-256, HMAC-SHA256 over the body, https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries.
GitLab: X-Gitlab-Token, the secret itself, or a signing token by Standard Webhooks,
https://docs.gitlab.com/user/project/integrations/webhooks/.
Standard Webhooks: webhook-id, webhook-timestamp, webhook-signature,
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping
from enum import Enum

TOLERANCE_SECONDS = 300
PREFIX = "whsec_"
MOST_SIGNATURES = 10  # of one message: a list of thousands is no rotation of keys


class Trust(Enum):
    """What a signature is worth."""

    RIGHT = "right"
    WRONG = "wrong"
    STALE = "stale"  # right, but signed too long ago or in the future


def new_secret() -> str:
    """32 random bytes as Standard Webhooks, and GitLab's signing tokens, write them."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def key_of(secret: str) -> bytes:
    """The key that a secret stands for: base64 behind `whsec_`, else the text itself."""
    if secret.startswith(PREFIX):
        try:
            return base64.b64decode(secret.removeprefix(PREFIX), validate=True)
        except (binascii.Error, ValueError):
            pass
    return secret.encode()


def github(secret: str, body: bytes) -> str:
    """The value of X-Hub-Signature-256. The secret counts as it is written, whatever it begins with."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def standard(secret: str, message_id: str, timestamp: int | str, body: bytes) -> str:
    """One signature of webhook-signature: "v1," and base64."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key_of(secret), signed, hashlib.sha256).digest()).decode()


def standard_headers(known: Iterable[str], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers of a message that goes out, signed with each secret."""
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(standard(each, message_id, timestamp, body) for each in known),
    }


def check(provider: str, known: Iterable[str], headers: Mapping[str, str], body: bytes, now: float) -> Trust:
    """Whether the message is signed with one of the secrets. `headers` by lower-case name; `now` in seconds since 1970."""
    secrets_known = [each for each in known if each]
    if provider == "github":
        given = headers.get("x-hub-signature-256", "")
        return _trust(_one_of((github(each, body) for each in secrets_known), given))
    if provider == "gitlab" and "webhook-signature" not in headers:
        given = headers.get("x-gitlab-token", "")
        return _trust(_one_of(secrets_known, given))
    return _check_standard(secrets_known, headers, body, now)


def _check_standard(known: list[str], headers: Mapping[str, str], body: bytes, now: float) -> Trust:
    message_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    given = headers.get("webhook-signature", "").split()[:MOST_SIGNATURES]
    if not message_id or not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) < 16):
        return Trust.WRONG
    made = [standard(each, message_id, timestamp, body) for each in known]
    if True not in [_one_of(made, each) for each in given]:
        return Trust.WRONG
    return Trust.RIGHT if abs(now - int(timestamp)) <= TOLERANCE_SECONDS else Trust.STALE


def _trust(is_right: bool) -> Trust:
    return Trust.RIGHT if is_right else Trust.WRONG


def _one_of(known: Iterable[str], given: str) -> bool:
    """Whether it is one of them; each is compared, whichever it is."""
    return True in [_same(each, given) for each in known]


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode("utf-8", "surrogateescape"))
