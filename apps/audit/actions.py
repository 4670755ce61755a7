"""Writing the record, and checking that nobody changed it since."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection, transaction

from apps.audit.actors import actor_of
from apps.audit.chain import GENESIS, seal
from apps.audit.models import AuditEvent, AuditHead
from apps.common import clock

SECRET_WORDS = ("password", "secret", "token", "api_key", "apikey", "private_key", "credential")
MASK = "•••"
CHUNK = 2000


def record(
    kind: str, *, by: Any, target: str = "", environment: str = "", detail: dict[str, Any] | None = None
) -> AuditEvent:
    """Append one event, in the transaction of the change that it tells of: both happen or neither.

    `by` is an Actor, a user, or None for the system. Values whose key sounds like a secret are masked. The head row is
    locked until the transaction ends, so that events are numbered one after the other. Raises AssertionError outside a
    transaction, DatabaseError when it cannot be written: then the change does not happen either.
    """
    assert connection.in_atomic_block, "an audit event belongs into the transaction of its change"
    actor = actor_of(by)
    head = AuditHead.objects.select_for_update().get(pk=1)
    event = AuditEvent(
        seq=head.seq + 1,
        at=clock.now(),
        kind=kind,
        actor=_clean(actor.name)[:200],
        actor_kind=actor.kind,
        target=_clean(target)[:200],
        environment=environment,
        detail=_plain(detail or {}),
        previous=head.digest or GENESIS,
    )
    event.digest = seal(event)
    event.save(force_insert=True)
    AuditHead.objects.filter(pk=1).update(seq=event.seq, digest=event.digest)
    return event


def _clean(text: str) -> str:
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def _plain(detail: dict[str, Any]) -> dict[str, Any]:
    """As the database will give it back: JSON and nothing else, secrets masked."""
    text = json.dumps(_masked(detail), cls=DjangoJSONEncoder, allow_nan=False, default=str)
    plain: dict[str, Any] = json.loads(text.replace("\\u0000", "\N{REPLACEMENT CHARACTER}"))
    return plain


def _masked(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): MASK if _is_secret(str(key)) else _masked(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(each) for each in value]
    return value


def _is_secret(key: str) -> bool:
    return any(word in key.lower() for word in SECRET_WORDS)


@dataclass(frozen=True, slots=True)
class Verdict:
    """`first_bad` is the number of the first event that is wrong, None when all is well."""

    ok: bool
    events: int
    first_bad: int | None
    message: str


def verify() -> Verdict:
    """Walk the whole chain and name the first event that was edited, removed, added or reordered.

    Reads CHUNK events at a time, under one snapshot of the database, so that a running portal does not disturb it.
    """
    with transaction.atomic():
        head = AuditHead.objects.get(pk=1)
        previous, count = GENESIS, 0
        for event in _events():
            count += 1
            if event.seq != count:
                return Verdict(
                    False, count - 1, count, f"Event {count} is missing; event {event.seq} follows {count - 1}."
                )
            if event.previous != previous:
                return Verdict(False, count, count, f"Event {count} does not follow the one before it.")
            if event.digest != seal(event):
                return Verdict(
                    False,
                    count,
                    count,
                    f"Event {count} was changed after it was written, or the key is not the one that sealed it.",
                )
            previous = event.digest
        if (head.seq, head.digest or GENESIS) != (count, previous):
            return Verdict(
                False, count, count + 1, f"The end is missing: {head.seq} events were written, {count} are there."
            )
    return Verdict(True, count, None, f"All {count} events are as they were written.")


def _events() -> Iterator[AuditEvent]:
    last = 0
    while chunk := list(AuditEvent.objects.filter(seq__gt=last).order_by("seq")[:CHUNK]):
        yield from chunk
        last = chunk[-1].seq
