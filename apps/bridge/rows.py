"""Reading and writing the rows of `test_state.db`, within a transaction of the caller."""

import sqlite3
from dataclasses import astuple, replace

from apps.bridge import documents
from apps.bridge.records import CaseRecord, Issued, LayerRecord, Session, Transition
from apps.bridge.states import FINAL, State

_FINAL = ", ".join(f"'{each}'" for each in FINAL)
_CASE = "title, status, layer, source, seconds, attempts, flaky, message, at, key"  # as in CaseRecord


# --- sessions -----------------------------------------------------------------------------------


def active_session(connection: sqlite3.Connection) -> Session | None:
    return _session(connection.execute(f"SELECT * FROM sessions WHERE state NOT IN ({_FINAL})").fetchone())


def latest_session(connection: sqlite3.Connection, environment: str) -> Session | None:
    query = "SELECT * FROM sessions WHERE environment = ? ORDER BY number DESC LIMIT 1"
    return _session(connection.execute(query, (environment,)).fetchone())


def session(connection: sqlite3.Connection, key: str) -> Session | None:
    return _session(connection.execute("SELECT * FROM sessions WHERE id = ?", (key,)).fetchone())


def session_ids(connection: sqlite3.Connection) -> list[str]:
    return [each["id"] for each in connection.execute("SELECT id FROM sessions ORDER BY number")]


def add_session(connection: sqlite3.Connection, new: Session) -> None:
    """The row; its first transition follows in the same transaction."""
    connection.execute(
        "INSERT INTO sessions (id, environment, created_at, token) VALUES (?, ?, ?, ?)",
        (new.id, new.environment, new.created_at, new.token),
    )


def _session(row: sqlite3.Row | None) -> Session | None:
    if row is None:
        return None
    return Session(row["id"], row["environment"], State(row["state"]), row["created_at"], row["token"])


# --- transitions ----------------------------------------------------------------------------------


def transitions(connection: sqlite3.Connection, session: str) -> list[Transition]:
    found = connection.execute("SELECT * FROM transitions WHERE session = ? ORDER BY seq", (session,))
    return [
        Transition(
            each["seq"],
            State(each["from_state"]) if each["from_state"] else None,
            State(each["to_state"]),
            each["actor"],
            each["at"],
            each["reason"],
            each["digest"],
        )
        for each in found
    ]


