"""The seal of an event: HMAC-SHA256 over a canonical form of all of it, the one before included."""

import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any

from django.conf import settings

from apps.audit.models import AuditEvent

GENESIS = "0" * 64


def seal(event: AuditEvent) -> str:
    """The digest that `event` must carry, from its other fields and settings.AUDIT_KEY."""
    return hmac.new(settings.AUDIT_KEY.encode(), canonical(event), hashlib.sha256).hexdigest()


def canonical(event: AuditEvent) -> bytes:
    """The same bytes on every database: fixed order, UTC microseconds, sorted keys."""
    fields: list[Any] = [
        event.seq,
        _moment(event.at),
        event.kind,
        event.actor,
        event.actor_kind,
        event.target,
        event.environment,
        event.detail,
        event.previous,
    ]
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")
