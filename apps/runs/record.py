"""A run's rows of steps, checks and outputs: written as the engine tells them, and once more, whole, when it ends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from apps.jobs.states import State
from apps.runs.models import Output, Run, RunCheck, StepRun

UNREACHED = "skipped"


def close(run: Run) -> None:
    """Make the rows say how the run ended. Called in the transaction that ends it, by a worker or the reconciler.

    With the engine's outcome all of them are written anew from it. Without (the worker and the flow's process are gone)
    what was running ended like the run, and what had not begun never will.
    """
    if run.outcome:
        write(run, run.outcome)
        return
    state = State.CANCELLED if run.state == State.CANCELLED else State.FAILED
    run.steps.filter(state="running").update(state=state)
    run.steps.filter(state="queued").update(state=UNREACHED)


def write(run: Run, outcome: Mapping[str, Any]) -> None:
    """Replace the run's rows by what the outcome (as `RunOutcome.to_json` gives it) says."""
    clear(run)
    StepRun.objects.bulk_create(
        StepRun(
            run=run,
            name=each["name"],
            kind=each["kind"],
            state=each["status"],
            rows=each["rows"],
            seconds=each["seconds"],
            position=position,
        )
        for position, each in enumerate(outcome["steps"])
    )
    add_checks(run, outcome["checks"])
    Output.objects.bulk_create(
        Output(run=run, position=position, **{key: each[key] for key in ("name", "path", "rows", "bytes")})
        for position, each in enumerate(outcome["outputs"])
    )


def clear(run: Run) -> None:
    """Remove what an earlier attempt has left."""
    run.steps.all().delete()
    run.checks.all().delete()
    run.outputs.all().delete()


def add_checks(run: Run, checks: Iterable[Mapping[str, Any]], first: int = 0) -> None:
    """Add the checks as the engine tells them; `first` is the place of the first among the run's."""
    RunCheck.objects.bulk_create(
        RunCheck(
            run=run,
            position=position,
            step=each["step"],
            rule=each["check"],
            severity=each["severity"],
            ok=each["ok"],
            failed_rows=each["failed_rows"],
        )
        for position, each in enumerate(checks, start=first)
    )
