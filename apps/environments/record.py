"""Rows of stages: made with their job, and made true once more when it ends."""

from __future__ import annotations

from typing import Any

from apps.common import clock
from apps.environments.models import StageRow

Status = StageRow.Status


def close(job: Any) -> None:
    """Make the rows say how the job ended. Called in the transaction that ends it, by a worker or the reconciler: what
    was running did not end, and what waited never will."""
    job.stages.filter(status=Status.RUNNING).update(
        status=Status.FAILED, message="The job ended before this stage did.", finished_at=clock.now()
    )
    job.stages.filter(status=Status.QUEUED).update(status=Status.SKIPPED, message="It was not reached.")
