"""The numbered events of a job. A number is handed out under the job's row, so there are no gaps and no doubles."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import Error, connection, transaction
from django.db.models import F

from apps.common import masking
from apps.jobs import hints, registry
from apps.jobs.models import Job, JobEvent
from apps.jobs.states import State

FLUSH_SECONDS = 0.3
# With this many unwritten, whoever adds one more writes them all: the work waits, memory does not grow.
MOST_PENDING = 1000
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

logger = logging.getLogger(__name__)
Entry = tuple[str, dict[str, Any]]


def append(job: Job, kind: str, data: dict[str, Any], *, fence: int | None = None) -> int:
    """Append one event. Returns its number, or 0 where nothing was written (see `append_many`)."""
    return append_many(job, [(kind, data)], fence=fence)


def append_many(
    job: Job, entries: Sequence[Entry], *, fence: int | None = None, fields: dict[str, Any] | None = None
) -> int:
    """Append events in one transaction, set `fields` on the row, and hint at them on commit.

    Returns the number of the last one. With a `fence` it is a write of the work: where the job no longer runs under that
    number nothing is written and 0 is returned. 0 also where the row is gone. Killed in between: all of it or nothing.
    """
    if not entries:
        return 0
    kind, model = registry.kind_of(job), type(job)
    rows = model.objects.filter(pk=job.pk)
    if fence is not None:
        rows = rows.filter(fence=fence, state=State.RUNNING)
    with transaction.atomic():
        if not rows.update(event_seq=F("event_seq") + len(entries), **(fields or {})):
            return 0
        last: int = model.objects.values_list("event_seq", flat=True).get(pk=job.pk)
        write(kind, job.pk, last, entries)
    return last


def write(kind: registry.JobKind, pk: int, last: int, entries: Sequence[Entry]) -> None:
    """Insert events whose numbers, up to `last`, this transaction has taken from the row; hint when it commits."""
    assert connection.in_atomic_block, "events are written in the transaction that took their numbers"
    first = last - len(entries) + 1
    JobEvent.objects.bulk_create(
        JobEvent(job_kind=kind.name, job_id=pk, seq=first + offset, kind=each, data=clean(data))
        for offset, (each, data) in enumerate(entries)
    )
    channel = kind.channel(pk)
    transaction.on_commit(lambda: hints.publish(channel, last), robust=True)


def clean(data: dict[str, Any]) -> dict[str, Any]:
    """The same as every database and browser can hold it: no NUL, no half of a surrogate pair, no NaN; dates as text.

    And as everybody may read it: without the secrets of any environment.
    """
    text = json.dumps(masking.data(data), ensure_ascii=False, cls=DjangoJSONEncoder).replace("\\u0000", REPLACEMENT)
    cleaned: dict[str, Any] = json.loads(text.encode("utf-8", "replace"), parse_constant=lambda name: None)
    return cleaned


class Batcher:
    """Collects events and writes them together, at most every FLUSH_SECONDS, from a thread of its own.

    Of progress only the newest of a batch is kept. `write(entries, progress)` does the writing and answers whether the
    work still holds its lease; what is added after a False is dropped, since it is no longer this worker's to say.
    What a killed process had not flushed is lost: at most FLUSH_SECONDS of log lines, never a state.
    """

    def __init__(self, write: Callable[[list[Entry], float | None], bool]) -> None:
        self._write = write
        self._pending: list[Entry] = []
        self._progress: float | None = None
        self._lock = threading.Lock()
        self._writing = threading.Lock()  # one batch at a time, so that lines stay in order
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._refused = False
        self._thread: threading.Thread | None = None

    def add(self, kind: str, data: dict[str, Any]) -> None:
        """Write it soon. Blocks only while MOST_PENDING are unwritten."""
        with self._lock:
            self._pending.append((kind, data))
            full = len(self._pending) >= MOST_PENDING
            self._start()
        if full:
            self.flush()

    def progress(self, fraction: float) -> None:
        """Set the job's progress (0 to 1) soon; a newer one replaces it until it is written."""
        with self._lock:
            self._progress = min(max(fraction, 0.0), 1.0)
            self._start()

    def _start(self) -> None:
        self._wake.set()
        if self._thread is None and not self._closing.is_set():
            self._thread = threading.Thread(target=self._run, name="job-events", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        try:
            while not self._closing.is_set():
                self._wake.wait()
                self._closing.wait(FLUSH_SECONDS)
                try:
                    self.flush()
                except Error as error:
                    # They stay pending; the next round, or the end of the work, tries again.
                    logger.warning("Events could not be written, trying again: %s", error)
                    connection.close()
        finally:
            connection.close()

    def flush(self) -> bool:
        """Write what is pending now. False when the lease is lost. Raises django.db.Error, and keeps them, when it cannot."""
        with self._writing:
            with self._lock:
                entries, progress = self._pending, self._progress
                self._pending, self._progress = [], None
                self._wake.clear()
            if self._refused or not (entries or progress is not None):
                return not self._refused
            if progress is not None:
                entries = [*entries, ("progress", {"fraction": progress})]
            try:
                self._refused = not self._write(entries, progress)
            except Error:
                with self._lock:
                    self._pending = [each for each in entries if each[0] != "progress"] + self._pending
                    self._progress = progress if self._progress is None else self._progress
                    self._wake.set()
                raise
            return not self._refused

    def close(self) -> None:
        """Stop the thread. What is pending is not written: flush first."""
        self._closing.set()
        self._wake.set()
        if self._thread:
            self._thread.join(timeout=5)
