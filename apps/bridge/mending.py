"""What a repair does beside the states: guards, files, and a database that is damaged or gone.

A broken database is built anew beside itself, from the records of the sessions and from every row of it that can still
be read; then it takes the old one's place in one rename. The old one is kept under a name of its own. Killed anywhere,
the next repair begins again and finds the same.
"""

import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from apps.bridge import database, rows, schema, settling, spool, truth
from apps.bridge.errors import DatabaseCorrupt, DatabaseMissing, NoSession
from apps.bridge.places import Places, remove
from apps.bridge.records import Problem, Transition
from apps.bridge.states import FINAL, State
from apps.common import clock
from apps.common.files import sync_folder

_FINAL = frozenset(str(each) for each in FINAL)
_MERGED = {
    "sessions": "DO NOTHING",
    "transitions": "DO NOTHING",
    "cases": "DO NOTHING",
    "layers": "DO UPDATE SET status = excluded.status, ended_at = excluded.ended_at, message = excluded.message"
    " WHERE layers.status = 'running'",
    "handoffs": "DO UPDATE SET accepted_at = excluded.accepted_at, token = excluded.token"
    " WHERE handoffs.accepted_at = '' AND handoffs.document = excluded.document",
    "spools": "DO UPDATE SET bytes = excluded.bytes WHERE excluded.bytes > spools.bytes",
}  # the records come first: the rows of a damaged database may add, and say what came later

Row = dict[str, Any]
Told = Callable[[str], None]


def settle(connection: sqlite3.Connection, places: Places) -> None:
    """Write every file as the rows say, and put results aside that came after their session's end."""
    for key in rows.session_ids(connection):
        session = rows.session(connection, key)
        assert session is not None
        settling.write_record(connection, places, session)
        if session.state in FINAL:
            for name in spool.unread(connection, places.spool, key):
                late = places.data / "bridge" / "late" / name
                late.parent.mkdir(exist_ok=True)
                os.replace(places.spool / name, late)
    active = rows.active_session(connection)
    for pointer in (places.data / "bridge").glob("now.*"):
        if active is None or pointer != places.pointer(active.environment):
            remove(pointer)
    last = truth.last_ended(connection)
    if last:
        settling.write_results(connection, places, last)
    if active:
        settling.write_pointer(connection, places, active)
        settling.write_handoff(connection, places, active)
    else:
        remove(places.handoff)


def restore_guards(connection: sqlite3.Connection) -> None:
    """Put triggers back that somebody removed or changed."""
    gone = truth.missing_guards(connection)
    if gone:
        with database.transaction(connection):
            for name in gone:
                connection.execute(f"DROP TRIGGER IF EXISTS {name}")
                connection.execute(schema.TRIGGERS[name])


def rebuild_if_broken(places: Places, patience_seconds: float, told: Told) -> list[Problem]:
    """Build the database anew if it is damaged or gone; what was wrong with it."""
    try:
        with database.opened(places, patience_seconds) as connection:
            truth.check_whole(connection, places)
    except NoSession:
        return []
    except (DatabaseCorrupt, DatabaseMissing) as error:
        _rebuild(places, told)
        return [Problem(error.code, error.message)]
    return []


def _rebuild(places: Places, told: Told) -> None:
    found = _Found()
    for record in sorted(places.records.glob("*.json")):
        found.add_record(record)
    if database.exists(places.database):
        found.add_damaged(places.database)
    beside = places.database.with_name(".test_state.db.rebuilt")
    for each in (beside, _journal(beside)):
        each.unlink(missing_ok=True)
    _build(beside, found)
    told("rebuild: built")
    if database.exists(places.database):
        _set_aside(places.database)
    told("rebuild: set aside")
    os.replace(beside, places.database)
    sync_folder(places.data)
    told("rebuild: placed")


def _set_aside(path: Path) -> None:
    """Give the damaged file a second name; its own is taken by the new one in one step. A journal must not stay: SQLite
    would play it back into the new database."""
    kept = path.with_name(f"{path.name}.damaged-{clock.now():%Y%m%dT%H%M%S%f}")
    try:
        os.link(path, kept)
    except OSError:  # a file system without links
        shutil.copy2(path, kept)
    with suppress(FileNotFoundError):
        os.replace(_journal(path), _journal(kept))
    sync_folder(path.parent)


def _journal(path: Path) -> Path:
    return path.with_name(f"{path.name}-journal")


# --- what can be found ----------------------------------------------------------------------------


