"""The files beside the database. Each is written whole from the rows, so it can be written again at any time."""

import json
import os
import sqlite3
from pathlib import Path

from apps.bridge import documents, rows
from apps.bridge.places import Places, remove
from apps.bridge.records import Session, Status
from apps.bridge.states import FINAL, RUNNING, State
from apps.common.files import write_atomic


def status_of(connection: sqlite3.Connection, session: Session) -> Status:
    return Status(session, tuple(rows.layers(connection, session.id)), tuple(rows.transitions(connection, session.id)))


def results_of(connection: sqlite3.Connection, session: Session) -> dict[str, object]:
    return documents.results_document(status_of(connection, session), rows.cases(connection, session.id))


def record_of(connection: sqlite3.Connection, session: Session) -> str:
    """The record's text. One line: it is for a machine, and written with every verb."""
    document = documents.record_document(
        status_of(connection, session),
        rows.cases(connection, session.id),
        rows.issued(connection, session.id),
        rows.spools(connection, session.id),
    )
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n"


def is_recorded(connection: sqlite3.Connection, places: Places, session: Session) -> bool:
    """Whether the record is as the rows are. While a layer runs its results may be newer: they come one by one."""
    try:
        found = json.loads(places.record(session.id).read_bytes())
        wanted = json.loads(record_of(connection, session))
        if session.state in RUNNING:
            return bool(found["results"]["transitions"] == wanted["results"]["transitions"])
        return bool(found == wanted)
    except (OSError, ValueError, LookupError, TypeError):
        return False


def pointer_of(connection: sqlite3.Connection, session: Session) -> str:
    """ "<session> <layer>", a dash where no layer is running."""
    return f"{session.id} {rows.running_layer(connection, session.id) or '-'}\n"


def handoff_of(connection: sqlite3.Connection, session: Session) -> str:
    """The text that handoff.json should have; "" where there should be none."""
    issued = rows.issued(connection, session.id)
    return issued[-1].document if issued and session.state == State.HANDOFF_OFFERED else ""


def write_record(connection: sqlite3.Connection, places: Places, session: Session) -> None:
    """Its folder is not flushed: after a loss of power the record is the new one or the one before, and whole."""
    _write_lightly(places.record(session.id), record_of(connection, session), flush=True)


def write_pointer(connection: sqlite3.Connection, places: Places, session: Session) -> None:
    if session.state in FINAL:
        places.pointer(session.environment).unlink(missing_ok=True)
    else:
        _write_lightly(places.pointer(session.environment), pointer_of(connection, session), flush=False)


def write_handoff(connection: sqlite3.Connection, places: Places, session: Session) -> None:
    """Put handoff.json in place, or take it away where nothing is offered.

    A removal is not flushed: a file that came back after a loss of power would be refused as used.
    """
    if text := handoff_of(connection, session):
        _write_if_other(places.handoff, text)
    else:
        places.handoff.unlink(missing_ok=True)


def write_results(connection: sqlite3.Connection, places: Places, session: Session) -> None:
    _write_if_other(places.results, documents.written(results_of(connection, session)))


def sweep_spool(connection: sqlite3.Connection, places: Places) -> None:
    """Remove what shells wrote for sessions that have ended, and was taken in."""
    for path in sorted(places.spool.iterdir()):
        session = rows.session(connection, path.name.partition(".")[0])
        if session and session.state in FINAL and rows.spool_place(connection, path.name) == path.stat().st_size:
            remove(path)


def _write_lightly(path: Path, text: str, *, flush: bool) -> None:
    """Old or new, never half, for whoever is killed. A flush is most of what a verb costs, so only what needs it has one."""
    if path.is_file() and path.read_bytes() == text.encode():
        return
    beside = path.with_name(f".{path.name}.new")  # under the lock: there is no other writer
    with beside.open("wb") as file:
        file.write(text.encode())
        file.flush()
        if flush:
            os.fsync(file.fileno())
    os.replace(beside, path)


def _write_if_other(path: Path, text: str) -> None:
    if not path.is_file() or path.read_bytes() != text.encode():
        write_atomic(path, text)
