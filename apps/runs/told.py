"""What the engine tells of a run while it works → rows of steps and checks, and the job's events, in batches."""

from __future__ import annotations

import logging
import queue
import threading
import time
from typing import Any

from django.db import connection

from apps.engine.process import FlowProcess
from apps.jobs import events
from apps.jobs.leases import AWAY, Lease, LeaseLostError
from apps.runs import record
from apps.runs.models import Run, StepRun

BATCH_SECONDS = 0.25
MOST_UNREAD = 10_000  # beyond it the flow's process waits until what it told is written

logger = logging.getLogger(__name__)


class Reader:
    """Reads a process's events in a thread, so that whoever writes them can also look at the clock."""

    def __init__(self, process: FlowProcess) -> None:
        self._process = process
        self._events: queue.Queue[dict[str, Any] | None] = queue.Queue(MOST_UNREAD)
        self._over = False
        self.failure: Exception | None = None  # why reading ended, where it was not the process's end
        self._thread = threading.Thread(target=self._read, name="flow-events", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            for event in self._process.events():
                self._events.put(event)
        except Exception as error:  # noqa: BLE001  it is raised where the outcome is asked for
            self.failure = error
        finally:
            self._events.put(None)

    def batch(self) -> tuple[list[dict[str, Any]], bool]:
        """What was told in the next BATCH_SECONDS, and whether that was the end; after it, nothing at once."""
        found: list[dict[str, Any]] = []
        deadline = time.monotonic() + BATCH_SECONDS
        while not self._over and (rest := deadline - time.monotonic()) > 0:
            try:
                event = self._events.get(timeout=rest)
            except queue.Empty:
                break
            if event is None:
                self._over = True
                break
            found.append(event)
        return found, self._over


class Rows:
    """Writes what was told, fenced by the lease: a step's row and the event that announces it in one transaction.

    While the database is away it keeps what it has. Once the lease is lost it writes nothing.
    """

    def __init__(self, lease: Lease, run: Run) -> None:
        self._lease, self._run = lease, run
        self._steps: dict[tuple[str, str], StepRun] = {}
        self._new: list[StepRun] = []
        self._changed: dict[tuple[str, str], StepRun] = {}
        self._checks: list[dict[str, Any]] = []
        self._checks_written = 0
        self._entries: list[events.Entry] = []
        self._progress: float | None = None

    def take(self, told: list[dict[str, Any]]) -> None:
        """Note events of the engine; `flush` writes them."""
        for event in told:
            kind = event["kind"]
            data = {key: value for key, value in event.items() if key != "kind"}
            if kind == "progress":
                self._progress = float(event["fraction"])
                continue
            if kind == "done":  # the end of the run says it, with the rows
                continue
            if kind == "plan":
                self._plan(event["steps"])
            elif kind == "step":
                self._step(event)
            elif kind == "check":
                self._checks.append(event)
            self._entries.append((kind, data))

    def _plan(self, steps: list[dict[str, Any]]) -> None:
        for position, each in enumerate(steps):
            row = StepRun(run=self._run, name=each["name"], kind=each["kind"], position=position)
            self._steps[each["kind"], each["name"]] = row
            self._new.append(row)

    def _step(self, event: dict[str, Any]) -> None:
        key = (event["part"], event["name"])
        row = self._steps[key]
        row.state, row.rows, row.seconds = event["state"], event["rows"], event["seconds"]
        if row.pk is not None:
            self._changed[key] = row

    def flush(self, *, only_events: bool = False) -> bool:
        """Write what was noted; False while the database is away. `only_events`: the end of the run writes the rows."""
        progress = {} if self._progress is None else {"progress": min(max(self._progress, 0.0), 1.0)}
        entries = [*self._entries, *([("progress", {"fraction": progress["progress"]})] if progress else [])]
        if not entries:
            return True
        try:
            with self._lease.guarded():
                if not only_events:
                    self._write_rows()
                events.append_many(self._run, entries, fence=self._lease.fence, fields=progress)
        except AWAY as error:
            logger.warning("%s: what it told cannot be written yet: %s", self._run, error)
            for row in self._new:
                row.pk = None
            connection.close()
            return False
        except LeaseLostError:
            logger.info("%s is another worker's now.", self._run)
        self._checks_written += len(self._checks)
        self._new, self._changed, self._checks, self._entries, self._progress = [], {}, [], [], None
        return True

    def _write_rows(self) -> None:
        StepRun.objects.bulk_create(self._new)
        StepRun.objects.bulk_update(self._changed.values(), ["state", "rows", "seconds"])
        record.add_checks(self._run, self._checks, first=self._checks_written)
