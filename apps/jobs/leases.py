"""Leases: one worker at a time holds a job, and can prove it with each write.

What holds:
- A claim is one compare-and-set; of any number of claimants one wins. The fencing number grows with each.
- Every write names the fencing number. Once the job is finished, requeued or claimed anew, a stale worker's write
  changes no row, and its lease is lost for good.
- The lease is also lost when its time has passed by this machine's monotonic clock since the last renewal was *asked*
  for, whatever the database or the wall clock say. Setting a clock back cannot bring a lost lease to life.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from django.conf import settings
from django.db import Error, InterfaceError, OperationalError, connection, transaction
from django.db.models import F, Q
from django.db.models.functions import Coalesce

from apps.common.errors import FlowControlError
from apps.jobs import events, registry, workers
from apps.jobs.models import Job
from apps.jobs.moment import moment
from apps.jobs.states import FINAL, State
from apps.jobs.transitions import move

# How often the heartbeat looks whether the job was cancelled or taken away.
POLL_SECONDS = 1.0
RETRY_SECONDS = 0.3
# What a database that is away, locked or restarting raises.
AWAY = (OperationalError, InterfaceError)

logger = logging.getLogger(__name__)


class LeaseLostError(FlowControlError):
    """This worker no longer holds the job; another may be at work on it."""

    code = "lease_lost"


def claim(model: type[Job], pk: int, *, worker: str = "") -> Lease | None:
    """Take a queued, due job for `worker`. None when it is not to be had: taken, final, cancelled, not due or gone.

    The lease runs from here; enter it (`with lease:`) at once so that it is renewed.
    """
    kind = registry.kind_of(model)
    asked_at = time.monotonic()
    due = Q(queued_at__isnull=False) & (Q(available_at__isnull=True) | Q(available_at__lte=moment()))
    job = move(
        kind,
        pk,
        State.QUEUED,
        State.RUNNING,
        where=due,
        fields={
            "fence": F("fence") + 1,
            "attempt": F("attempt") + 1,
            "worker": worker or workers.this_process(),
            "lease_expires_at": moment(settings.LEASE_SECONDS),
            "started_at": Coalesce(F("started_at"), moment()),
            "progress": 0.0,
            "message": "",
        },
    )
    return Lease(kind, job, asked_at) if job else None


class Lease:
    """The right to work on one job. As a context manager it renews itself from a thread until it is left.

    Left with an exception, the job fails with that as its message; left without a result, likewise. Left by an exit of
    the process (KeyboardInterrupt, SystemExit) it stays as it is, and the reconciler gives it to another worker.
    """

    def __init__(self, kind: registry.JobKind, job: Job, asked_at: float) -> None:
        self.kind = kind
        self.job: Any = job  # as read at the claim; the work may refresh it
        self.fence: int = job.fence
        self.events = events.Batcher(self._write_batch)
        self._seconds = float(settings.LEASE_SECONDS)
        self._valid_until = asked_at + self._seconds
        self._lost = threading.Event()
        self._cancelled = threading.Event()
        self._stop = threading.Event()  # wakes whoever waits: lost, cancelled, or done
        self._ending = False  # the row is about to leave `running` by our own hand
        self._done = threading.Event()
        self._thread: threading.Thread | None = None

    # --- what the work asks ----------------------------------------------------------------

    @property
    def lost(self) -> bool:
        """True once the job is no longer ours; it never becomes False again. The work stops then, and writes nothing."""
        if not self._lost.is_set() and not self._done.is_set() and time.monotonic() >= self._valid_until:
            self._lose("its lease was not renewed in time")
        return self._lost.is_set()

    def cancel_requested(self) -> bool:
        """Whether a person asked to stop; known about a second after. The work then finishes as cancelled."""
        return self._cancelled.is_set()

    def should_stop(self) -> bool:
        """Lost or cancelled."""
        return self.lost or self.cancel_requested()

    def wait(self, seconds: float) -> bool:
        """Sleep, but wake when the work should stop. Returns should_stop()."""
        deadline = time.monotonic() + seconds
        while not self.should_stop() and (rest := deadline - time.monotonic()) > 0:
            if self._stop.wait(max(0.0, min(rest, self._valid_until - time.monotonic()))):
                break
        return self.should_stop()

    # --- what the work writes --------------------------------------------------------------

    def write(self, **fields: Any) -> bool:
        """Set fields of the row. False, and nothing written, when the lease is lost."""
        return self._persist(lambda: bool(self._rows().update(**fields)))

    def append(self, kind: str, data: dict[str, Any]) -> int:
        """Append one event now. Returns its number; 0 when the lease is lost. For log lines use `events.add`."""
        numbers: list[int] = []

        def put() -> bool:
            numbers.append(events.append(self.job, kind, data, fence=self.fence))
            return bool(numbers[-1])

        return numbers[-1] if self._persist(put) else 0

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """A transaction for rows beside the job's that holds only while the lease does. Raises LeaseLostError before it begins.

        It renews the lease with its first statement, which locks the row: nobody takes the job until it commits.
        """
        asked_at = time.monotonic()
        with transaction.atomic():
            if self.lost or not self._rows().update(lease_expires_at=moment(self._seconds)):
                self._lose("another holds it")
                raise LeaseLostError(hint="Stop; what was not written is left to the worker that has it.")
            yield
        self._valid_until = max(self._valid_until, asked_at + self._seconds)

    def finish(
        self, state: str, message: str = "", *, on_final: Callable[[Any], None] | None = None, **fields: Any
    ) -> bool:
        """End the job as `state` (final) with a plain sentence; pending events are written first, the final one last.

        `on_final(job)`, then the kind's own, run in the same transaction. Returns False, with nothing written, when
        the lease is lost. Called again after a success it changes nothing and returns False.
        """
        assert state in FINAL, f"{state} is not a final state"
        if self._done.is_set():
            return False

        def end() -> bool:
            self.events.flush()
            changes = {**fields, "message": message}
            held = Q(fence=self.fence)
            row = move(self.kind, self.job.pk, State.RUNNING, State(state), where=held, fields=changes, also=on_final)
            self.job = row or self.job
            return row is not None

        return self._leave(end)

    def give_back(self, message: str = "", *, delay: float = 0.0, **fields: Any) -> bool:
        """End this attempt without a result: the job is queued again, to be claimed after `delay` seconds; the reconciler's
        next pass after that sends its message.

        If somebody asked to cancel it, it is cancelled instead. The claim counted as an attempt; how many there may be is
        the caller's to say (`max_attempts` among the fields). Returns False, with nothing written, when the lease is lost.
        """
        line = {
            "queue": self.kind.queue(self.job),
            "queued_at": moment(),
            "available_at": moment(delay),
            "send_after": moment(delay),
            "sends": 0,
        }

        def end() -> bool:
            self.events.flush()
            ours = Q(fence=self.fence)
            changes = {**line, **fields, "message": message}
            row = move(
                self.kind,
                self.job.pk,
                State.RUNNING,
                State.QUEUED,
                where=ours & Q(cancel_requested_at__isnull=True),
                fields=changes,
            )
            row = row or move(
                self.kind, self.job.pk, State.RUNNING, State.CANCELLED, where=ours, fields={"message": ""}
            )
            self.job = row or self.job
            return row is not None

        return self._leave(end)

    def _rows(self) -> Any:
        return self.kind.model.objects.filter(pk=self.job.pk, fence=self.fence, state=State.RUNNING)

    def _leave(self, end: Callable[[], bool]) -> bool:
        """Do the write that takes the job out of `running`; then the heartbeat has nothing left to do."""
        self._ending = True
        try:
            ended = self._persist(end)
        except BaseException:
            self._ending = False
            raise
        if ended:
            self._done.set()
            self._stop.set()
        return ended

    def _write_batch(self, entries: list[events.Entry], progress: float | None) -> bool:
        fields = {} if progress is None else {"progress": progress}
        if self.lost:
            return False
        if events.append_many(self.job, entries, fence=self.fence, fields=fields):
            return True
        if not self._ending:
            self._lose("another holds it")
        return False

    def _persist(self, put: Callable[[], bool]) -> bool:
        """Do a fenced write, again while the database is away and the lease is good. False when it is not (any more)."""
        while not self.lost:
            try:
                if put():
                    return True
            except AWAY as error:
                if connection.in_atomic_block:
                    raise
                logger.warning("%s: the database is away, trying again: %s", self, error)
                connection.close()
                time.sleep(RETRY_SECONDS)
            else:
                self._lose("another holds it")
        return False

    def _lose(self, why: str) -> None:
        if not self._lost.is_set():
            self._lost.set()
            self._stop.set()
            logger.warning("%s is lost: %s.", self, why)

    # --- the heartbeat ---------------------------------------------------------------------

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._beat, name=f"lease-{self.kind.name}-{self.job.pk}", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._done.is_set() or (error is not None and not isinstance(error, Exception)):
                return
            if error is None and not self.lost:
                self.finish(State.FAILED, "The work ended without saying how it went. This is a defect; see the log.")
            elif error is not None and not isinstance(error, (LeaseLostError, *AWAY)):
                logger.error("%s stopped on an error.", self, exc_info=error)
                self.finish(State.FAILED, f"It stopped on an unexpected error: {error}. See the worker's log.")
        except Error as second:
            logger.warning("%s could not be finished (%s); the reconciler will see to it.", self, second)
        finally:
            self._done.set()
            self._stop.set()
            self.events.close()
            if self._thread:
                self._thread.join(timeout=POLL_SECONDS)

    def _beat(self) -> None:
        """Look each POLL_SECONDS, renew each HEARTBEAT_SECONDS, on this thread's own connection, until it is over."""
        renew_at = self._valid_until - self._seconds + settings.HEARTBEAT_SECONDS
        pause = min(POLL_SECONDS, self._seconds / 5)
        try:
            while not self._done.wait(pause) and not self.lost:
                try:
                    if time.monotonic() >= renew_at:
                        self._renew()
                        renew_at = time.monotonic() + settings.HEARTBEAT_SECONDS
                    self._look()
                except AWAY as error:
                    logger.warning("%s could not be renewed yet: %s", self, error)
                    connection.close()
        finally:
            connection.close()

    def _renew(self) -> None:
        asked_at = time.monotonic()
        if self._rows().update(lease_expires_at=moment(self._seconds)):
            if not self.lost:
                self._valid_until = max(self._valid_until, asked_at + self._seconds)
        elif not self._ending:
            self._lose("another holds it")

    def _look(self) -> None:
        row = self._rows().values_list("cancel_requested_at", flat=True).first()
        if row is not None:
            self._cancelled.set()
            self._stop.set()
        elif not self._ending and not self._rows().exists():
            self._lose("another holds it")

    def __str__(self) -> str:
        return f"lease {self.fence} of {self.kind.name} {self.job.pk}"
