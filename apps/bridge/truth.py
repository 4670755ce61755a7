"""Where a session truly stands, by its rows, and everything that is not as it should be."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from apps.bridge import documents, rows, schema, settling, spool
from apps.bridge.errors import DatabaseCorrupt
from apps.bridge.places import Places
from apps.bridge.records import Handoff, Problem, Session
from apps.bridge.states import FINAL, State
from apps.common import clock


def true_state(connection: sqlite3.Connection, session: Session) -> State:
    """What the rows say, whatever the last transition says: somebody may have added one by hand."""
    before = next(
        (each.target for each in reversed(rows.transitions(connection, session.id)) if each.target != State.RECOVERING),
        State.INITIALISED,
    )
    issued = rows.issued(connection, session.id)
    if any(each.accepted_at for each in issued):
        return State.APP_RUNNING if before == State.APP_RUNNING else State.HANDOFF_ACCEPTED
    if issued and not rows.running_layer(connection, session.id):
        return State.HANDOFF_OFFERED
    return State.SHELL_RUNNING if rows.layers(connection, session.id) else State.INITIALISED


def is_current(connection: sqlite3.Connection, session: Session, handoff: Handoff) -> bool:
    """Whether results and state are those that the handoff was issued for."""
    results = documents.results_digest(rows.layers(connection, session.id), rows.cases(connection, session.id))
    transitions = rows.transitions(connection, session.id)
    return results == handoff.results_digest and transitions[-1].digest == handoff.state_digest


def check_whole(connection: sqlite3.Connection, places: Places) -> None:
    """Raise DatabaseCorrupt unless SQLite can read all of it and every table is there."""
    for (found,) in connection.execute("PRAGMA quick_check(1)"):
        if found != "ok":
            raise DatabaseCorrupt(f"test_state.db is damaged: {found}.", environment=places.environment)
    there = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    missing = {"sessions", "transitions", "layers", "cases", "handoffs", "spools"} - there
    if missing:
        raise DatabaseCorrupt(f"test_state.db has no table {min(missing)}.", environment=places.environment)


def missing_guards(connection: sqlite3.Connection) -> list[str]:
    there = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall())
    return [name for name, sql in schema.TRIGGERS.items() if there.get(name) != sql]


def problems(connection: sqlite3.Connection, places: Places) -> Iterator[Problem]:
    """What is not as it should be. Reads only."""
    check_whole(connection, places)
    for name in missing_guards(connection):
        yield Problem("guard_missing", f"The trigger {name} is gone, so a hand can break what it guards.")
    for key in rows.session_ids(connection):
        session = rows.session(connection, key)
        assert session is not None
        yield from _of_the_log(connection, session)
        yield from _of_the_files(connection, places, session)
    active = rows.active_session(connection)
    if active:
        yield from _of_the_state(connection, active)
    yield from _of_the_shared_files(connection, places, active)


def _of_the_log(connection: sqlite3.Connection, session: Session) -> Iterator[Problem]:
    """A digest that is empty was written by a plain shell, which is allowed; one that is wrong never is."""
    before = ""
    transitions = rows.transitions(connection, session.id)
    for each in transitions:
        if each.digest and each.digest != documents.transition_digest(before, session.id, each):
            yield Problem(
                "log_changed", f"Transition {each.seq} of session {session.id} is not as it was written; this stays so."
            )
        before = each.digest
    if not transitions or transitions[-1].target != session.state:
        yield Problem(
            "log_short", f"The transitions of session {session.id} do not lead to its state, {session.state}."
        )


def _of_the_files(connection: sqlite3.Connection, places: Places, session: Session) -> Iterator[Problem]:
    if not settling.is_recorded(connection, places, session):
        yield Problem("record_outdated", f"The record of session {session.id} is not as its rows are.")
    if session.state in FINAL:
        for name in spool.unread(connection, places.spool, session.id):
            yield Problem("late_results", f"bridge/spool/{name} has results from after the end; they do not count.")


def _of_the_state(connection: sqlite3.Connection, active: Session) -> Iterator[Problem]:
    true = true_state(connection, active)
    if active.state == State.RECOVERING:
        yield Problem("repair_unfinished", "A repair was begun and has not ended.")
    elif active.state != true:
        yield Problem("state_untrue", f"The session says {active.state}; its rows say {true}.")
    elif active.state == State.HANDOFF_OFFERED:
        issued = rows.issued(connection, active.id)[-1]
        if clock.now().isoformat() > issued.expires_at:
            yield Problem("handoff_expired", f"The handoff expired at {issued.expires_at}.")
        handoff = documents.read_handoff(issued.document.encode(), active.environment)
        if not is_current(connection, active, handoff):
            yield Problem("handoff_stale", "Results or state have changed since the handoff was issued.")


def _of_the_shared_files(connection: sqlite3.Connection, places: Places, active: Session | None) -> Iterator[Problem]:
    wanted = settling.handoff_of(connection, active) if active else ""
    found = places.handoff.read_bytes() if places.handoff.is_file() else b""
    if wanted and not found:
        yield Problem("handoff_missing", "A handoff is offered, but there is no handoff.json.")
    elif found != wanted.encode():
        word = "is not the one that is offered" if wanted else "is there, but nothing is offered"
        yield Problem("handoff_wrong", f"handoff.json {word}.")
    if active and not _says(places.pointer(active.environment), settling.pointer_of(connection, active)):
        yield Problem("pointer_wrong", f"bridge/now.{active.environment} does not name the active session and layer.")
    last = last_ended(connection)
    if last and not _says(places.results, documents.written(settling.results_of(connection, last))):
        yield Problem("results_wrong", f"results.json is not that of session {last.id}, which ended last.")


def last_ended(connection: sqlite3.Connection) -> Session | None:
    """At most one session is active, so the newest that has ended is the one that ended last."""
    ended = (rows.session(connection, key) for key in reversed(rows.session_ids(connection)))
    return next((each for each in ended if each and each.state in FINAL), None)


def _says(path: Path, text: str) -> bool:
    return path.is_file() and path.read_bytes() == text.encode()
