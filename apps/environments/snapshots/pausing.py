"""Pausing containers for a copy, and going on whatever happens: a guard in a process of its own unpauses them when the one
that paused them is gone, and what was paused is written down first, for the case that the machine takes both."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from apps.common.files import write_atomic
from apps.environments.containers import commands
from apps.environments.models import Environment
from apps.environments.snapshots import places
from apps.environments.snapshots.errors import SnapshotFailed
from apps.environments.snapshots.hand import Hand

GUARD = Path(__file__).with_name("guard.py")


@contextmanager
def paused(hand: Hand, names: Sequence[str]) -> Iterator[None]:
    """The containers stand still inside; afterwards they run, also when this process is killed inside."""
    if not names:
        yield
        return
    journal = places.paused_file(hand.environment.slug)
    write_atomic(journal, json.dumps({"version": 1, "containers": list(names)}))
    guard = _guard(hand, names)
    try:
        hand.run(commands.pause(names))
        yield
    finally:
        # Its end of our pipe: it unpauses and ends. So there is one way, whether we are alive or not.
        guard.communicate()
        journal.unlink(missing_ok=True)


def _guard(hand: Hand, names: Sequence[str]) -> subprocess.Popen[bytes]:
    unpause = [commands.unpause([name]) for name in names]
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", str(GUARD), json.dumps(unpause)],
        env=dict(hand.variables),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert process.stdout
    if process.stdout.readline() != b"ready\n":
        raise SnapshotFailed("The guard of paused containers cannot be started; nothing was paused.")
    return process


def unpause_left(environment: Environment, hand: Hand | None = None) -> list[str]:
    """Unpause what a dead saver has left paused; returns the names. Nothing while a living one is at work."""
    journal = places.paused_file(environment.slug)
    if not journal.exists() or (hand is None and places.is_held(environment.slug)):
        return []
    hand = hand or Hand(environment)
    try:
        names = json.loads(journal.read_text())["containers"]
    except (ValueError, KeyError, OSError):
        names = []
    left = [name for name in names if hand.succeeds(commands.unpause([name]))]
    journal.unlink(missing_ok=True)
    return left
