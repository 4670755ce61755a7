"""Which worker processes are alive. Each writes its row anew every few seconds, from a thread of its own."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Sequence
from typing import Any

from celery.signals import worker_ready, worker_shutdown, worker_shutting_down
from django.conf import settings
from django.db import Error, connection

from apps.common.alive import leave_sign
from apps.jobs.models import Job, Worker
from apps.jobs.moment import moment
from apps.jobs.states import State

FORGET_SECONDS = 24 * 3600

logger = logging.getLogger(__name__)


def alive_seconds() -> float:
    """How long after its last sign a worker counts as alive: as long as its leases do, three heartbeats."""
    return float(settings.LEASE_SECONDS)


def alive(queue: str = "") -> list[Worker]:
    """The workers that take work from `queue` now (from any, when empty), by name. A sign from the future was given before
    the clock was set back: it says nothing about now."""
    span = moment(-alive_seconds()), moment(alive_seconds())
    rows = Worker.objects.filter(seen_at__range=span).order_by("name")
    return [row for row in rows if not queue or queue in row.queues]


def no_worker_for(job: Job) -> str:
    """A sentence for the page of a queued job that nobody would pick up, else "" (also when it is not queued)."""
    if job.state != State.QUEUED or not job.queue or alive(job.queue):
        return ""
    return f"No worker is alive for queue {job.queue}. The job waits; start a worker and it goes on by itself."


def forget_dead() -> int:
    """Remove the rows of workers not seen for a day."""
    return Worker.objects.filter(seen_at__lt=moment(-FORGET_SECONDS)).delete()[0]


class Heartbeat:
    """Keeps one worker's row fresh until stopped. A database that is away is tried again at the next beat."""

    def __init__(self, name: str, queues: Sequence[str]) -> None:
        self.name = name
        self.queues = sorted(queues)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="worker-heartbeat", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Let the thread take the row away and end: this worker takes no more work and says so."""
        self._stop.set()

    def join(self) -> None:
        self._thread.join(timeout=2)

    def _run(self) -> None:
        try:
            self._beat(started_at=moment())
            while not self._stop.wait(settings.HEARTBEAT_SECONDS):
                self._beat()
            self._guard(lambda: Worker.objects.filter(name=self.name, pid=os.getpid()).delete())
        finally:
            connection.close()

    def _beat(self, **more: Any) -> None:
        fields = {"host": socket.gethostname(), "pid": os.getpid(), "queues": self.queues, "seen_at": moment(), **more}
        first = {"started_at": moment(), **fields}
        if self._guard(lambda: Worker.objects.update_or_create(name=self.name, defaults=fields, create_defaults=first)):
            leave_sign(settings.ALIVE, "worker")

    def _guard(self, write: Any) -> bool:
        try:
            write()
        except Error as error:
            logger.warning("Worker %s could not say that it is alive: %s", self.name, error)
            connection.close()
            return False
        return True


_heartbeat: Heartbeat | None = None


def this_process() -> str:
    """What this process is called in the rows of jobs it claims: the Celery worker's name, else host:pid."""
    return _heartbeat.name if _heartbeat else f"{socket.gethostname()}:{os.getpid()}"


def connect_signals() -> None:
    """Let each Celery worker process keep its row. Connecting twice is connecting once."""
    worker_ready.connect(_begin, dispatch_uid="jobs-heartbeat-begin")
    worker_shutting_down.connect(_leave, dispatch_uid="jobs-heartbeat-leave")
    worker_shutdown.connect(_end, dispatch_uid="jobs-heartbeat-end")


def _begin(sender: Any, **_: Any) -> None:
    global _heartbeat
    _heartbeat = Heartbeat(str(sender.hostname), [str(name) for name in sender.app.amqp.queues.consume_from])
    _heartbeat.start()


def _leave(**_: Any) -> None:
    if _heartbeat:
        _heartbeat.stop()


def _end(**_: Any) -> None:
    if _heartbeat:
        _heartbeat.stop()
        _heartbeat.join()
