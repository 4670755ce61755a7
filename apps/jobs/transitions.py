"""The one function that moves a job along an arrow: a guarded update, its event, its audit row, one transaction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import transaction
from django.db.models import F, Q

from apps.audit.actions import record
from apps.common import masking
from apps.jobs import events
from apps.jobs.models import Job
from apps.jobs.moment import moment
from apps.jobs.registry import JobKind
from apps.jobs.states import FINAL, State, arrow


def move(
    kind: JobKind,
    pk: int,
    source: State,
    target: State,
    *,
    where: Q | None = None,
    fields: dict[str, Any] | None = None,
    by: Any = None,
    also: Callable[[Any], None] | None = None,
) -> Job | None:
    """Take the arrow `source` → `target` if the row still stands at `source` and `where` holds.

    Returns the row as it is now, or None when no row changed: someone else was first. Writes the "state" event; on a
    final state calls `also` and then the kind's `on_final`. With `by` (an Actor or a User) writes the arrow's audit
    row. All in one transaction: killed anywhere, all of it or nothing.
    """
    taken = arrow(source, target)
    changes: dict[str, Any] = {"state": target, "event_seq": F("event_seq") + 1, **(fields or {})}
    if "message" in changes:
        changes["message"] = masking.text(str(changes["message"])).replace("\0", events.REPLACEMENT)
    if target != State.RUNNING:
        changes["lease_expires_at"] = None
    if target in FINAL:
        changes["finished_at"] = moment()
    if target == State.SUCCEEDED:
        changes["progress"] = 1.0
    rows = kind.model.objects.filter(where or Q(), pk=pk, state=source)
    with transaction.atomic():
        if not rows.update(**changes):
            return None
        job: Job = kind.model.objects.get(pk=pk)
        events.write(kind, pk, job.event_seq, [("state", describe(job))])
        if target in FINAL:
            if also:
                also(job)
            kind.on_final(job)
        if by is not None and taken.audit:
            audit(kind, job, taken.audit, by=by)
    return job


def describe(job: Job) -> dict[str, Any]:
    """A "state" event's data."""
    return {"state": str(job.state), "attempt": job.attempt, "worker": job.worker, "message": job.message}


def audit(kind: JobKind, job: Job, verb: str, *, by: Any) -> None:
    """Write "<kind>.<verb>" beside the change that this transaction makes."""
    record(
        f"{kind.name}.{verb}",
        by=by,
        target=f"{kind.name}:{job.pk}",
        environment=kind.environment(job),
        detail={"state": str(job.state), "attempt": job.attempt, "message": job.message},
    )
