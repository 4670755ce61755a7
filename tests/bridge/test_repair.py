"""Repair: the session goes on where its rows say it is, files are written again, a broken database is built anew."""

import json
import os
import shutil

import pytest

from apps.bridge import errors, mending
from apps.bridge.protocol import Bridge
from apps.bridge.records import CaseRecord
from apps.bridge.states import State
from tests.bridge.driving import LIVE, bring_on, bring_to, enter_recovering, everything, raw, results, transition


def codes(bridge: Bridge) -> list[str]:
    return [each.code for each in bridge.verify()]


@pytest.mark.parametrize("state", State)
def test_where_all_is_well_a_repair_changes_nothing(state: State, bridge: Bridge, data):
    bring_to(bridge, state)
    bridge.repair()  # ends one that was begun, and brings the record up to what was recorded since
    before = everything(data)
    assert bridge.repair().problems == ()
    assert everything(data) == before


@pytest.mark.parametrize("state", LIVE)
def test_a_repair_that_was_killed_is_ended_by_the_next(state: State, bridge: Bridge):
    bring_to(bridge, state)
    enter_recovering(bridge)
    assert "repair_unfinished" in codes(bridge)
    done = bridge.repair()
    assert done.status
    assert done.status.session.state == state
    assert bridge.verify() == []


@pytest.mark.parametrize("state", LIVE)
def test_a_session_whose_side_died_can_be_finished(state: State, bridge: Bridge, data):
    bring_to(bridge, state)
    bridge.repair(finish=True, reason="the shell was killed")
    document = results(data)
    assert (document["state"], document["reason"]) == ("failed", "the shell was killed")
    assert {each["layer"]: each["status"] for each in document["layers"]}.get("L5", "failed") == "failed"
    assert bridge.verify() == []


@pytest.mark.parametrize(
    ("state", "by_hand", "true"),
    [
        (State.SHELL_RUNNING, State.HANDOFF_OFFERED, State.SHELL_RUNNING),
        (State.HANDOFF_OFFERED, State.HANDOFF_ACCEPTED, State.HANDOFF_OFFERED),
        (State.INITIALISED, State.SHELL_RUNNING, State.INITIALISED),
    ],
)
def test_a_state_that_a_hand_has_claimed_is_taken_back(state, by_hand, true, bridge: Bridge, data):
    bring_to(bridge, state)
    raw(data, transition(by_hand))
    assert "state_untrue" in codes(bridge)
    bridge.repair()
    assert bridge.status().session.state == true
    assert bridge.verify() == []


def test_files_are_written_again_without_a_transition(bridge: Bridge, data):
    bring_to(bridge, State.HANDOFF_OFFERED)
    before, true = bridge.status().transitions, (data / "handoff.json").read_bytes()
    (data / "handoff.json").unlink()
    (data / "bridge/now.dev").write_text("nonsense")
    shutil.rmtree(data / "bridge/records")
    assert codes(bridge) == ["record_outdated", "handoff_missing", "pointer_wrong"]
    bridge.repair()
    assert bridge.verify() == []
    assert bridge.status().transitions == before
    assert (data / "handoff.json").read_bytes() == true


def test_guards_that_were_removed_are_put_back(bridge: Bridge, data):
    bring_to(bridge, State.SHELL_RUNNING)
    raw(data, "DROP TRIGGER transitions_have_arrows")
    assert codes(bridge) == ["guard_missing"]
    bridge.repair()
    assert bridge.verify() == []


def test_a_log_that_was_changed_is_told_for_ever(bridge: Bridge, data):
    bring_to(bridge, State.COMPLETED)
    raw(data, "DROP TRIGGER transitions_never_changed", "UPDATE transitions SET actor = 'eve' WHERE seq = 2")
    assert "log_changed" in codes(bridge)
    bridge.repair()
    assert codes(bridge) == ["log_changed"]


def test_results_that_came_after_the_end_are_put_aside(bridge: Bridge, data):
    bring_to(bridge, State.COMPLETED)
    session = bridge.status().session.id
    (data / f"bridge/spool/{session}.7.0").write_text(f"\n1\t{session}\tL0\tfail\t\t\tlate\t\t.\n")
    assert codes(bridge) == ["late_results"]
    bridge.repair()
    assert bridge.verify() == []
    assert (data / f"bridge/late/{session}.7.0").exists()
    assert results(data)["totals"]["failed"] == 0


# --- a broken database ------------------------------------------------------------------------------


def many(bridge: Bridge) -> None:
    """A session that has ended, and one with 300 results, so that the database has many pages."""
    bring_to(bridge, State.COMPLETED)
    bridge.init()
    bridge.begin_layer("L0")
    bridge.record_many(CaseRecord(f"case {number}", "passed", message="m" * 200) for number in range(300))


def kept(bridge: Bridge) -> dict[str, object]:
    document = bridge.results()
    return {**document, "transitions": document["transitions"][:2], "state": "", "reason": "", "written_at": ""}


