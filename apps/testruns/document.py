"""A test run as `testrun start --json` prints it."""

from __future__ import annotations

from typing import Any

from apps.testruns.models import TestRun
from apps.testruns.showing import state_word


def document(run: TestRun) -> dict[str, Any]:
    """{"version", "id", "status", "message", "layers", "cases"}, from the run's rows as they are.

    `status` is the state to show: queued, running, lost, passed, failed, cancelled.
    """
    counts = ("passed", "failed", "skipped", "flaky", "quarantined")
    return {
        "version": 1,
        "id": run.pk,
        "status": state_word(run),
        "message": run.message,
        "layers": [
            {"layer": row.layer, "status": row.status} | {name: getattr(row, name) for name in counts}
            for row in run.layer_results.all()
        ],
        "cases": [
            {
                "layer": row.layer,
                "source": row.source,
                "title": row.title,
                "status": "flaky" if row.is_flaky else row.status,
                "seconds": round(row.seconds, 4),
                "attempts": row.attempts,
                "message": row.message,
            }
            for row in run.case_results.defer("output").order_by("layer", "position")
        ],
    }