def add_transition(connection: sqlite3.Connection, session: str, new: Transition) -> Transition:
    """Number, seal and add it; the triggers move the session. `new.seq` and `new.digest` are of no meaning."""
    before = connection.execute(
        "SELECT seq, digest FROM transitions WHERE session = ? ORDER BY seq DESC LIMIT 1", (session,)
    ).fetchone()
    numbered = replace(new, seq=before["seq"] + 1 if before else 1)
    sealed = replace(
        numbered, digest=documents.transition_digest(before["digest"] if before else "", session, numbered)
    )
    connection.execute("INSERT INTO transitions VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (session, *astuple(sealed)))
    return sealed


# --- layers ---------------------------------------------------------------------------------------


def layers(connection: sqlite3.Connection, session: str) -> list[LayerRecord]:
    query = "SELECT name, status, started_at, ended_at, message FROM layers WHERE session = ? ORDER BY name"
    return [LayerRecord(*each) for each in connection.execute(query, (session,))]


def running_layer(connection: sqlite3.Connection, session: str) -> str:
    """The name of the layer that is running; "" if none is."""
    return next((each.name for each in layers(connection, session) if each.status == "running"), "")


def add_layer(connection: sqlite3.Connection, session: str, name: str, at: str) -> None:
    connection.execute("INSERT INTO layers (session, name, started_at) VALUES (?, ?, ?)", (session, name, at))


def judge_layer(connection: sqlite3.Connection, session: str, name: str, at: str, blame: str = "") -> None:
    """End a layer, or judge one again that has ended. It passed if a case passed and none failed.

    `blame` says why it failed, whatever its cases say.
    """
    query = "SELECT status, COUNT(*) FROM cases WHERE session = ? AND layer = ? GROUP BY status"
    found = dict(tuple(each) for each in connection.execute(query, (session, name)))
    message = blame or _verdict(found)
    status = "failed" if message or found.get("failed") else "passed"
    connection.execute(
        "UPDATE layers SET status = ?, message = ?, ended_at = CASE ended_at WHEN '' THEN ? ELSE ended_at END"
        " WHERE session = ? AND name = ? AND (status = 'running' OR (status = 'passed' AND ? = 'failed'))",
        (status, message, at, session, name, status),
    )


def _verdict(found: dict[str, int]) -> str:
    if not found:
        return "No case was recorded."
    if not found.get("passed") and not found.get("failed"):
        return "Every case was skipped, so nothing was proven."
    return ""


# --- cases ----------------------------------------------------------------------------------------


def cases(connection: sqlite3.Connection, session: str) -> list[CaseRecord]:
    """In the order of layers, then as they were recorded."""
    query = f"SELECT {_CASE} FROM cases WHERE session = ? ORDER BY layer, number"
    return [
        CaseRecord(**{**dict(each), "flaky": bool(each["flaky"])}) for each in connection.execute(query, (session,))
    ]


def case(connection: sqlite3.Connection, session: str, layer: str, key: str) -> CaseRecord | None:
    query = f"SELECT {_CASE} FROM cases WHERE session = ? AND layer = ? AND key = ?"
    row = connection.execute(query, (session, layer, key)).fetchone()
    return CaseRecord(**{**dict(row), "flaky": bool(row["flaky"])}) if row else None


def add_case(connection: sqlite3.Connection, session: str, new: CaseRecord) -> int:
    """Add a case; 0 if its key is there already. One of a layer that had passed, and failed, makes that layer fail."""
    added = connection.execute(
        f"INSERT INTO cases (session, {_CASE}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (session, layer, key) DO NOTHING",
        (session, *astuple(new)),
    ).rowcount
    if added and new.status == "failed":
        ended = connection.execute(
            "SELECT 1 FROM layers WHERE session = ? AND name = ? AND status = 'passed'", (session, new.layer)
        )
        if ended.fetchone():
            judge_layer(connection, session, new.layer, new.at)
    return added


def replace_case(connection: sqlite3.Connection, session: str, new: CaseRecord) -> None:
    connection.execute(
        "UPDATE cases SET title = ?, status = ?, source = ?, seconds = ?, attempts = ?, flaky = ?, message = ?, at = ?"
        " WHERE session = ? AND layer = ? AND key = ?",
        (
            *(new.title, new.status, new.source, new.seconds, new.attempts, new.flaky, new.message, new.at),
            *(session, new.layer, new.key),
        ),
    )


# --- handoffs and spools ----------------------------------------------------------------------------


def issued(connection: sqlite3.Connection, session: str) -> list[Issued]:
    """Every handoff of a session, the newest last. Only that one may be accepted."""
    query = "SELECT nonce, document, expires_at, accepted_at, token FROM handoffs WHERE session = ? ORDER BY number"
    return [Issued(*each) for each in connection.execute(query, (session,))]


def session_of_nonce(connection: sqlite3.Connection, nonce: str) -> str:
    row = connection.execute("SELECT session FROM handoffs WHERE nonce = ?", (nonce,)).fetchone()
    return str(row["session"]) if row else ""


def issue(connection: sqlite3.Connection, session: str, new: Issued) -> None:
    connection.execute(
        "INSERT INTO handoffs (nonce, session, document, expires_at) VALUES (?, ?, ?, ?)",
        (new.nonce, session, new.document, new.expires_at),
    )


def use_up(connection: sqlite3.Connection, nonce: str, at: str, token: str) -> None:
    connection.execute("UPDATE handoffs SET accepted_at = ?, token = ? WHERE nonce = ?", (at, token, nonce))


def spool_place(connection: sqlite3.Connection, file: str) -> int:
    row = connection.execute("SELECT bytes FROM spools WHERE file = ?", (file,)).fetchone()
    return int(row["bytes"]) if row else 0


def keep_spool_place(connection: sqlite3.Connection, session: str, file: str, place: int) -> None:
    connection.execute(
        "INSERT INTO spools (file, session, bytes) VALUES (?, ?, ?) ON CONFLICT (file) DO UPDATE SET bytes = excluded.bytes",
        (file, session, place),
    )


def spools(connection: sqlite3.Connection, session: str) -> dict[str, int]:
    found = connection.execute("SELECT file, bytes FROM spools WHERE session = ? ORDER BY file", (session,))
    return {each["file"]: each["bytes"] for each in found}
