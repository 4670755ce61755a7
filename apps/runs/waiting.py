"""Waiting for a run, and doing it oneself where nobody else would."""

from __future__ import annotations

from collections.abc import Callable

from apps.jobs import waiting
from apps.runs import executor
from apps.runs.models import Run


def wait(run: Run, *, tell: Callable[[Run], None] = lambda run: None, given_up: Callable[[], bool] = bool) -> Run:
    """Return the run when it has ended, or `given_up` says so (apps/jobs/waiting.py). `tell` is called whenever its state
    has changed."""
    known = ""

    def look(row: Run) -> None:
        nonlocal known
        if row.display_state != known:
            known = row.display_state
            tell(row)

    return waiting.wait(run, work=executor.execute, tell=look, given_up=given_up)
