"""A session brought to a state, and what stands in its folder."""

import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema

from apps.bridge.protocol import Bridge
from apps.bridge.records import CaseRecord
from apps.bridge.states import State

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs" / "reference"
LIVE = (
    State.INITIALISED,
    State.SHELL_RUNNING,
    State.HANDOFF_OFFERED,
    State.HANDOFF_ACCEPTED,
    State.APP_RUNNING,
)


def bring_to(bridge: Bridge, state: State) -> Bridge:
    """A new session, gone forward to `state`."""
    bridge.init()
    if state in (State.COMPLETED, State.FAILED, State.ABORTED):
        bring_on(bridge, State.APP_RUNNING)
        {"completed": bridge.complete, "failed": lambda: bridge.fail("for a test"), "aborted": bridge.abort}[state]()
    elif state is State.RECOVERING:
        enter_recovering(bridge)
    else:
        bring_on(bridge, state)
    assert bridge.status().session.state == state
    return bridge


def bring_on(bridge: Bridge, state: State) -> None:
    steps = (
        lambda: None,
        lambda: (bridge.begin_layer("L0"), bridge.record(CaseRecord("it is there", "passed"))),
        bridge.offer,
        bridge.accept,
        lambda: (bridge.begin_layer("L5"), bridge.record(CaseRecord("it runs", "passed"))),
    )
    for each in steps[: LIVE.index(state) + 1]:
        each()


def enter_recovering(bridge: Bridge) -> None:
    """As a repair leaves it that was killed."""
    raw(bridge.places.data, transition("recovering"))


def transition(target: str, source: str = "state", seq: str = "") -> str:
    """SQL that moves the active session by hand."""
    number = seq or "(SELECT MAX(seq) + 1 FROM transitions WHERE session = id)"
    return (
        "INSERT INTO transitions (session, seq, from_state, to_state, actor)"
        f" SELECT id, {number}, {source}, '{target}', 'hand' FROM sessions ORDER BY number DESC LIMIT 1"
    )


def raw(data: Path, *statements: str) -> list[Any]:
    """What a plain sqlite3 shell would do: no settings of ours."""
    connection = sqlite3.connect(data / "test_state.db", isolation_level=None)
    try:
        found = [connection.execute(each).fetchall() for each in statements]
        return found[-1]
    finally:
        connection.close()


def everything(data: Path) -> dict[str, bytes | str]:
    """All that a refusal may not change: every file's bytes, and every row."""
    files: dict[str, bytes | str] = {
        str(path.relative_to(data)): path.read_bytes()
        for path in sorted(data.rglob("*"))
        if path.is_file() and path.name not in ("lock", "test_state.db")
    }
    try:
        connection = sqlite3.connect(f"file:{data / 'test_state.db'}?mode=ro", uri=True, timeout=0)
        files["rows"] = "\n".join(connection.iterdump())
        connection.close()
    except sqlite3.Error as error:
        files["rows"] = str(error)
    return files


def rows(data: Path) -> bytes | str:
    return everything(data)["rows"]


def results(data: Path) -> dict[str, Any]:
    """results.json, which is as its schema says."""
    document: dict[str, Any] = json.loads((data / "results.json").read_text())
    jsonschema.validate(document, json.loads((REFERENCE / "results.schema.json").read_text()))
    return document


def manage(data: Path, *words: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    import os

    return subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), "bridge", *words],
        env={**os.environ, "FLOWCONTROL_DATA": str(data), **(env or {})},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
