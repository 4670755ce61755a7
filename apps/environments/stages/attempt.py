"""One attempt at a change that is made of stages: in order, each recorded when it has ended.

Killed at any line, the row of the change says `running` with a lease that runs out, and the commands it had started die
with it. The worker that takes it up performs the stage that was running once more: each can be done again. Of those that
had ended it skips the ones that follow no file; what the files say now counts, not what they said when the change began.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from django.db import connection

from apps.common import clock
from apps.environments.models import StageRow
from apps.environments.stages import registry, stack
from apps.environments.stages.model import Change, Stage, StageFailed, Stopped
from apps.environments.stages.stand import Stand, Tell
from apps.jobs.leases import AWAY, Lease, LeaseLostError
from apps.jobs.states import State

Status = StageRow.Status
ENDED = (Status.SUCCEEDED, Status.SKIPPED)
AWAY_SECONDS = 0.3  # between two tries to reach the database
LONGEST_TAIL = 40  # lines kept of what failed

logger = logging.getLogger(__name__)


class Attempt:
    """The stages of one change, under one lease. `sentence` is what to say of it when all went well.

    A subclass may do otherwise where a stage fails, or the change is cancelled: `failed`, `cancelled`.
    """

    def __init__(self, lease: Lease, job: Change, sentence: Callable[[], str]) -> None:
        self.lease, self.job, self.sentence = lease, job, sentence
        self.rows: list[Any] = list(job.stages.all())

    def perform(self) -> None:
        """Do what is left of it and end the change. Never raises for what a stage says; a lease that is lost ends it here."""
        try:
            self.perform_stages(self.stand())
        except StageFailed as failure:  # before the first stage: the stack's own settings are wrong
            self.end_badly(self.rows[0], failure)
        except LeaseLostError:
            return  # whoever has it now goes on; nothing of ours counts any more
        except Stopped:
            if self.lease.cancel_requested() and not self.lease.lost:
                self.cancelled()

    def stand(self) -> Stand:
        return Stand(self.job, self.lease)

    def perform_stages(self, stand: Stand) -> None:
        for row in self.rows:
            stage = self.stage(row.name)
            if row.status in ENDED and not (stage.again and self.job.attempt > 1):
                continue
            if not self.perform_one(stand, row, stage):
                return
        self.lease.finish(State.SUCCEEDED, self.sentence())

    def stage(self, name: str) -> Stage:
        return registry.stage(name)

    def perform_one(self, stand: Stand, row: Any, stage: Stage) -> bool:
        """Whether the stage ended well; where not, the change has ended."""
        stand.check()
        self.write(row, status=Status.RUNNING, started_at=clock.now(), finished_at=None, message="", progress=0.0)
        try:
            stand.tell = self._teller(row)
            outcome = stage.perform(stand)
        except StageFailed as failure:
            self.end_badly(row, failure)
            return False
        status = Status.SKIPPED if outcome.skipped else Status.SUCCEEDED
        end = {"message": stand.masked(outcome.message), "refers_to": outcome.refers_to}
        self.write(row, status=status, finished_at=clock.now(), progress=1.0, **end)
        return True

    def failed(self, row: Any, message: str) -> None:
        """A stage has failed, and its row says so: end the change."""
        self.lease.finish(State.FAILED, f"{row.title}: {message}")

    def cancelled(self) -> None:
        """Somebody asked for an end: end the change."""
        by = type(self.job).objects.values_list("cancel_requested_by", flat=True).get(pk=self.job.pk)
        self.lease.finish(State.CANCELLED, f"Cancelled by {by}. What was running still runs.")

    def end_badly(self, row: Any, failure: StageFailed) -> None:
        hide = stack.masker(self.job.environment)
        tail = "\n".join(hide(line) for line in failure.tail[-LONGEST_TAIL:])
        end = {"message": hide(failure.message), "hint": hide(failure.hint), "tail": tail}
        self.write(row, status=Status.FAILED, finished_at=clock.now(), **end)
        self.failed(row, end["message"])

    def _teller(self, row: Any) -> Tell:
        """How a stage says how far it is: on its row and on the job's, a few times a second at most."""

        def tell(fraction: float, message: str) -> None:
            if (row.progress, row.message) != (fraction, message):
                self.write(row, progress=fraction, message=message)

        return tell

    def write(self, row: Any, **fields: Any) -> None:
        """Write a stage's row, and tell of it. Raises LeaseLostError; then nothing is written."""
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
