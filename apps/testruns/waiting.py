"""Waiting for a test run, and doing it oneself where nobody else would."""

from __future__ import annotations

import time
from collections.abc import Callable

from apps.jobs import reconciler, registry, workers
from apps.jobs.states import State
from apps.testruns import executor
from apps.testruns.models import TestRun

LOOK_SECONDS = 0.25


def wait(
    run: TestRun, *, tell: Callable[[TestRun], None] = lambda run: None, given_up: Callable[[], bool] = bool
) -> TestRun:
    """Return the run when it has ended, or `given_up` says so. `tell` is called whenever something may have changed.

    Where no worker is alive for its queue the work is done here, under the same lease that a worker would hold; a run
    whose worker was lost is reconciled here too, since there may be no controller.
    """
    kind = registry.kind_of(TestRun)
    while True:
        run.refresh_from_db()
        tell(run)
        if run.is_final or given_up():
            return run
        if run.is_lost:
            reconciler.settle(kind, run)
        elif run.state == State.QUEUED and not workers.alive(run.queue):
            executor.execute(run.pk)
        time.sleep(LOOK_SECONDS)
