"""One run, from its claim to its end.

    claim      one worker has it, with a fencing number
    fence      no earlier attempt may publish in the workspace any more
    recover    an earlier attempt may have published: then the run ends as that recorded, and nothing is done twice
    work       the flow in a process of its own; what it tells becomes rows and events
    end        succeeded, failed, cancelled, or back in line for another attempt

Killed at any line, the row says `running` with a lease that runs out, and the reconciler asks the workspace's manifest
what became of it (reconcile.py). The manifest is the only place where outputs become visible, once for all attempts.
"""

from __future__ import annotations

import time
from typing import Any

from django.conf import settings
from django.db.models import F

from apps.common.errors import FlowControlError
from apps.engine import manifest
from apps.engine.errors import EngineError, ProcessDied, Superseded
from apps.engine.explain import Place, explain
from apps.engine.limits import Limits
from apps.engine.process import FlowProcess
from apps.engine.spec import RunOutcome, RunSpec
from apps.jobs.leases import Lease
from apps.jobs.states import State
from apps.runs import record, turns
from apps.runs.models import Run
from apps.runs.reconcile import fields_of
from apps.runs.told import Reader, Rows

# The flow's process stops by itself a moment after it is asked; one that does not within this is killed.
CANCEL_GRACE_SECONDS = 0.5
DATABASE_AWAY_SECONDS = 0.3
# What did not happen because of the flow: its process was killed, or an attempt was fenced off. Tried again as it is.
ACCIDENTS = frozenset({ProcessDied.code, Superseded.code})

# After which a publication that cannot be completed is tried again.
UNSETTLED_SECONDS = 30.0


class _Unsettled(Exception):  # noqa: N818
    """Whether the run has published cannot be known, or not be completed, for now. `error` says why, in JSON."""

    def __init__(self, error: dict[str, Any]) -> None:
        self.error = error


def execute(pk: int, *, worker: str = "") -> Run | None:
    """Do the run `pk` if it is to be had: queued, due, and its flow's turn. Returns its row as it is after this attempt,
    None where there was nothing to do."""
    lease = turns.claim(pk, worker=worker)
    if lease is None:
        return None
    run = Run.objects.select_related("version__flow", "environment").get(pk=pk)
    with lease:
        _Attempt(lease, run).perform()
    turns.call_next(run)
    run.refresh_from_db()
    return run


