"""A worker that takes runs starts its nursery at once, so that the first run does not wait for it."""

import logging
from typing import Any

from celery.signals import worker_ready

from apps.common.errors import FlowControlError
from apps.engine import nursery

logger = logging.getLogger(__name__)


def connect_signals() -> None:
    """Connecting twice is connecting once."""
    worker_ready.connect(_warm, dispatch_uid="runs-warm-nursery")


def _warm(sender: Any, **_: Any) -> None:
    if any(str(name).startswith("flows.") for name in sender.app.amqp.queues.consume_from):
        try:
            nursery.warm()
        except (OSError, FlowControlError) as error:
            logger.warning("Flows cannot be started ahead of the first run: %s", error)
