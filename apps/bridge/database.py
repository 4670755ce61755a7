"""Opening `test_state.db`: a rollback journal and full flushes, for shells and bind mounts read and write it too."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from apps.bridge import schema
from apps.bridge.errors import (
    BridgeRefusal,
    DatabaseCorrupt,
    DatabaseLocked,
    DatabaseMissing,
    DatabaseNewer,
    DiskFull,
    FolderUnwritable,
    NoSession,
)
from apps.bridge.places import Places
from apps.common.files import sync_folder

_REFUSALS: dict[int, type[BridgeRefusal]] = {
    sqlite3.SQLITE_BUSY: DatabaseLocked,
    sqlite3.SQLITE_LOCKED: DatabaseLocked,
    sqlite3.SQLITE_CORRUPT: DatabaseCorrupt,
    sqlite3.SQLITE_NOTADB: DatabaseCorrupt,
    sqlite3.SQLITE_FULL: DiskFull,
    sqlite3.SQLITE_IOERR: FolderUnwritable,
    sqlite3.SQLITE_READONLY: FolderUnwritable,
    sqlite3.SQLITE_CANTOPEN: FolderUnwritable,
}


def exists(path: Path) -> bool:
    """Whether there is a database; an empty file is none."""
    return path.exists() and path.stat().st_size > 0


def create(path: Path) -> None:
    """A new database with the schema, built beside its place: killed on the way, there is none."""
    beside = path.with_name(".test_state.db.new")
    beside.unlink(missing_ok=True)
    with closing(connect(beside, 1.0)) as connection, transaction(connection):
        for statement in (*schema.TABLES, *schema.TRIGGERS.values()):
            connection.execute(statement)
        stamp(connection)
    os.replace(beside, path)
    sync_folder(path.parent)


def stamp(connection: sqlite3.Connection) -> None:
    connection.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {schema.VERSION}")


def connect(path: Path, patience_seconds: float) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=patience_seconds, isolation_level=None)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


@contextmanager
def opened(places: Places, patience_seconds: float) -> Iterator[sqlite3.Connection]:
    """The database of a data folder. What SQLite refuses becomes a refusal with a cure.

    Raises NoSession where nothing was ever begun, DatabaseMissing where records say that something was.
    """
    if not exists(places.database):
        if any(places.records.glob("*.json")):
            raise DatabaseMissing(environment=places.environment)
        raise NoSession(environment=places.environment)
    with refusing(places):
        connection = connect(places.database, patience_seconds)
        try:
            _check_version(connection, places)
            yield connection
        finally:
            with suppress(sqlite3.Error):
                connection.close()


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing, and one writer at a time."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


@contextmanager
def refusing(places: Places) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        refusal = refusal_of(error, places.environment)
        if refusal is None:
            raise
        raise refusal from error


def check(path: Path, environment: str, patience_seconds: float) -> bool:
    """Whether there is a database that can be read, for those who only look and take no lock. False where there is none.

    Raises DatabaseCorrupt, DatabaseNewer, or what else SQLite refuses. Reading begins no file and changes none.
    """
    if not exists(path):
        return False
    places = Places(path.parent, environment)
    with (
        refusing(places),
        closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=patience_seconds)) as it,
    ):
        _check_version(it, places)
        it.execute("SELECT 1 FROM sessions, transitions, cases LIMIT 1").fetchone()
    return True


def refusal_of(error: sqlite3.Error, environment: str) -> BridgeRefusal | None:
    """What SQLite refused, as a refusal with a cure; None where it is no refusal but a mistake of ours."""
    kind = _REFUSALS.get((getattr(error, "sqlite_errorcode", None) or 0) & 0xFF)
    if kind is None and "no such" in str(error):  # a table or column is gone: somebody took it away
        kind = DatabaseCorrupt
    if kind is None:
        return None
    return kind(f"{_sentence(kind)} SQLite says: {error}.", environment=environment)


def _sentence(kind: type[BridgeRefusal]) -> str:
    return (kind.__doc__ or "").strip()


def _check_version(connection: sqlite3.Connection, places: Places) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != schema.APPLICATION_ID:
        raise DatabaseCorrupt("test_state.db is no database of the bridge.", environment=places.environment)
    if version > schema.VERSION:
        raise DatabaseNewer(
            f"test_state.db is of version {version}; this side knows version {schema.VERSION}.",
            environment=places.environment,
        )
