"""The masker of all secrets there are, for `apps.common.masking`: kept in memory, decrypted anew only when one changed.

A process asks for the number of the generation at most every ASK_SECONDS, however many texts it masks. What it gets
from `variables.resolved` or sets itself, it masks from that moment on; what another process set, a second later.
"""

import asyncio
import logging
import os
import threading
import time

from django.core.exceptions import ImproperlyConfigured, SynchronousOnlyOperation
from django.db import Error, connection, transaction
from django.views.decorators.debug import sensitive_variables

from apps.common.errors import FlowControlError
from apps.common.masking import Masker
from apps.environments import keys
from apps.environments.models import Secret, SecretGeneration
from apps.environments.sealing import unseal

ASK_SECONDS = 1.0
PATIENCE_SECONDS = 5.0  # that a text waits for another thread's first load

logger = logging.getLogger(__name__)


class _Live:
    """What this process knows."""

    def __init__(self) -> None:
        self.masker = Masker()
        self.values: frozenset[str] = frozenset()
        self.generation: int | None = None  # None: never loaded
        self.asked_at = float("-inf")  # by the monotonic clock
        self.may_ask = True
        self.lock = threading.Lock()
        self.mine = threading.local()  # `asking`: this thread is at it, so what it logs meanwhile must not ask again


_live = _Live()


def current() -> Masker:
    """The masker, brought up to date where that is due and possible. Never raises: a text is masked as well as can be."""
    if _is_due() and _live.lock.acquire(timeout=PATIENCE_SECONDS if _live.generation is None else 0):
        _live.mine.asking = True
        try:
            _live.asked_at = time.monotonic()
            _refresh()
        # No tables yet, a database that is away, a test that may not use it: the next text tries again.
        except (Error, ImproperlyConfigured, RuntimeError, SynchronousOnlyOperation):
            pass
        finally:
            _live.mine.asking = False
            _live.lock.release()
    return _live.masker


def latest() -> Masker:
    return _live.masker


def reload() -> None:
    """Load all secrets now: called in the transaction that changed one, whose end may still undo it; then the number of
    the generation does not fit, and the next text loads them again. Raises django.db.Error."""
    _live.mine.asking = True
    try:
        with _live.lock:
            _load(_generation())
    finally:
        _live.mine.asking = False


@sensitive_variables()
def learn(values: frozenset[str]) -> None:
    """Mask these too, where they are not known yet: values that this process is about to hand on."""
    if not values <= _live.values:
        with _live.lock:
            _live.values |= values
            _live.masker = Masker(_live.values)


def _is_due() -> bool:
    asking = getattr(_live.mine, "asking", False)
    waited = time.monotonic() - _live.asked_at >= ASK_SECONDS
    return waited and _live.may_ask and not asking and not _on_a_loop()


def _on_a_loop() -> bool:
    """A thread that runs an event loop may not ask the database."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _refresh() -> None:
    if connection.in_atomic_block:
        with transaction.atomic():  # a mistake here must not spoil the work of somebody who only logs
            _load_if_changed()
    else:
        _load_if_changed()


def _load_if_changed() -> None:
    if (number := _generation()) != _live.generation:
        _load(number)


def _generation() -> int:
    return SecretGeneration.objects.filter(pk=1).values_list("number", flat=True).first() or 0


@sensitive_variables()
def _load(number: int) -> None:
    values, closed = set(), []
    rows = list(Secret.objects.select_related("environment"))
    try:
        known = keys.all_keys() if rows else ()
    except FlowControlError as error:
        logger.warning("No secret can be opened, so none can be masked: %s", error)
        rows, known = [], ()
    for row in rows:
        try:
            values.add(unseal(row, known))
        except FlowControlError:
            closed.append(str(row))
    if closed:
        logger.warning("Secrets that cannot be opened cannot be masked: %s", ", ".join(closed))
    _live.values, _live.generation = frozenset(values), number
    _live.masker = Masker(values)


def _after_fork() -> None:
    """A forked child shares its parent's database connection: it goes on with what the parent knew, and asks nothing."""
    _live.lock, _live.may_ask = threading.Lock(), False


os.register_at_fork(after_in_child=_after_fork)
