"""Logs on demand. The web has no socket of an engine: it asks who has one, by a task, and the answer comes by the cache.

Both are hints. An answer is kept for KEPT_SECONDS under a random token; a worker or a cache that dies in between costs
the reader a second click.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.core.cache import cache

from apps.environments.apps import DOCKER_QUEUE
from apps.environments.models import Environment
from apps.jobs import messages

TASK = "apps.environments.tasks.read_lines"
KEPT_SECONDS = 60
PATIENCE_SECONDS = 10.0  # after so long the reader is told that nobody answers

Kept = dict[str, Any]  # {"tails", "message", "hint"}, as they are in an Answer

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """`state`: waiting, lines, failed, nobody (has answered in time), gone (too old), away (the bus does not answer)."""

    state: str
    tails: Sequence[dict[str, Any]] = ()
    message: str = ""
    hint: str = ""


def ask(environment: Environment, service: str) -> str:
    """Have the last lines of a service read. The token of the answer; "" where nobody can be asked: the bus is away."""
    token = secrets.token_urlsafe(24)
    try:
        cache.set(_key(environment.pk, service, token), {"asked": time.time()}, KEPT_SECONDS)
    except Exception as error:  # noqa: BLE001 - whatever a cache's client raises
        logger.warning("Lines of %s cannot be asked for: %s", service, error)
        return ""
    sent = messages.ask(TASK, [environment.pk, service, token], queue=DOCKER_QUEUE, seconds=PATIENCE_SECONDS)
    return token if sent else ""


def answer(environment: Environment, service: str, token: str) -> Answer:
    """What has come so far. A token is worth something for its own environment and service alone."""
    try:
        kept = cache.get(_key(environment.pk, service, token))
    except Exception as error:  # noqa: BLE001 - whatever a cache's client raises
        logger.warning("Lines of %s cannot be looked up: %s", service, error)
        return Answer("away")
    if kept is None:
        return Answer("gone")
    if "asked" in kept:
        return Answer("waiting" if time.time() - kept["asked"] < PATIENCE_SECONDS else "nobody")
    return Answer("failed" if kept["message"] else "lines", kept["tails"], kept["message"], kept["hint"])


def leave(pk: int, service: str, token: str, kept: Kept) -> None:
    """Leave the answer for who asked."""
    cache.set(_key(pk, service, token), kept, KEPT_SECONDS)


def _key(pk: int, service: str, token: str) -> str:
    return f"environments:lines:{pk}:{service}:{token}"
