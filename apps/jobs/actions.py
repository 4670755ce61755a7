"""What people and rooms do with jobs: put one in line, cancel one."""

from __future__ import annotations

from typing import Any

from django.db import connection, transaction
from django.db.models import F

from apps.jobs import events, messages, registry
from apps.jobs.models import Job
from apps.jobs.moment import moment
from apps.jobs.states import State
from apps.jobs.transitions import audit, describe, move

# How long a sent message may take to be picked up before the reconciler doubts that it arrived.
PATIENCE_SECONDS = 15.0


def enqueue(job: Job, delay: float = 0.0) -> None:
    """Put a new row in line, in the transaction that made it; its message goes out when that commits.

    With `delay` (seconds) it is not claimed before then, and the reconciler sends its message when it is due.
    A row that is in line already, or no longer queued, is left as it is. A message that cannot be sent is sent later.
    """
    assert connection.in_atomic_block, "enqueue belongs to the transaction that makes the row"
    kind = registry.kind_of(job)
    queue = kind.queue(job)
    changed = (kind.model.objects.filter(pk=job.pk, state=State.QUEUED, queued_at__isnull=True)).update(
        queue=queue,
        queued_at=moment(),
        available_at=moment(delay),
        send_after=moment(delay or PATIENCE_SECONDS),
        event_seq=F("event_seq") + 1,
    )
    job.refresh_from_db()
    if not changed:
        return
    events.write(kind, job.pk, job.event_seq, [("state", describe(job))])
    if not delay:
        transaction.on_commit(lambda: _send(kind, job.pk, queue), robust=True)


def _send(kind: registry.JobKind, pk: int, queue: str) -> None:
    if not messages.send(kind, pk, queue):  # then the reconciler's next pass does, instead of waiting for a worker
        kind.model.objects.filter(pk=pk, state=State.QUEUED).update(send_after=moment())


def cancel(job: Job, *, by: Any) -> str:
    """Cancel a job as `by` (an Actor or a User); audited. Returns the state it is in now.

    Queued: cancelled at once. Running: the request is written, its worker sees it within a second and finishes the job
    as cancelled; if the worker is gone, the reconciler does. Final, or asked before: nothing changes.
    """
    kind = registry.kind_of(job)
    name = str(getattr(by, "name", "") or by.get_username())
    with transaction.atomic():
        # Between the two updates the job may change hands; then look again.
        while not (_cancel_queued(kind, job.pk, name, by) or _ask_to_cancel(kind, job.pk, name, by)):
            job.refresh_from_db()
            if job.is_final or job.cancel_requested_at:
                break
    job.refresh_from_db()
    return str(job.state)


def _cancel_queued(kind: registry.JobKind, pk: int, name: str, by: Any) -> bool:
    fields = {
        "cancel_requested_at": moment(),
        "cancel_requested_by": name,
        "message": f"Cancelled by {name} before it began.",
    }
    return move(kind, pk, State.QUEUED, State.CANCELLED, fields=fields, by=by) is not None


def _ask_to_cancel(kind: registry.JobKind, pk: int, name: str, by: Any) -> bool:
    rows = kind.model.objects.filter(pk=pk, state=State.RUNNING, cancel_requested_at__isnull=True)
    if not rows.update(cancel_requested_at=moment(), cancel_requested_by=name, event_seq=F("event_seq") + 1):
        return False
    job = kind.model.objects.get(pk=pk)
    events.write(kind, pk, job.event_seq, [("cancel", {"by": name})])
    audit(kind, job, "cancel", by=by)
    return True
