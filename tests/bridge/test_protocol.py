"""What the verbs do: layers, results, the passage, the ends, and being called again."""

import json

import jsonschema
import pytest

from apps.bridge import errors
from apps.bridge.protocol import Bridge
from apps.bridge.records import CaseRecord
from apps.bridge.states import LAYERS, State
from tests.bridge.driving import REFERENCE, bring_to, everything, results, rows

HOSTILE = (
    "",
    " ",
    "'; DROP TABLE cases; --",
    '"quoted" \\ back \\n slash \\\\',
    "two\nlines\r\nand\ttabs",
    "\x00nothing \x01\x1b[31mred\x1b[0m \x7f",
    "Zażółć gęślą jaźń ☃ 𝄞 é أهلا",
    "half \ud800 of a character",
    "$(touch /tmp/evil) `id` ${HOME} %s %n {0} <b>&amp;",
    "[red]x[/red]",
    "x" * 100_000,
)


def layer(bridge: Bridge, name: str) -> str:
    return next(each.status for each in bridge.status().layers if each.name == name)


@pytest.mark.parametrize("title", HOSTILE, ids=range(len(HOSTILE)))
def test_a_title_of_any_text_is_kept(title: str, bridge: Bridge, data):
    bring_to(bridge, State.SHELL_RUNNING)
    bridge.record(CaseRecord(title, "failed", message=title, source=title))
    bridge.complete()
    kept = title.replace("\ud800", "?")
    assert [kept] * 3 in [[each["title"], each["message"], each["source"]] for each in results(data)["cases"]]
    assert bridge.verify() == []


@pytest.mark.parametrize(
    ("statuses", "verdict"),
    [
        ([], "failed"),
        (["passed"], "passed"),
        (["failed"], "failed"),
        (["skipped"], "failed"),
        (["passed", "skipped"], "passed"),
        (["passed", "failed"], "failed"),
    ],
)
def test_a_layer_passes_if_a_case_passed_and_none_failed(statuses, verdict, bridge: Bridge):
    bridge.init()
    bridge.begin_layer("L1")
    bridge.record_many([CaseRecord(f"case {number}", status) for number, status in enumerate(statuses)])
    assert layer(bridge, "L1") == "running"
    ended = bridge.end_layer()
    assert ended.status == verdict
    assert bool(ended.message) == ("passed" not in statuses and "failed" not in statuses)


def test_layers_run_upwards_and_the_next_ends_the_one_before(bridge: Bridge):
    bridge.init()
    for name in LAYERS:
        bridge.begin_layer(name)
        bridge.record(CaseRecord("it is so", "passed"))
    assert [(each.name, each.status) for each in bridge.status().layers] == [
        *[(name, "passed") for name in LAYERS[:-1]],
        ("L5", "running"),
    ]
    assert bridge.status().layers_done == list(LAYERS[:-1])
    with pytest.raises(errors.LayerOrder):
        bridge.begin_layer("L0")


def test_a_layer_that_runs_may_begin_again(bridge: Bridge, data):
    bring_to(bridge, State.SHELL_RUNNING)
    before = rows(data)
    bridge.begin_layer("L0")
    assert rows(data) == before


def test_a_case_is_counted_once_and_its_attempts_add_up(bridge: Bridge):
    bring_to(bridge, State.SHELL_RUNNING)
    assert bridge.record(CaseRecord("the port answers", "failed", message="nobody")) == 1
    assert bridge.record(CaseRecord("the port answers", "failed", message="nobody")) == 0
    assert bridge.record(CaseRecord("the port answers", "passed", seconds=2)) == 0
    assert bridge.record(CaseRecord("the port answers", "passed", source="other.sh")) == 1
    found = [each for each in bridge.results()["cases"] if each["title"] == "the port answers"]
    assert [(each["status"], each["attempts"], each["flaky"]) for each in found] == [
        ("passed", 2, True),
        ("passed", 1, False),
    ]
    assert bridge.results()["totals"] == {"passed": 3, "failed": 0, "skipped": 0, "flaky": 1}


def test_results_are_recorded_all_or_none(bridge: Bridge):
    bring_to(bridge, State.SHELL_RUNNING)
    with pytest.raises(errors.NoLayer):
        bridge.record_many([CaseRecord("here", "passed"), CaseRecord("there", "passed", layer="L3")])
    assert len(bridge.results()["cases"]) == 1


def test_while_it_is_offered_nothing_is_added(bridge: Bridge):
    bring_to(bridge, State.HANDOFF_OFFERED)
    for verb in (lambda: bridge.record(CaseRecord("x", "passed")), lambda: bridge.begin_layer("L1"), bridge.start_app):
        with pytest.raises(errors.WrongState):
            verb()


def test_the_handoff_says_what_was_done(bridge: Bridge, data):
    bring_to(bridge, State.SHELL_RUNNING)
    handoff = bridge.offer(seconds=60)
    document = json.loads((data / "handoff.json").read_text())
    jsonschema.validate(document, json.loads((REFERENCE / "handoff.schema.json").read_text()))
    assert document["layers_done"] == ["L0"]
    assert document["digest"] == handoff.digest
    assert document["state_digest"] == bridge.status().transitions[-1].digest
    assert bridge.accept() == handoff
    assert not (data / "handoff.json").exists()


