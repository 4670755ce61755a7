"""A run as `flow run --json` prints it: the form of a run without the portal, and its number."""

from __future__ import annotations

from typing import Any

from apps.common.errors import FlowControlError
from apps.jobs.states import State
from apps.runs.models import Run


def document(run: Run) -> dict[str, Any]:
    """{"version", "run", "status", "seconds", "error", "steps", "outputs", "checks"}, from the run's rows as they are.

    `status` is the state to show, so `lost` too; `seconds` is None before it has ended. `error` holds what went wrong:
    {"code", "message", "hint", "line", "column"}, None when nothing did.
    """
    return {
        "version": 1,
        "run": run.pk,
        "status": run.display_state,
        "seconds": run.seconds,
        "error": error_of(run),
        "steps": [
            {"name": each.name, "status": each.state, "rows": each.rows, "seconds": each.seconds}
            for each in run.steps.all()
            if each.kind == "step"
        ],
        "outputs": [
            {"name": each.name, "path": each.path, "rows": each.rows, "bytes": each.bytes} for each in run.outputs.all()
        ],
        "checks": [
            {
                "step": each.step,
                "check": each.rule,
                "severity": each.severity,
                "ok": each.ok,
                "failed_rows": each.failed_rows,
            }
            for each in run.checks.all()
        ],
    }


def refused(refusal: FlowControlError) -> dict[str, Any]:
    """The same form for a run that never came to be: `run` is None."""
    first = next(iter(getattr(refusal, "diagnostics", ())), None)
    error = {
        "code": first.code if first else refusal.code,
        "message": refusal.message,
        "hint": refusal.hint,
        "line": first.span.line if first else None,
        "column": first.span.column if first else None,
    }
    empty: dict[str, Any] = {"steps": [], "outputs": [], "checks": []}
    return {"version": 1, "run": None, "status": "failed", "seconds": None, "error": error, **empty}


def error_of(run: Run) -> dict[str, Any] | None:
    """What went wrong; of a run that failed without the engine's words (its worker was lost), the row's sentence."""
    if run.error is None and run.state == State.FAILED:
        return {"code": "", "message": run.message, "hint": "", "line": None, "column": None}
    error: dict[str, Any] | None = run.error
    return error
