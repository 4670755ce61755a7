"""What pages, metrics and health checks ask about jobs. Each is answered from live rows only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db.models import Count, Min, Q

from apps.jobs import registry, workers
from apps.jobs.leadership import CONTROLLER
from apps.jobs.models import Job, JobEvent, Leader
from apps.jobs.moment import moment, read

# The loop has missed three passes: something is wrong with it.
MISSED_PASSES = 3


@dataclass(frozen=True)
class Load:
    """Live jobs of one kind. `lost` are counted in `running` too; the age is that of the oldest due one, 0 for none."""

    queued: int
    running: int
    lost: int
    oldest_queued_seconds: float


def load() -> dict[str, Load]:
    """The live jobs of each kind, by the kind's name."""
    now = read()
    return {kind.name: _load(kind, now) for kind in registry.kinds()}


def _load(kind: registry.JobKind, now: datetime) -> Load:
    objects = kind.model.objects
    queued = objects.queued().aggregate(
        number=Count("pk"), oldest=Min("available_at", filter=Q(available_at__lte=moment()))
    )
    running = objects.running().aggregate(number=Count("pk"), lost=Count("pk", filter=Q(lease_expires_at__lt=moment())))
    age = max(0.0, (now - queued["oldest"]).total_seconds()) if queued["oldest"] else 0.0
    return Load(queued["number"], running["number"], running["lost"], age)


def tick_age() -> float | None:
    """Seconds since the supervisor loop last completed a pass; None if it never did."""
    at = Leader.objects.filter(role=CONTROLLER).values_list("ticked_at", flat=True).first()
    return max(0.0, (read() - at).total_seconds()) if at else None


def readiness() -> dict[str, Any]:
    """Whether work makes progress, for /readyz.

    `ready` (bool), `reasons` (sentences why not), `supervisor_tick_seconds` (float or None),
    `oldest_queued_seconds` (float), `workers` (names of the living).
    """
    tick = tick_age()
    late = MISSED_PASSES * settings.RECONCILE_SECONDS
    reasons = []
    if tick is None:
        reasons.append("The controller has not completed a pass yet. Start it with `manage.py controller`.")
    elif tick > late:
        reasons.append(f"The controller's last pass ended {tick:.0f} s ago. See its log.")
    return {
        "ready": not reasons,
        "reasons": reasons,
        "supervisor_tick_seconds": tick,
        "oldest_queued_seconds": max((each.oldest_queued_seconds for each in load().values()), default=0.0),
        "workers": [worker.name for worker in workers.alive()],
    }


def events_of(job: Job, after: int = 0, limit: int = 1000) -> list[JobEvent]:
    """The job's events with a number above `after`, in order, at most `limit`."""
    kind = registry.kind_of(job)
    rows = JobEvent.objects.filter(job_kind=kind.name, job_id=job.pk, seq__gt=after)
    return list(rows.order_by("seq")[:limit])
