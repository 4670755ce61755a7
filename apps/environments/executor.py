"""One change of a stack, from its claim to its end: stage by stage, in order, each recorded when it has ended.

Killed at any line, the row says `running` with a lease that runs out, and the commands it had started die with it. The
worker that takes it up performs the one that was running once more: each can be done again. Of those that had ended it
skips the ones that follow no file; what the files say now counts, not what they said when the job began. A stage that fails ends the change; what ran before still runs.
"""

from __future__ import annotations

import contextlib
import logging
import time
from typing import Any

from django.db import connection

from apps.common import clock
from apps.environments import handover, observer
from apps.environments.containers.found import EngineAway
from apps.environments.models import StackJob, StageResult
from apps.environments.stages import registry, stack
from apps.environments.stages.model import StageFailed, Stopped
from apps.environments.stages.stand import Stand, Tell
from apps.jobs import leases
from apps.jobs.leases import AWAY, Lease, LeaseLostError
from apps.jobs.states import State

Status = StageResult.Status
ENDED = (Status.SUCCEEDED, Status.SKIPPED)
AWAY_SECONDS = 0.3  # between two tries to reach the database
LONGEST_TAIL = 40  # lines kept of what failed

logger = logging.getLogger(__name__)


def execute(pk: int, *, worker: str = "") -> StackJob | None:
    """Do the stack job `pk` if it is to be had. Returns its row as it is after this attempt, None where there was
    nothing to do."""
    lease = leases.claim(StackJob, pk, worker=worker)
    if lease is None:
        return None
    job = StackJob.objects.select_related("environment").get(pk=pk)
    with lease:
        _Attempt(lease, job).perform()
    _look(job)
    job.refresh_from_db()
    handover.tell(job)
    return job


def _look(job: StackJob) -> None:
    """Let the rows of services say at once what the change left, also where no controller watches. An engine that is
    away has been told of by the stages; the rows then stay as they were. Over ssh, which may wait for minutes, it is left
    to the observer."""
    if job.environment.engine_url.startswith("ssh://"):
        return
    with contextlib.suppress(EngineAway):
        observer.look(job.environment)


class _Attempt:
    def __init__(self, lease: Lease, job: StackJob) -> None:
        self.lease, self.job = lease, job
        self.rows = list(job.stages.all())

    def perform(self) -> None:
        try:
            self._perform_stages(Stand(self.job, self.lease))
        except StageFailed as failure:  # before the first stage: the stack's own settings are wrong
            self._fail(self.rows[0], failure)
        except LeaseLostError:
            return  # whoever has it now goes on; nothing of ours counts any more
        except Stopped:
            if self.lease.cancel_requested() and not self.lease.lost:
                by = StackJob.objects.values_list("cancel_requested_by", flat=True).get(pk=self.job.pk)
                self.lease.finish(State.CANCELLED, f"Cancelled by {by}. What was running still runs.")

    def _perform_stages(self, stand: Stand) -> None:
        for row in self.rows:
            stage = registry.stage(row.name)
            if row.status in ENDED and not (stage.again and self.job.attempt > 1):
                continue
            stand.check()
            begin = {"started_at": clock.now(), "finished_at": None, "message": "", "progress": 0.0}
            self._write(row, status=Status.RUNNING, **begin)
            try:
                stand.tell = self._teller(row)
                outcome = stage.perform(stand)
            except StageFailed as failure:
                self._fail(row, failure)
                return
            status = Status.SKIPPED if outcome.skipped else Status.SUCCEEDED
            end = {"message": stand.masked(outcome.message), "refers_to": outcome.refers_to}
            self._write(row, status=status, finished_at=clock.now(), progress=1.0, **end)
        self.lease.finish(State.SUCCEEDED, sentence(self.job))

    def _teller(self, row: StageResult) -> Tell:
        """How a stage says how far it is: on its row and on the job's, a few times a second at most."""

        def tell(fraction: float, message: str) -> None:
            if (row.progress, row.message) != (fraction, message):
                self._write(row, progress=fraction, message=message)

        return tell

    def _fail(self, row: StageResult, failure: StageFailed) -> None:
        hide = stack.masker(self.job.environment)
        tail = "\n".join(hide(line) for line in failure.tail[-LONGEST_TAIL:])
        end = {"message": hide(failure.message), "hint": hide(failure.hint), "tail": tail}
        self._write(row, status=Status.FAILED, finished_at=clock.now(), **end)
        self.lease.finish(State.FAILED, f"{row.title}: {end['message']}")

    def _write(self, row: StageResult, **fields: Any) -> None:
        for name, value in fields.items():
            setattr(row, name, value)
        while True:
            try:
                with self.lease.guarded():
                    row.save(update_fields=list(fields))
                break
            except AWAY as error:
                if self.lease.lost:
                    raise
                logger.warning("%s: the database is away, trying again: %s", self.lease, error)
                connection.close()
                time.sleep(AWAY_SECONDS)
        done = sum(1.0 if each.status in ENDED else each.progress for each in self.rows)
        told = {"name": row.name, "status": row.status, "progress": row.progress, "message": row.message}
        self.lease.events.add("stage", told)
        self.lease.events.progress(done / len(self.rows))


def sentence(job: StackJob) -> str:
    """What is to be said of a change that went well."""
    if job.action == StackJob.Action.DOWN:
        return f"{job.environment.name} is down. Its volumes, and what is in them, are still there."
    return f"{job.environment.name} is up."
