"""Waiting for a job, and doing it oneself where nobody else would."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from apps.jobs import reconciler, registry, workers
from apps.jobs.models import Job
from apps.jobs.states import State

LOOK_SECONDS = 0.25


def wait[Kind: Job](
    job: Kind, *, work: Callable[[int], Any], tell: Callable[[Kind], None], given_up: Callable[[], bool]
) -> Kind:
    """Return the job when it has ended, or `given_up` says so. `tell` is called a few times a second, with the row as it is.

    Where no worker is alive for its queue, `work` does it here, under the same lease that a worker would hold; a job
    whose worker was lost is reconciled here too, since there may be no controller.
    """
    kind = registry.kind_of(job)
    while True:
        job.refresh_from_db()
        tell(job)
        if job.is_final or given_up():
            return job
        if job.is_lost:
            reconciler.settle(kind, job)
        elif job.state == State.QUEUED and not workers.alive(job.queue):
            work(job.pk)
        time.sleep(LOOK_SECONDS)
