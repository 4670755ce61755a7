"""The Celery message that tells a worker of a job. A hint: lost or doubled, it changes nothing but the waiting time."""

import functools
import logging
from pathlib import Path
from typing import Any

from celery import Celery
from django.conf import settings

from apps.jobs.registry import JobKind

# A page waits for this: a broker that is away is known at once, not after the six seconds of the defaults.
IMPATIENT = {"max_retries": 0, "socket_timeout": 2.0, "socket_connect_timeout": 2.0}
# A pooled connection to a broker that was restarted is broken; a new one is not.
ONCE_MORE = {"max_retries": 1, "interval_start": 0, "interval_step": 0, "interval_max": 0}

logger = logging.getLogger(__name__)


@functools.cache
def _sender() -> Celery:
    """An application that only sends. Web pages and commands have none of their own, and need no tasks loaded."""
    app = Celery("flowcontrol.sender", set_as_current=False)
    app.config_from_object("django.conf:settings", namespace="CELERY")
    app.conf.broker_transport_options = {**settings.CELERY_BROKER_TRANSPORT_OPTIONS, **IMPATIENT}
    return app


def send(kind: JobKind, pk: int, queue: str) -> bool:
    """Send the message of one job. Never raises; False when the broker did not take it: the reconciler sends again."""
    try:
        _sender().send_task(kind.task, args=[pk], queue=queue, retry=True, retry_policy=ONCE_MORE)
    except Exception as error:  # noqa: BLE001 - whatever a broker's client raises, the row is safe
        logger.log(_level(), "The message for %s %s was not sent (%s); it will be sent again.", kind.name, pk, error)
        return False
    return True


def _level() -> int:
    """Without a portal beside it a command does its work itself: that there is no bus to send to worries nobody."""
    path = settings.REDIS_URL.removeprefix("unix://")
    return logging.WARNING if path == settings.REDIS_URL or Path(path).exists() else logging.INFO


def ask(task: str, args: list[Any], *, queue: str, seconds: float) -> bool:
    """Send a task that no row stands behind, for somebody who waits for its answer: after `seconds` no worker begins it.
    Never raises; False when the broker did not take it."""
    try:
        _sender().send_task(task, args=args, queue=queue, expires=seconds, retry=True, retry_policy=ONCE_MORE)
    except Exception as error:  # noqa: BLE001 - whatever a broker's client raises, who asks is told
        logger.warning("%s could not be asked of queue %s: %s", task, queue, error)
        return False
    return True
