"""Every arrow is there, and no other, for our verbs and for a plain sqlite3 shell alike."""

import shutil
import sqlite3
import subprocess
from itertools import product

import pytest

from apps.bridge.errors import BridgeRefusal
from apps.bridge.protocol import Bridge
from apps.bridge.states import ARROWS, FINAL, State, arrow
from tests.bridge.driving import bring_to, raw, transition

PAIRS = {(each.source, each.target) for each in ARROWS if each.source}
INSIDE = [each for each in ARROWS if each.source]


def test_no_arrow_is_there_twice():
    assert len({(each.source, each.target) for each in ARROWS}) == len(ARROWS)


def test_nothing_leads_out_of_an_end():
    assert [each for each in ARROWS if each.source in FINAL] == []


def test_every_state_is_reached_and_left():
    assert {each.target for each in ARROWS} == set(State)
    assert {each.source for each in ARROWS} == {None, *State} - FINAL


@pytest.mark.parametrize("source", State)
def test_by_hand_the_arrows_may_be_taken_and_no_other(source: State, bridge: Bridge, data):
    bring_to(bridge, source)
    taken = set()
    for target in State:
        try:
            raw(data, "BEGIN", transition(target))  # closing without COMMIT takes it back
        except sqlite3.IntegrityError as error:
            assert "no arrow leads there" in str(error)  # noqa: PT017
        else:
            taken.add(target)
    assert taken == {target for target in State if (source, target) in PAIRS}
    assert bridge.status().session.state == source


def _force(bridge: Bridge, source: State, target: State) -> None:
    """Take one arrow by the verb that the table names."""
    if target == State.RECOVERING:
        raw(bridge.places.data, transition("recovering"))
        return
    if target == State.HANDOFF_OFFERED and source == State.HANDOFF_OFFERED:
        raw(bridge.places.data, "UPDATE layers SET message = 'changed'")
        bridge.offer()
    elif target == State.FAILED and source == State.RECOVERING:
        bridge.repair(finish=True)
    elif source == State.RECOVERING and target != State.ABORTED:
        bridge.repair()
    else:
        verbs = {
            State.SHELL_RUNNING: lambda: bridge.begin_layer("L0"),
            State.HANDOFF_OFFERED: bridge.offer,
            State.HANDOFF_ACCEPTED: bridge.accept,
            State.APP_RUNNING: bridge.start_app,
            State.COMPLETED: bridge.complete,
            State.FAILED: lambda: bridge.fail("for a test"),
            State.ABORTED: bridge.abort,
        }
        verbs[target]()


@pytest.mark.parametrize("taken", INSIDE, ids=lambda each: f"{each.source}-{each.target}")
def test_the_verbs_take_each_arrow(taken, bridge: Bridge):
    if taken.source == State.RECOVERING and taken.target not in FINAL:
        bring_to(bridge, taken.target)
        _force(bridge, taken.target, State.RECOVERING)
    else:
        bring_to(bridge, taken.source)
    _force(bridge, taken.source, taken.target)
    last = bridge.status().transitions[-1]
    assert (last.source, last.target) == (taken.source, taken.target)
    if taken.target != State.RECOVERING:
        assert last.actor == f"{taken.side}:ada"
        assert last.digest
        assert last.reason


def test_a_session_begins_with_the_first_arrow(bridge: Bridge):
    bridge.init(reason="nightly")
    (first,) = bridge.status().transitions
    assert (first.seq, first.source, first.target, first.reason) == (1, None, State.INITIALISED, "nightly")


VERBS = {
    "layer": lambda bridge: bridge.begin_layer("L1"),
    "offer": lambda bridge: bridge.offer(),
    "accept": lambda bridge: bridge.accept(),
    "start": lambda bridge: bridge.start_app(),
    "complete": lambda bridge: bridge.complete(),
    "fail": lambda bridge: bridge.fail("for a test"),
    "abort": lambda bridge: bridge.abort(),
    "repair": lambda bridge: bridge.repair(finish=True),
}