@dataclass
class _Found:
    """Rows by table, those of records first."""

    rows: dict[str, list[Row]] = field(default_factory=lambda: {name: [] for name in _MERGED})

    def add_record(self, path: Path) -> None:
        """The rows of one session, from its record. One that cannot be read adds nothing."""
        try:
            document = json.loads(path.read_bytes())
            results = document["results"]
            key = results["session"]
            new: dict[str, list[Row]] = {
                "sessions": [
                    {
                        "id": key,
                        "environment": results["environment"],
                        "created_at": results["started_at"],
                        "token": document["token"],
                    }
                ],
                "transitions": [_transition(key, each) for each in results["transitions"]],
                "layers": [_layer(key, each) for each in results["layers"]],
                "cases": [{**each, "session": key} for each in results["cases"]],
                "handoffs": [{**each, "session": key} for each in document["handoffs"]],
                "spools": [
                    {"file": file, "session": key, "bytes": place} for file, place in document["spools"].items()
                ],
            }
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return
        for table, more in new.items():
            self.rows[table] += more

    def add_damaged(self, path: Path) -> None:
        """Every row that SQLite can still read, from both ends of each table towards the damage."""
        with suppress(sqlite3.Error), closing(database.connect(path, 1.0)) as connection:
            connection.text_factory = lambda text: text.decode("utf-8", "replace")
            for table in self.rows:
                for order in ("ASC", "DESC"):
                    self.rows[table] += _readable(connection, table, order)


def _readable(connection: sqlite3.Connection, table: str, order: str) -> Iterator[Row]:
    with suppress(sqlite3.Error):
        for each in connection.execute(f"SELECT * FROM {table} ORDER BY rowid {order}"):
            yield {name: each[name] for name in each.keys() if name != "number"}  # noqa: SIM118 (a row is no dict)


def _transition(session: str, each: Row) -> Row:
    return {
        "session": session,
        "seq": each["seq"],
        "from_state": each["from"],
        "to_state": each["to"],
        **{name: each[name] for name in ("actor", "at", "reason", "digest")},
    }


def _layer(session: str, each: Row) -> Row:
    return {
        "session": session,
        "name": each["layer"],
        **{name: each[name] for name in ("status", "started_at", "ended_at", "message")},
    }


# --- the new one ----------------------------------------------------------------------------------


def _build(path: Path, found: _Found) -> None:
    """A whole database from the rows. The guards come last: rows are put back here, not moved."""
    with closing(database.connect(path, 1.0)) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        with database.transaction(connection):
            for statement in schema.TABLES:
                connection.execute(statement)
            _fill(connection, found)
            for statement in schema.TRIGGERS.values():
                connection.execute(statement)
            database.stamp(connection)


def _fill(connection: sqlite3.Connection, found: _Found) -> None:
    for each in found.rows["transitions"]:
        _put(connection, "transitions", each)
    sessions = {each["id"]: each for each in reversed(found.rows["sessions"])}
    ordered = sorted(sessions.values(), key=lambda each: str(each["created_at"]))
    for each in ordered:
        later = each is not ordered[-1]
        state = _last_state(connection, each["id"])
        if later and state not in _FINAL:
            state = _close_lost(connection, each["id"], state)
        _put(connection, "sessions", {**each, "state": state})
    for table in ("layers", "cases", "handoffs", "spools"):
        for each in found.rows[table]:
            _put(connection, table, each)
    for table in ("transitions", "layers", "cases", "handoffs"):  # of sessions that nothing else tells of
        connection.execute(f"DELETE FROM {table} WHERE session NOT IN (SELECT id FROM sessions)")


def _last_state(connection: sqlite3.Connection, session: str) -> str:
    row = connection.execute(
        "SELECT to_state FROM transitions WHERE session = ? ORDER BY seq DESC LIMIT 1", (session,)
    ).fetchone()
    return str(row[0]) if row else str(State.INITIALISED)


def _close_lost(connection: sqlite3.Connection, session: str, state: str) -> str:
    """A later session has begun, so this one had ended; how is lost with the rows."""
    way = [State.FAILED] if state == State.RECOVERING else [State.RECOVERING, State.FAILED]
    for target in way:
        at = clock.now().isoformat(timespec="microseconds")
        new = Transition(0, State(state), target, "operator:repair", at, "its end was lost with the database", "")
        rows.add_transition(connection, session, new)
        state = target
    return str(State.FAILED)


def _put(connection: sqlite3.Connection, table: str, row: Row) -> None:
    """Add a row, or what it says more than the one that is there. One that the schema refuses was damaged."""
    row = {name: value for name, value in row.items() if name in _columns(connection, table)}
    names, marks = ", ".join(row), ", ".join("?" for _ in row)
    with suppress(sqlite3.IntegrityError, sqlite3.InterfaceError, sqlite3.ProgrammingError):
        connection.execute(
            f"INSERT INTO {table} ({names}) VALUES ({marks}) ON CONFLICT {_MERGED[table]}",
            tuple(row.values()),
        )


def _columns(connection: sqlite3.Connection, table: str) -> set[str]:
    return {each[0] for each in connection.execute(f"SELECT * FROM {table} LIMIT 0").description}