def test_an_offer_made_again_is_the_same(bridge: Bridge, data):
    bring_to(bridge, State.SHELL_RUNNING)
    first = bridge.offer()
    before = everything(data)
    assert bridge.offer() == first
    assert everything(data) == before


def test_an_attempt_with_a_name_may_be_made_again(bridge: Bridge):
    opened = bridge.init(token="run 7")
    assert bridge.init(token="run 7") == opened
    with pytest.raises(errors.SessionActive):
        bridge.init(token="run 8")
    with pytest.raises(errors.SessionActive):
        bridge.init()
    bridge.begin_layer("L0")
    bridge.offer()
    handoff = bridge.accept(token="run 7")
    assert bridge.accept(token="run 7") == handoff
    for token in ("", "run 8"):
        with pytest.raises(errors.AlreadyAccepted):
            bridge.accept(token=token)


@pytest.mark.parametrize("verb", ["complete", "fail", "abort"])
def test_an_end_made_again_changes_nothing(verb: str, bridge: Bridge, data):
    bring_to(bridge, State.APP_RUNNING)
    end = {"complete": bridge.complete, "fail": lambda: bridge.fail("so"), "abort": bridge.abort}[verb]
    session = end()
    before = everything(data)
    assert end() == session
    assert everything(data) == before


def test_a_verb_that_names_its_session_leaves_others_alone(bridge: Bridge, data):
    bring_to(bridge, State.APP_RUNNING)
    mine = Bridge(data, "dev", session=bridge.status().session.id)
    assert mine.complete().state == State.COMPLETED
    bridge.init()
    with pytest.raises(errors.SessionActive):
        mine.begin_layer("L5")
    assert mine.status().session.state == State.COMPLETED


# --- every kind of end, and results.json --------------------------------------------------------------


def test_all_passed(bridge: Bridge, data):
    bring_to(bridge, State.COMPLETED)
    document = results(data)
    assert document["state"] == "completed"
    assert document["totals"] == {"passed": 2, "failed": 0, "skipped": 0, "flaky": 0}
    assert [each["to"] for each in document["transitions"]] == [
        "initialised", "shell_running", "handoff_offered", "handoff_accepted", "app_running", "completed",
    ]  # fmt: skip


def test_failed_in_the_shell(bridge: Bridge, data):
    bring_to(bridge, State.SHELL_RUNNING)
    bridge.record(CaseRecord("it is so", "failed", message="it is not"))
    assert bridge.complete().state == State.FAILED
    document = results(data)
    assert document["reason"] == "failed: L0"
    assert document["totals"] == {"passed": 1, "failed": 1, "skipped": 0, "flaky": 0}
    assert not (data / "bridge/now.dev").exists()


def test_failed_in_the_application(bridge: Bridge, data):
    bring_to(bridge, State.APP_RUNNING)
    bridge.record(CaseRecord("it is so", "failed"))
    assert bridge.complete().state == State.FAILED
    assert results(data)["reason"] == "failed: L5"


def test_it_could_not_go_on(bridge: Bridge, data):
    bring_to(bridge, State.APP_RUNNING)
    bridge.fail("the engine went away")
    document = results(data)
    assert (document["state"], document["reason"]) == ("failed", "the engine went away")
    assert document["layers"][-1]["status"] == "failed"


@pytest.mark.parametrize("state", [State.INITIALISED, State.SHELL_RUNNING, State.HANDOFF_OFFERED, State.APP_RUNNING])
def test_aborted(state: State, bridge: Bridge, data):
    bring_to(bridge, state)
    bridge.abort("wrong branch")
    document = results(data)
    assert (document["state"], document["reason"]) == ("aborted", "wrong branch")
    assert not (data / "handoff.json").exists()


def test_crashed(bridge: Bridge, data):
    bring_to(bridge, State.APP_RUNNING)
    bridge.repair(finish=True)
    document = results(data)
    assert document["state"] == "failed"
    assert [each["to"] for each in document["transitions"]][-2:] == ["recovering", "failed"]


def test_flaky(bridge: Bridge, data):
    bring_to(bridge, State.APP_RUNNING)
    bridge.record(CaseRecord("the port answers", "passed", attempts=3, flaky=True))
    assert bridge.complete().state == State.COMPLETED
    assert results(data)["totals"] == {"passed": 3, "failed": 0, "skipped": 0, "flaky": 1}


def test_the_shell_alone_cannot_complete(bridge: Bridge):
    for state in (State.INITIALISED, State.SHELL_RUNNING, State.HANDOFF_OFFERED):
        bring_to(bridge, state)
        with pytest.raises(errors.WrongState):
            bridge.complete()
        bridge.abort()


def test_sessions_follow_each_other(bridge: Bridge, data):
    ids = {bring_to(bridge, state).status().session.id for state in (State.COMPLETED, State.ABORTED, State.FAILED)}
    assert len(ids) == 3
    assert results(data)["state"] == "failed"
    assert bridge.verify() == []