class _Attempt:
    def __init__(self, lease: Lease, run: Run) -> None:
        self.lease, self.run = lease, run
        self.may_have_published = run.attempt > 1

    def perform(self) -> None:
        try:
            outcome = self._settled(self._outcome())
        except _Unsettled as stop:
            self._give_back(stop.error, UNSETTLED_SECONDS, self.run.max_attempts + 1)
            return
        if not self.lease.lost:
            self._end(outcome)

    def _outcome(self) -> RunOutcome:
        try:
            return self._published_before() or self._work()
        except (FlowControlError, OSError) as error:
            return RunOutcome("failed", 0.0, self._explained(error))

    def _published_before(self) -> RunOutcome | None:
        manifest.fence(self.run.environment.workspace, self.run.key, self.lease.fence)
        if not self.may_have_published:
            return None
        with self.lease.guarded():
            record.clear(self.run)
        published = self._published()
        if published is not None:
            self._log("info", "An earlier attempt had published its outputs; nothing was done twice.")
        return published

    def _settled(self, outcome: RunOutcome) -> RunOutcome:
        """An attempt that did not succeed may have died after the point of no return: then it has succeeded."""
        if outcome.status == "succeeded" or not self.may_have_published or self.lease.lost:
            return outcome
        return self._published() or outcome

    def _published(self) -> RunOutcome | None:
        """What the manifest says, its publication completed. Raises _Unsettled where that cannot be done."""
        try:
            return manifest.recover(self.run.environment.workspace, self.run.key)
        except (FlowControlError, OSError) as error:
            raise _Unsettled(self._explained(error)) from error

    # --- the work

    def _spec(self) -> RunSpec:
        run = self.run
        return RunSpec(
            text=run.version.text,
            path=f"{run.version.flow.name}.flow",
            workspace=run.environment.workspace,
            params=run.params,
            logical_time=run.logical_time,
            run_key=run.key,
            attempt=self.lease.fence,
            memory_bytes=settings.FLOW_MEMORY_BYTES,
            temp_bytes=settings.FLOW_TEMP_BYTES,
        )

    def _work(self) -> RunOutcome:
        process = FlowProcess(self._spec())
        process.start()
        self.may_have_published = True
        try:
            reader = Reader(process)
            self._follow(process, reader)
        finally:
            process.kill()  # it has ended, or nobody waits for it any more
        if reader.failure is not None:
            raise reader.failure
        return process.outcome

    def _follow(self, process: FlowProcess, reader: Reader) -> None:
        """Write what is told until the process has ended; stop it when the run is cancelled or another's."""
        rows = Rows(self.lease, self.run)
        kill_at: float | None = None
        over, written = False, True
        while not (over and (written or self.lease.lost)):
            told, over = reader.batch()
            rows.take(told)
            written = rows.flush(only_events=over)
            if not written:
                time.sleep(DATABASE_AWAY_SECONDS)
            if self.lease.lost or (kill_at is not None and time.monotonic() > kill_at):
                process.kill()
            elif kill_at is None and self.lease.cancel_requested():
                process.cancel()
                kill_at = time.monotonic() + CANCEL_GRACE_SECONDS

    def _explained(self, error: FlowControlError | OSError) -> dict[str, Any]:
        if isinstance(error, EngineError | OSError):
            limits = Limits(settings.FLOW_MEMORY_BYTES, settings.FLOW_TEMP_BYTES)
            return explain(error, Place(settings.WORKSPACES / self.run.environment.slug, limits)).to_json()
        return {"code": error.code, "message": error.message, "hint": error.hint, "line": None, "column": None}

    # --- the end

    def _end(self, outcome: RunOutcome) -> None:
        fields = fields_of(outcome)
        error = outcome.error or {}
        if outcome.status == "succeeded":
            self.lease.finish(State.SUCCEEDED, **fields)
        elif self.lease.cancel_requested():
            self.lease.finish(State.CANCELLED, self._cancelled(), **{**fields, "error": None})
        elif not self._try_again(error):
            self.lease.finish(State.FAILED, _sentence(error), **fields)

    def _cancelled(self) -> str:
        by = Run.objects.values_list("cancel_requested_by", flat=True).get(pk=self.run.pk)
        return f"Cancelled by {by}. No output was replaced."

    def _try_again(self, error: dict[str, Any]) -> bool:
        """Give the run back where it may have another attempt: after an accident, or as the flow's `retries` say."""
        wanted = self.run.version.settings
        if error.get("code") in ACCIDENTS and self.run.attempt < self.run.max_attempts:
            return self._give_back(error, 0.0, self.run.max_attempts)
        if self.run.retried < wanted.get("retries", 0):
            more = self.run.max_attempts + 1
            return self._give_back(error, wanted["retry_delay_seconds"], more, retried=F("retried") + 1)
        return False

    def _give_back(self, error: dict[str, Any], delay: float, most: int, **fields: Any) -> bool:
        when = f"in {delay:g} s" if delay else "at once"
        message = f"Attempt {self.run.attempt} of {most}: {error['message']} It begins again {when}."
        self._log("warning", message)
        return self.lease.give_back(message, delay=delay, error=error, max_attempts=most, **fields)

    def _log(self, level: str, message: str) -> None:
        self.lease.events.add("log", {"level": level, "step": "", "message": message})


def _sentence(error: dict[str, Any]) -> str:
    """What went wrong and what to do."""
    return f"{error.get('message') or 'The run failed and left no reason.'} {error.get('hint') or ''}".strip()
