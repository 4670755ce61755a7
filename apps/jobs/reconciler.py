"""Brings rows and the world together: jobs whose worker is gone, and jobs whose message never arrived.

`reconcile_once` may be killed anywhere, run twice, and run by two processes at once: each change is one guarded update
on the state, the fence and the lapsed lease that were read, so the second one changes no row. It needs no broker.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import F, Q

from apps.audit.actors import SYSTEM
from apps.jobs import messages, registry, workers
from apps.jobs.actions import PATIENCE_SECONDS
from apps.jobs.leases import AWAY
from apps.jobs.models import Job
from apps.jobs.moment import moment, read
from apps.jobs.registry import JobKind, Verdict
from apps.jobs.states import State
from apps.jobs.transitions import move

# Only the oldest of a queue are sent again: if all messages were lost, the next become the oldest as these are claimed.
OLDEST_OF_A_QUEUE = 50
LONGEST_PATIENCE_SECONDS = 300.0
MOST_LOST_AT_ONCE = 200

logger = logging.getLogger(__name__)


@dataclass
class Summary:
    """What one pass changed."""

    finished: int = 0  # lost jobs that were found to have ended
    cancelled: int = 0  # lost jobs whose cancellation had been asked for
    failed: int = 0  # lost jobs that had no attempt left
    requeued: int = 0  # lost jobs given to another worker
    resent: int = 0  # messages sent again
    unclear: int = 0  # lost jobs about which the outside world did not answer; asked again in the next pass

    def any(self) -> bool:
        return any(vars(self).values())


def reconcile_once() -> Summary:
    """One pass over all kinds. A job that cannot be settled is logged and does not stop the others.

    Raises OperationalError or InterfaceError when the database is away.
    """
    summary = Summary()
    for kind in registry.kinds():
        _shorten_impossible_leases(kind)
        _bring_back_from_the_future(kind)
        for job in kind.model.objects.lost().order_by("lease_expires_at")[:MOST_LOST_AT_ONCE]:
            _each(summary, kind, job, settle)
        _send_again(kind, summary)
    workers.forget_dead()
    return summary


def lost_since(at: datetime) -> bool:
    """Whether the lease of a job has run out after `at`. One small query a kind."""
    return any(kind.model.objects.lost().filter(lease_expires_at__gte=at).exists() for kind in registry.kinds())


def _each(summary: Summary, kind: JobKind, job: Job, act: Callable[[JobKind, Job], str]) -> None:
    try:
        done = act(kind, job)
    except AWAY:
        raise
    except Exception:  # a room's own code: whatever it raises, the other jobs go on
        logger.exception("%s %s could not be reconciled; asked again in the next pass.", kind.name, job.pk)
        done = "unclear"
    if done:
        setattr(summary, done, getattr(summary, done) + 1)


def settle(kind: JobKind, job: Job) -> str:
    """Finish or requeue one job whose lease ran out. Returns which counter of Summary it is, "" when someone was first."""
    verdict = kind.reconcile(job)
    if verdict.state:
        fields = {**verdict.fields, "message": verdict.message}
        return "finished" if _leave(kind, job, State(verdict.state), fields) else ""
    if job.cancel_requested_at:
        sentence = f"Cancelled by {job.cancel_requested_by}; its worker {job.worker} was gone."
        return "cancelled" if _leave(kind, job, State.CANCELLED, {"message": sentence}) else ""
    if job.attempt >= job.max_attempts:
        return "failed" if _leave(kind, job, State.FAILED, {"message": _no_attempt_left(job)}) else ""
    if not _leave(kind, job, State.QUEUED, _in_line_again(kind, job, verdict), Q(cancel_requested_at__isnull=True)):
        return ""
    logger.warning("%s %s lost its worker %s and was queued again.", kind.name, job.pk, job.worker)
    return "requeued"


def _leave(kind: JobKind, job: Job, target: State, fields: dict[str, Any], also: Q | None = None) -> bool:
    still_lost = Q(fence=job.fence, lease_expires_at__lt=moment()) & (also or Q())
    return move(kind, job.pk, State.RUNNING, target, where=still_lost, fields=fields, by=SYSTEM) is not None


def _no_attempt_left(job: Job) -> str:
    times = "once" if job.attempt == 1 else f"{job.attempt} times"
    return f"Its worker was lost {times}, the last one {job.worker}. See that worker's log, then start it again."


def _in_line_again(kind: JobKind, job: Job, verdict: Verdict) -> dict[str, Any]:
    sentence = f"Its worker {job.worker} was lost; queued again (attempt {job.attempt} of {job.max_attempts} is over)."
    return {
        "message": verdict.message or sentence,
        "queue": kind.queue(job),
        "queued_at": moment(),
        "available_at": moment(),
        "send_after": moment(),
        "sends": 0,
    }


def _shorten_impossible_leases(kind: JobKind) -> None:
    """A lease further ahead than leases reach was made before the clock was set back. A live holder renews it anyway."""
    seconds = float(settings.LEASE_SECONDS)
    kind.model.objects.running().filter(lease_expires_at__gt=moment(2 * seconds)).update(
        lease_expires_at=moment(seconds)
    )


def _bring_back_from_the_future(kind: JobKind) -> None:
    """A job that was put in line later than now was so before the clock was set back: it keeps its delay from here on."""
    now = read()
    for job in kind.model.objects.queued().filter(queued_at__gt=moment(float(settings.LEASE_SECONDS))):
        delay = (
            max(job.available_at - job.queued_at, timedelta()) if job.available_at and job.queued_at else timedelta()
        )
        still_so = kind.model.objects.filter(pk=job.pk, state=State.QUEUED, queued_at=job.queued_at)
        still_so.update(queued_at=now, available_at=now + delay, send_after=now + delay, sends=0)


def _send_again(kind: JobKind, summary: Summary) -> None:
    """Send the messages of jobs that are due and still wait. Where no worker is alive they would only pile up."""
    now = read()
    for queue in kind.model.objects.queued().order_by("queue").values_list("queue", flat=True).distinct():
        if not workers.alive(queue):
            continue
        waiting = kind.model.objects.queued().filter(queue=queue, available_at__lte=moment())
        for job in waiting.order_by("queued_at")[:OLDEST_OF_A_QUEUE]:
            if job.send_after is None or job.send_after <= now:
                sent = _resend(kind, job)
                summary.resent += sent is True
                if sent is False:
                    return  # the broker is away: the next pass tries


def _resend(kind: JobKind, job: Job) -> bool | None:
    """True when the message was sent, False when the broker did not take it, None when another process was first."""
    rows = kind.model.objects.filter(pk=job.pk, state=State.QUEUED, send_after=job.send_after, sends=job.sends)
    patience = min(PATIENCE_SECONDS * 2**job.sends, LONGEST_PATIENCE_SECONDS)
    if not rows.update(sends=F("sends") + 1, send_after=moment(patience)):
        return None
    if messages.send(kind, job.pk, job.queue):
        return True
    kind.model.objects.filter(pk=job.pk, state=State.QUEUED, sends=job.sends + 1).update(
        sends=job.sends, send_after=moment()
    )
    return False