@pytest.mark.parametrize(("state", "verb"), list(product(State, VERBS)))
def test_a_verb_takes_arrows_or_is_refused(state: State, verb: str, bridge: Bridge):
    bring_to(bridge, state)
    before = bridge.status().transitions
    try:
        VERBS[verb](bridge)
    except BridgeRefusal:
        assert bridge.status().transitions == before
    added = bridge.status().transitions[len(before) :]
    assert all(arrow(each.source, each.target) for each in added)
    assert [each.source for each in added] == [state, *[each.target for each in added]][: len(added)]


HANDS = {
    "a state is set": "UPDATE sessions SET state = 'completed'",
    "a session is renamed": "UPDATE sessions SET id = '00000000000000000000000000000000'",
    "a session is removed": "DELETE FROM sessions",
    "a session is replaced": "INSERT OR REPLACE INTO sessions (number, id, environment) SELECT number, id, 'x' FROM sessions",
    "a second session is opened": "INSERT OR REPLACE INTO sessions (id, environment) VALUES ('" + "a" * 32 + "', 'x')",
    "a session begins in the middle": "INSERT INTO sessions (id, environment, state) VALUES ('" + "b" * 32 + "', 'x', 'completed')",
    "a transition is changed": "UPDATE transitions SET reason = 'other'",
    "a transition is removed": "DELETE FROM transitions",
    "a transition is replaced": "INSERT OR REPLACE INTO transitions SELECT session, seq, from_state, to_state, 'x', at, reason, digest FROM transitions WHERE seq = 2",
    "a number is left out": transition("aborted", seq="99"),
    "a transition starts elsewhere": transition("completed", source="'app_running'"),
    "a transition starts nowhere": transition("aborted", source="NULL"),
    "a layer is removed": "DELETE FROM layers",
    "a layer begins as passed": "INSERT INTO layers (session, name, status) SELECT id, 'L1', 'passed' FROM sessions",
    "a result is removed": "DELETE FROM cases",
    "a result moves": "UPDATE cases SET key = 'other'",
    "a result has no such status": "UPDATE cases SET status = 'great'",
    "a result has no layer": "INSERT INTO cases (session, layer, key, title, status) SELECT id, 'L3', 'k', 't', 'passed' FROM sessions",
    "a handoff is made up": "INSERT INTO handoffs (nonce, session, document, expires_at) SELECT 'n', id, '{}', '' FROM sessions",
}  # fmt: skip


@pytest.mark.parametrize("statement", HANDS.values(), ids=HANDS)
def test_a_hand_cannot_break_the_rows(statement: str, bridge: Bridge, data):
    bring_to(bridge, State.SHELL_RUNNING)
    with pytest.raises(sqlite3.IntegrityError):
        raw(data, statement)
    assert bridge.verify() == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE cases SET status = 'failed'",
        "UPDATE layers SET status = 'running'",
        "INSERT INTO cases (session, layer, key, title, status) SELECT id, 'L0', 'k', 't', 'passed' FROM sessions",
        "UPDATE handoffs SET accepted_at = ''",
        "UPDATE handoffs SET document = '{}'",
        "DELETE FROM handoffs",
    ],
)
def test_after_the_end_nothing_changes(statement: str, bridge: Bridge, data):
    bring_to(bridge, State.COMPLETED)
    with pytest.raises(sqlite3.IntegrityError):
        raw(data, statement)


@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="there is no sqlite3 shell here")
def test_the_sqlite3_shell_is_stopped_too_and_may_take_an_arrow(bridge: Bridge, data):
    bring_to(bridge, State.SHELL_RUNNING)
    shell = ["sqlite3", str(data / "test_state.db")]
    wrong = subprocess.run([*shell, transition("completed")], capture_output=True, text=True, check=False)
    assert wrong.returncode != 0
    assert "no arrow leads there" in wrong.stderr
    subprocess.run([*shell, transition("aborted")], check=True)
    assert bridge.status().session.state == State.ABORTED
    bridge.repair()
    assert bridge.verify() == []


def test_the_database_has_a_rollback_journal(bridge: Bridge, data):
    bring_to(bridge, State.INITIALISED)
    assert raw(data, "PRAGMA journal_mode") == [("delete",)]
