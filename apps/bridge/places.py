"""Where the bridge keeps things in a data folder.

test_state.db                    the truth: sessions, transitions, layers, cases, handoffs
handoff.json                     the handoff that waits to be accepted
results.json                     the results of the session that ended last
bridge/lock                      held while a verb is at work
bridge/now.<environment>         the pointer for shells: session and layer
bridge/records/<session>.json    a copy of a session's rows, from which a broken database is built anew
bridge/spool/<session>.…         results that shells have written, a file for each process
"""

import errno
import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from apps.bridge.errors import BridgeRefusal, DatabaseLocked, DiskFull, FolderUnwritable
from apps.common.files import sync_folder

POLL_SECONDS = 0.005


@dataclass(frozen=True, slots=True)
class Places:
    data: Path
    environment: str

    @property
    def database(self) -> Path:
        return self.data / "test_state.db"

    @property
    def handoff(self) -> Path:
        return self.data / "handoff.json"

    @property
    def results(self) -> Path:
        return self.data / "results.json"

    @property
    def records(self) -> Path:
        return self.data / "bridge" / "records"

    @property
    def spool(self) -> Path:
        return self.data / "bridge" / "spool"

    def record(self, session: str) -> Path:
        return self.records / f"{session}.json"

    def pointer(self, environment: str) -> Path:
        return self.data / "bridge" / f"now.{environment}"

    @contextmanager
    def locked(self, patience_seconds: float) -> Iterator[None]:
        """The one lock of a data folder: verbs take turns. It goes with its holder, however that ends."""
        with self.refusing():
            for folder in (self.records, self.spool):
                folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.data / "bridge" / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            deadline = time.monotonic() + patience_seconds
            while not _try_lock(handle):
                if time.monotonic() > deadline:
                    raise DatabaseLocked(environment=self.environment)
                time.sleep(POLL_SECONDS)
            with self.refusing():
                yield
        finally:
            os.close(handle)

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """What the system refuses, as a refusal with a cure."""
        try:
            yield
        except sqlite3.Error:
            raise
        except OSError as error:
            raise self.refusal_of(error) from error

    def refusal_of(self, error: OSError) -> BridgeRefusal:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return DiskFull(f"The disk of {self.data} is full.", environment=self.environment)
        return FolderUnwritable(
            f"{error.filename or self.data}: {error.strerror or error}.", environment=self.environment
        )


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def remove(path: Path) -> None:
    """Remove a file for good; one that is not there already is as well."""
    try:
        path.unlink()
    except FileNotFoundError:
        return
    sync_folder(path.parent)
