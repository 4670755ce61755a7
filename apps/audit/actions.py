"""Writing the record."""

from collections.abc import Sequence
from typing import Any

from django.db import connection
from django.db.models import Field

from apps.audit.actors import actor_of
from apps.audit.chain import GENESIS, seal
from apps.audit.models import AuditEvent, AuditHead
from apps.audit.plain import clean, plain
from apps.common import clock
from apps.common.errors import FlowControlError


class AuditUnwritable(FlowControlError):  # noqa: N818
    """The audit cannot be written, so nothing was done."""

    code = "audit_unwritable"


def record(
    kind: str, *, by: Any, target: str = "", environment: str = "", detail: dict[str, Any] | None = None
) -> AuditEvent:
    """Append one event, in the transaction of the change that it tells of: both happen or neither.

    `by` is an Actor, a user, or None for the system. Values whose key sounds like a secret are masked; names that are
    too long are cut. The head row is locked until the transaction ends (SQLite's transactions are IMMEDIATE and so
    already alone), so that events are numbered one after the other. Raises AssertionError outside a transaction,
    AuditUnwritable or DatabaseError when it cannot be written: then the change does not happen either.
    """
    assert connection.in_atomic_block, "an audit event belongs into the transaction of its change"
    actor = actor_of(by)
    head = AuditHead.objects.select_for_update().filter(pk=1).first()
    if head is None:
        raise AuditUnwritable(hint="The audit's head row is gone. Run `manage.py audit verify`, then restore a backup.")
    event = AuditEvent(
        seq=head.seq + 1,
        at=clock.now(),
        kind=_fit("kind", kind),
        actor=_fit("actor", actor.name),
        actor_kind=actor.kind,
        target=_fit("target", target),
        environment=_fit("environment", environment),
        detail=plain(detail or {}),
        previous=head.digest or GENESIS,
    )
    event.digest = seal(event)
    event.save(force_insert=True)
    AuditHead.objects.filter(pk=1).update(seq=event.seq, digest=event.digest)
    return event


def record_missing(
    kind: str, *, by: Any, target: str, key: str, details: Sequence[dict[str, Any]], environment: str = ""
) -> int:
    """Append one event for each of `details` whose value of `key` no event of this kind and target has yet, in their
    order. For what happened elsewhere and is told here afterwards: told twice, or by two at once, it is written once.
    Returns how many were new. In a transaction, as `record`."""
    assert connection.in_atomic_block, "an audit event belongs into the transaction of its change"
    AuditHead.objects.select_for_update().filter(pk=1).first()  # those who tell at the same moment take turns
    told = AuditEvent.objects.filter(kind=kind, target=_fit("target", target)).values_list("detail", flat=True)
    known = {detail.get(key) for detail in told}
    new = [detail for detail in details if detail[key] not in known]
    for detail in new:
        record(kind, by=by, target=target, environment=environment, detail=detail)
    return len(new)


def _fit(field: str, text: str) -> str:
    column = AuditEvent._meta.get_field(field)
    assert isinstance(column, Field)
    return clean(str(text))[: column.max_length]
