"""What became of a run whose worker is gone: the manifest in its workspace knows."""

from __future__ import annotations

from typing import Any

from apps.engine import manifest
from apps.engine.spec import RunOutcome
from apps.jobs.registry import Verdict
from apps.jobs.states import State
from apps.runs.models import Run


def verdict(run: Run) -> Verdict:
    """Finish it as it was published, or have it done again. Asked twice, it answers the same.

    The old attempt is fenced off first: should its process still live, it cannot publish after this was decided.
    Raises OSError or FlowControlError when the workspace cannot be read or written: then nothing is known yet.
    """
    workspace = run.environment.workspace
    manifest.fence(workspace, run.key, run.fence + 1)
    published = manifest.recover(workspace, run.key)
    if published is None:
        return Verdict.requeue()
    return Verdict.finish(State.SUCCEEDED, **fields_of(published))


def fields_of(outcome: RunOutcome) -> dict[str, Any]:
    """The columns of Run that keep an outcome."""
    return {"outcome": outcome.to_json(), "error": outcome.error, "seconds": outcome.seconds}
