"""Hints on the bus that a job has new events. A hint wakes a live page sooner; nothing depends on one arriving."""

import json
import logging
import threading
import time

import redis
from django.conf import settings

CHANNEL = "flowcontrol-job-events"
# After a failure the bus is left alone for a while, so that a dead one does not slow the work down.
PAUSE_SECONDS = 2.0
TIMEOUT_SECONDS = 0.5

logger = logging.getLogger(__name__)


class Bus:
    """One process's connection for hints. Made on first use, shared by all its threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._url = ""
        self._client: redis.Redis | None = None
        self._silent_until = 0.0

    def client(self) -> redis.Redis:
        """A client of the server that settings name now."""
        with self._lock:
            if self._client is None or self._url != settings.REDIS_URL:
                self._url = settings.REDIS_URL
                self._client = connect()
            return self._client

    def publish(self, channel: str, seq: int) -> bool:
        """Say that `channel` has events up to `seq`. Never raises; False when the bus could not be told."""
        if time.monotonic() < self._silent_until:
            return False
        try:
            self.client().publish(CHANNEL, json.dumps([channel, seq]))
        except (redis.RedisError, OSError, ValueError) as error:
            self._silent_until = time.monotonic() + PAUSE_SECONDS
            logger.info("The bus did not take a hint (%s); live pages read the table instead.", error)
            return False
        return True


def connect() -> redis.Redis:
    """A client with short timeouts; it connects on first use. Raises ValueError for an URL that is none."""
    client: redis.Redis = redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=TIMEOUT_SECONDS, socket_connect_timeout=TIMEOUT_SECONDS
    )
    return client


_bus = Bus()
publish = _bus.publish
