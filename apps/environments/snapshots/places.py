"""Where snapshots are, and who may work there: one save or restore of an environment at a time.

data/snapshots/<name>/          a snapshot that counts: manifest.json and its members
data/snapshots/.part-<name>/    one that is being made, or whose maker is dead
data/snapshots/.gone-<name>/    one that is being removed
data/snapshots/.lock.<slug>     held while its state is saved or restored; it goes with its holder, however that ends
data/snapshots/.paused.<slug>   the containers that a save has paused
data/snapshots/.restore.<slug>  how far a restore is
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings

from apps.common import clock
from apps.environments.models import Environment
from apps.environments.snapshots.errors import SnapshotBusy, telling_of_a_full_disk

NAME = re.compile(r"(?P<slug>[a-z][a-z0-9-]*)-\d{8}-\d{6}-[0-9a-f]{6}")


def folder() -> Path:
    return Path(settings.DATA) / "snapshots"


def new_name(slug: str) -> str:
    return f"{slug}-{clock.now():%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def slug_of(name: str) -> str:
    """The environment that a name of a snapshot is of; "" where it is no such name."""
    found = NAME.fullmatch(name)
    return found["slug"] if found else ""


def names(slug: str) -> list[str]:
    """The snapshots of an environment whose folders are there, the newest first."""
    if not folder().is_dir():
        return []
    return sorted((each.name for each in folder().iterdir() if slug_of(each.name) == slug), reverse=True)


def paused_file(slug: str) -> Path:
    return folder() / f".paused.{slug}"


def restore_file(slug: str) -> Path:
    return folder() / f".restore.{slug}"


@contextmanager
def held(environment: Environment) -> Iterator[None]:
    """Nobody else saves or restores the environment's state meanwhile. Raises SnapshotBusy."""
    with telling_of_a_full_disk(folder()):
        folder().mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(folder() / f".lock.{environment.slug}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SnapshotBusy(
                f"The state of {environment.slug} is being saved or restored by another process.",
                hint="Wait until that has ended.",
            ) from None
        yield
    finally:
        os.close(handle)


def is_held(slug: str) -> bool:
    """Whether a process saves or restores now."""
    try:
        handle = os.open(folder() / f".lock.{slug}", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def sweep(slug: str) -> list[str]:
    """Remove what dead savers and pruners have left; the caller holds the environment. Returns the names."""
    gone = []
    for each in folder().iterdir():
        mark, _, name = each.name.partition("-")
        if mark in (".part", ".gone") and slug_of(name) == slug:
            shutil.rmtree(each, ignore_errors=True)
            gone.append(name)
    return gone