@pytest.mark.parametrize("part", ["header", "first page", "middle", "tail", "cut in half", "all"])
def test_nothing_is_lost_with_the_database(part: str, bridge: Bridge, data):
    many(bridge)
    bridge.end_layer()
    before = kept(bridge)
    path = data / "test_state.db"
    content = bytearray(path.read_bytes())
    size = len(content)
    start, end = {
        "header": (0, 30),
        "first page": (0, 4096),
        "middle": (size // 2 - 4096, size // 2 + 4096),
        "tail": (size - 8192, size),
        "cut in half": (0, 0),
        "all": (0, size),
    }[part]
    content[start:end] = b"\xa5" * (end - start)
    path.write_bytes(content[: size // 2] if part == "cut in half" else content)
    done = bridge.repair()
    assert "database_corrupt" in [each.code for each in done.problems]
    assert bridge.verify() == []
    assert kept(bridge) == before
    assert [each.name for each in data.glob("test_state.db.damaged-*")]
    bridge.offer()
    bridge.accept()
    assert bridge.complete().state == State.COMPLETED


def test_results_newer_than_the_record_are_read_from_what_is_left(bridge: Bridge, data):
    """The layer is running, so the record does not have its results yet; the last page is destroyed."""
    many(bridge)
    path = data / "test_state.db"
    content = bytearray(path.read_bytes())
    content[-4096:] = b"\xa5" * 4096
    path.write_bytes(content)
    bridge.repair()
    assert bridge.verify() == []
    assert len(bridge.results()["cases"]) > 200


def test_a_database_that_is_gone_is_built_from_the_records(bridge: Bridge, data):
    many(bridge)
    bridge.offer()
    before = kept(bridge)
    os.truncate(data / "test_state.db", 0)
    with pytest.raises(errors.DatabaseMissing):
        bridge.init()
    bridge.repair()
    assert bridge.verify() == []
    assert kept(bridge) == before
    assert bridge.status().session.state == State.HANDOFF_OFFERED
    bridge.accept()


def test_a_handoff_that_was_used_stays_used(bridge: Bridge, data):
    bring_to(bridge, State.HANDOFF_OFFERED)
    document = (data / "handoff.json").read_bytes()
    bridge.accept()
    (data / "test_state.db").unlink()
    bridge.repair()
    assert bridge.status().session.state == State.HANDOFF_ACCEPTED
    (data / "handoff.json").write_bytes(document)
    with pytest.raises(errors.HandoffReplayed):
        bridge.accept()


def test_an_old_session_whose_end_was_lost_is_closed(bridge: Bridge, data):
    bring_to(bridge, State.SHELL_RUNNING)
    old = bridge.status().session.id
    record = (data / f"bridge/records/{old}.json").read_bytes()
    bridge.abort()
    bridge.init()
    (data / f"bridge/records/{old}.json").write_bytes(record)
    (data / "test_state.db").unlink()
    bridge.repair()
    assert bridge.status(old).session.state == State.FAILED
    assert bridge.status().session.state == State.INITIALISED
    assert bridge.verify() == []


def test_a_record_that_is_nonsense_harms_nothing(bridge: Bridge, data):
    bring_to(bridge, State.SHELL_RUNNING)
    good = bridge.status().session.id
    for name, content in {
        "a": "{",
        "b": "[]",
        "c": '{"results": 1}',
        "d": json.dumps({"results": {"session": None}}),
    }.items():
        (data / f"bridge/records/{name}.json").write_text(content)
    (data / "test_state.db").unlink()
    bridge.repair()
    assert bridge.status().session.id == good


def test_a_file_that_is_another_programs_database_is_set_aside(bridge: Bridge, data):
    import sqlite3

    other = sqlite3.connect(data / "test_state.db")
    other.execute("CREATE TABLE theirs (x)")
    other.commit()
    other.close()
    with pytest.raises(errors.DatabaseCorrupt):
        bridge.init()
    bridge.repair()
    bring_on_new(bridge)


def bring_on_new(bridge: Bridge) -> None:
    bridge.init()
    bring_on(bridge, State.HANDOFF_OFFERED)
    assert bridge.verify() == []


def test_results_that_are_gone_are_written_again(bridge: Bridge, data):
    bring_to(bridge, State.FAILED)
    before = results(data)
    for spoil in (lambda: (data / "results.json").unlink(), lambda: (data / "results.json").write_text("{}")):
        spoil()
        assert codes(bridge) == ["results_wrong"]
        bridge.repair()
        assert results(data) == before


def test_a_line_that_is_read_again_is_not_counted_again(bridge: Bridge, data):
    """The place up to which a file was read is lost; file and place of each line still name its result."""
    bring_to(bridge, State.SHELL_RUNNING)
    session = bridge.status().session.id
    line = f"\n1\t{session}\tL0\tpass\t\t\tonce\t\t.\n"
    (data / f"bridge/spool/{session}.7.0").write_text(line * 2)
    assert bridge.status()
    before = bridge.results()
    raw(data, "DELETE FROM spools")
    assert bridge.results() == before
    assert [(each["title"], each["attempts"]) for each in before["cases"]][1:] == [("once", 1)] * 2


def test_the_journal_of_a_damaged_database_is_not_left_for_the_new_one(data):
    data.mkdir()
    (data / "test_state.db").write_bytes(b"damaged")
    (data / "test_state.db-journal").write_bytes(b"of the damaged one")
    mending._set_aside(data / "test_state.db")
    assert not (data / "test_state.db-journal").exists()
    assert len(list(data.glob("test_state.db.damaged-*-journal"))) == 1
