"""Reading the record: filtered, streamed, exported."""

from collections.abc import Iterator
from typing import Any

from django.db.models import QuerySet

from apps.audit.models import AuditEvent, AuditHead

CHUNK = 2000
EXPORT_VERSION = 1


def events(
    *, kind: str = "", actor: str = "", target: str = "", environment: str = "", after: int = 0
) -> QuerySet[AuditEvent]:
    """Events after number `after`, newest first. A kind may be its beginning: "account." is all of accounts."""
    found = AuditEvent.objects.filter(seq__gt=after)
    if kind:
        found = found.filter(kind__startswith=kind) if kind.endswith(".") else found.filter(kind=kind)
    for field, value in (("actor", actor), ("target", target), ("environment", environment)):
        if value:
            found = found.filter(**{field: value})
    return found.order_by("-seq")


def oldest_first(found: QuerySet[AuditEvent]) -> Iterator[AuditEvent]:
    """One event after the other, CHUNK in memory at a time. Rows written meanwhile come too."""
    ordered, last = found.order_by("seq"), 0
    while chunk := list(ordered.filter(seq__gt=last)[:CHUNK]):
        yield from chunk
        last = chunk[-1].seq


def head() -> AuditHead | None:
    """Number and digest of the newest event: kept elsewhere, they prove later that nothing before them was lost."""
    return AuditHead.objects.filter(pk=1).first()


def exported(event: AuditEvent) -> dict[str, Any]:
    """One line of the export; docs/reference/audit-export.md has the format."""
    return {
        "version": EXPORT_VERSION,
        "seq": event.seq,
        "at": event.at.isoformat(timespec="microseconds"),
        "kind": event.kind,
        "actor": event.actor,
        "actor_kind": event.actor_kind,
        "target": event.target,
        "environment": event.environment,
        "detail": event.detail,
        "previous": event.previous,
        "digest": event.digest,
    }
