"""Wakes live streams when their job has new events: at once by a hint from the bus, else by looking at the rows.

django-eventstream carries the streams. As shipped it passes events on as they come by the bus, so one that is lost there,
or overtaken, is never seen. Here nothing is passed on: a stream is woken and reads what it lacks from the table.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import defaultdict
from typing import Any

import redis
from django.db import Error, connection
from django_eventstream.views import Listener, ListenerManager

from apps.jobs import hints, registry

# How often the rows are looked at, one query a kind however many streams there are; the bus may be dead all the while.
LOOK_SECONDS = 1.0
# How long a bus that failed is left alone.
PAUSE_SECONDS = 2.0
IDS_A_QUERY = 500

logger = logging.getLogger(__name__)


class WakingListeners(ListenerManager):
    """The library's list of open streams, with one thread a process that wakes them."""

    def __init__(self) -> None:
        super().__init__()
        self.watcher = Watcher(self)

    def add_listener(self, listener: Listener) -> None:
        super().add_listener(listener)
        self.watcher.begin()

    def channels(self) -> list[str]:
        """The channels that somebody watches."""
        with self.lock:
            return list(self.listeners_by_channel)

    def wake(self, channel: str) -> None:
        """Let each stream of `channel` read the table: "overflow" is the library's word for that."""
        with self.lock:
            for listener in self.listeners_by_channel.get(channel, ()):
                listener.overflow = True
                try:
                    listener.wake_threadsafe()
                except RuntimeError:  # its event loop has just been closed, and the stream with it
                    logger.debug("a stream of %s is gone", channel)


class Watcher:
    """The thread behind WakingListeners. It sleeps while nobody watches, and nothing that fails ends it."""

    def __init__(self, listeners: WakingListeners) -> None:
        self._listeners = listeners
        self._needed = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._seen: dict[str, int] = {}  # the newest event of each watched channel that its streams were woken for
        self._subscription: Any = None
        self._bus_after = 0.0

    def begin(self) -> None:
        """See to it that the thread runs and is awake."""
        self._needed.set()
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="job-watcher", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        look_at = 0.0
        while True:
            if not self._listeners.channels():
                self._rest()
            try:
                self._listen(max(0.0, look_at - time.monotonic()))
                if time.monotonic() >= look_at:
                    look_at = time.monotonic() + LOOK_SECONDS
                    self._look()
            except Exception:  # the next round may do better; without this thread no page is live
                logger.exception("The watcher of live pages failed; it goes on.")
                connection.close()
                time.sleep(LOOK_SECONDS)

    def _rest(self) -> None:
        """Hold no connection while nobody watches."""
        self._needed.clear()
        if not self._listeners.channels():
            self._unsubscribe()
            connection.close()
            self._seen.clear()
            self._needed.wait()

    def _look(self) -> None:
        """Wake the streams of each watched job whose row counts more events than they were woken for."""
        by_kind: dict[str, list[int]] = defaultdict(list)
        watched = self._listeners.channels()
        for name, pk in filter(None, map(parse_channel, watched)):
            by_kind[name].append(pk)
        try:
            for name, ids in by_kind.items():
                self._look_at(registry.kind(name), ids)
        except Error as error:
            logger.warning("Live pages wait for the database: %s", error)
            connection.close()
        for channel in self._seen.keys() - set(watched):
            del self._seen[channel]

    def _look_at(self, kind: registry.JobKind, ids: list[int]) -> None:
        for start in range(0, len(ids), IDS_A_QUERY):
            rows = kind.model.objects.filter(pk__in=ids[start : start + IDS_A_QUERY])
            for pk, seq in rows.values_list("pk", "event_seq"):
                self._wake(kind.channel(pk), seq)

    def _wake(self, channel: str, seq: int) -> None:
        if seq > self._seen.get(channel, 0):
            self._seen[channel] = seq
            self._listeners.wake(channel)

    def _listen(self, seconds: float) -> None:
        """Take hints for `seconds`, or just wait while the bus is away."""
        if time.monotonic() < self._bus_after:
            time.sleep(seconds)
            return
        try:
            if self._subscription is None:
                self._subscription = hints.connect().pubsub(ignore_subscribe_messages=True)
                self._subscription.subscribe(hints.CHANNEL)
            message = self._subscription.get_message(timeout=seconds)
        except (redis.RedisError, OSError, ValueError) as error:
            logger.info("Live pages do without the bus for now: %s", error)
            self._unsubscribe()
            self._bus_after = time.monotonic() + PAUSE_SECONDS
            return
        if message and (hint := _read(message["data"])):
            channel, seq = hint
            if channel in self._listeners.channels():
                self._wake(channel, seq)

    def _unsubscribe(self) -> None:
        if self._subscription is not None:
            try:
                self._subscription.close()
            except (redis.RedisError, OSError) as error:
                logger.debug("the subscription could not be closed: %s", error)
            self._subscription = None


def parse_channel(channel: str) -> tuple[str, int] | None:
    """`job-<kind>-<id>` as (kind, id); None for any other text."""
    parts = channel.split("-")
    if len(parts) == 3 and parts[0] == "job" and parts[2].isascii() and parts[2].isdigit():
        return parts[1], int(parts[2])
    return None


def _read(data: Any) -> tuple[str, int] | None:
    """A hint as it came from the bus, where anyone might have sent anything."""
    try:
        channel, seq = json.loads(data)
        return str(channel), int(seq)
    except (ValueError, TypeError):
        return None
