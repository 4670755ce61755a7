"""Each refusal has its code, changes nothing, and is cured by the command that it names."""

import errno
import json
import re
import shlex
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from apps.bridge import cli, documents, errors, places
from apps.bridge.errors import BridgeRefusal
from apps.bridge.protocol import Bridge
from apps.bridge.records import CaseRecord
from apps.bridge.states import State
from tests.bridge.driving import bring_on, bring_to, enter_recovering, everything, raw, results


class Case:
    """How to come into trouble with `verb`, and what has to be done by hand before the cure can help."""

    def __init__(
        self,
        state: State | None,
        spoil: Callable[[Bridge], object],
        verb: Callable[[Bridge], object],
        by_hand: Callable[[Bridge], object] = lambda _bridge: None,
    ) -> None:
        self.state, self.spoil, self.verb, self.by_hand = state, spoil, verb, by_hand


def nothing(_bridge: Bridge) -> None:
    pass


def accept(bridge: Bridge) -> None:
    bridge.accept()


def rewrite(bridge: Bridge, **fields: object) -> None:
    """handoff.json with other fields, under a digest that fits them."""
    found = asdict(documents.read_handoff(bridge.places.handoff.read_bytes(), "dev"))
    del found["digest"]
    new = {"version": 1, **found, **fields}
    new["digest"] = documents.digest(new)
    bridge.places.handoff.write_text(json.dumps(new))


def edit(bridge: Bridge) -> None:
    path = bridge.places.handoff
    path.write_text(path.read_text().replace('"L0"', '"L1"'))


def truncate(bridge: Bridge) -> None:
    path = bridge.places.handoff
    path.write_bytes(path.read_bytes()[:100])


def replay(bridge: Bridge) -> None:
    kept = bridge.places.handoff.read_bytes()
    bridge.accept()
    bridge.places.handoff.write_bytes(kept)


def from_other_session(bridge: Bridge) -> None:
    """A handoff of a session in another folder, put into this one."""
    other = bridge.places.data.with_name("other")
    other.mkdir()
    bring_to(Bridge(other, "dev"), State.HANDOFF_OFFERED)
    shutil.copy(other / "handoff.json", bridge.places.handoff)


def expire(bridge: Bridge) -> None:
    bridge.offer(seconds=0)


def late_line(bridge: Bridge) -> None:
    session = bridge.status().session.id
    line = f"\n1\t{session}\tL0\tfail\t1\ts\tcame late\tm\t.\n"
    (bridge.places.spool / f"{session}.1.0").write_text(line)


def damage(bridge: Bridge) -> None:
    path = bridge.places.database
    content = path.read_bytes()
    path.write_bytes(b"no database, but text" + content[21:])


def lock(bridge: Bridge) -> None:
    bridge.patience_seconds = 0.05
    bridge.holder = sqlite3.connect(bridge.places.database, isolation_level=None)  # type: ignore[attr-defined]
    bridge.holder.execute("BEGIN EXCLUSIVE")  # type: ignore[attr-defined]


def unlock(bridge: Bridge) -> None:
    bridge.holder.close()  # type: ignore[attr-defined]


def no_right(bridge: Bridge) -> None:
    """A folder stands where the lock should be: that stops root too."""
    path = bridge.places.data / "bridge" / "lock"
    path.unlink()
    path.mkdir()


CASES: dict[str, Case] = {
    "no_session": Case(None, nothing, lambda b: b.begin_layer("L0")),
    "session_active": Case(State.SHELL_RUNNING, nothing, lambda b: b.init()),
    "other_environment": Case(
        State.SHELL_RUNNING, nothing, lambda b: Bridge(b.places.data, "staging").begin_layer("L1")
    ),
    "wrong_state": Case(State.INITIALISED, nothing, lambda b: b.offer()),
    "needs_repair": Case(State.SHELL_RUNNING, enter_recovering, lambda b: b.begin_layer("L1")),
    "layer_order": Case(State.APP_RUNNING, nothing, lambda b: b.begin_layer("L2")),
    "no_layer": Case(State.INITIALISED, nothing, lambda b: b.record(CaseRecord("x", "passed"))),
    "already_accepted": Case(State.HANDOFF_ACCEPTED, nothing, accept),
    "handoff_missing": Case(State.HANDOFF_OFFERED, lambda b: b.places.handoff.unlink(), accept),
    "handoff_unreadable": Case(State.HANDOFF_OFFERED, truncate, accept),
    "handoff_newer": Case(State.HANDOFF_OFFERED, lambda b: rewrite(b, version=2), accept),
    "handoff_edited": Case(State.HANDOFF_OFFERED, edit, accept),
    "handoff_other_environment": Case(State.HANDOFF_OFFERED, lambda b: rewrite(b, environment="production"), accept),
    "handoff_other_session": Case(State.HANDOFF_OFFERED, from_other_session, accept),
    "handoff_replayed": Case(State.HANDOFF_OFFERED, replay, accept),
    "handoff_expired": Case(State.SHELL_RUNNING, expire, accept),
    "handoff_stale": Case(State.HANDOFF_OFFERED, late_line, accept),
    "database_missing": Case(State.HANDOFF_OFFERED, lambda b: b.places.database.unlink(), accept),
    "database_locked": Case(State.HANDOFF_OFFERED, lock, accept, unlock),
    "database_corrupt": Case(State.HANDOFF_OFFERED, damage, accept),
    "database_newer": Case(
        State.HANDOFF_OFFERED,
        lambda b: raw(b.places.data, "PRAGMA user_version = 2"),
        accept,
        lambda b: raw(b.places.data, "PRAGMA user_version = 1"),
    ),
    "folder_unwritable": Case(
        State.HANDOFF_OFFERED, no_right, accept, lambda b: (b.places.data / "bridge" / "lock").rmdir()
    ),
}


def trouble(code: str, bridge: Bridge) -> Case:
    case = CASES[code]
    if case.state:
        bring_to(bridge, case.state)
    case.spoil(bridge)
    return case


def cure(refused: BridgeRefusal, bridge: Bridge, monkeypatch: pytest.MonkeyPatch) -> int:
    """Carry out the command that the refusal names."""
    found = re.search(r"manage\.py bridge (.*)$", refused.cure)
    assert found, f"{refused.code} names no command"
    monkeypatch.setenv("FLOWCONTROL_DATA", str(bridge.places.data))
    return cli.main(shlex.split(found[1]))


def test_each_code_has_a_case():
    assert {each.code for each in errors.refusals()} == {*CASES, "disk_full"}
    assert all(each.code and each.__doc__ and each.cure for each in errors.refusals())


@pytest.mark.parametrize("code", CASES)
def test_a_refusal_has_its_code_and_changes_nothing(code: str, bridge: Bridge):
    case = trouble(code, bridge)
    before = everything(bridge.places.data)
    with pytest.raises(BridgeRefusal) as refused:
        case.verb(bridge)
    assert refused.value.code == code
    assert everything(bridge.places.data) == before


@pytest.mark.parametrize("code", CASES)
def test_the_cure_that_is_named_helps(code: str, bridge: Bridge, monkeypatch):
    case = trouble(code, bridge)
    before = {(each["layer"], each["title"]) for each in _cases(bridge)}
    with pytest.raises(BridgeRefusal) as refused:
        case.verb(bridge)
    case.by_hand(bridge)
    assert cure(refused.value, bridge, monkeypatch) == 0
    bridge.patience_seconds = 2
    with suppress(BridgeRefusal):
        assert bridge.verify() == [], "the cure leaves nothing to repair"
    assert goes_on(bridge)
    assert before <= {(each["layer"], each["title"]) for each in results(bridge.places.data)["cases"]}


def _cases(bridge: Bridge) -> list[dict[str, str]]:
    """By the record, which is there whatever has happened to the database."""
    records = sorted(bridge.places.records.glob("*.json")) if bridge.places.records.exists() else []
    return json.loads(records[-1].read_text())["results"]["cases"] if records else []


def goes_on(bridge: Bridge) -> bool:
    """Bring whatever session there is to an end, by the verbs of its state alone."""
    state = bridge.status().session.state
    if state == State.INITIALISED:
        bridge.begin_layer("L0")
    if state in (State.INITIALISED, State.SHELL_RUNNING):
        if bridge.status().layers[-1].status == "running":
            bridge.record(CaseRecord("goes on", "passed"))
        bridge.offer()
    if state in (State.INITIALISED, State.SHELL_RUNNING, State.HANDOFF_OFFERED):
        bridge.accept()
    with suppress(errors.NoSession):
        bridge.complete()
    return bridge.status().session.state in (State.COMPLETED, State.FAILED, State.ABORTED)


SPOILT_DOCUMENTS = [code for code in CASES if code.startswith("handoff_") and code not in ("handoff_replayed",)]


@pytest.mark.parametrize(
    "code", [each for each in SPOILT_DOCUMENTS if each not in ("handoff_expired", "handoff_stale")]
)
def test_the_true_document_is_still_accepted_afterwards(code: str, bridge: Bridge):
    bring_to(bridge, State.HANDOFF_OFFERED)
    true = bridge.places.handoff.read_bytes()
    CASES[code].spoil(bridge)
    with pytest.raises(BridgeRefusal, match=r".") as refused:
        bridge.accept()
    assert refused.value.code == code
    bridge.places.handoff.write_bytes(true)
    bridge.accept()
    assert bridge.status().session.state == State.HANDOFF_ACCEPTED


@pytest.mark.parametrize("length", [0, 1, 2, 50, 200])
def test_a_document_is_refused_wherever_it_is_cut(length: int, bridge: Bridge):
    bring_to(bridge, State.HANDOFF_OFFERED)
    path = bridge.places.handoff
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(errors.HandoffUnreadable):
        bridge.accept()


@pytest.mark.parametrize(
    "content",
    ["[]", "null", '"text"', "{}", '{"version": 1}', '{"version": true}', "[" * 5000, "\xff", '{"version": "2"}'],
)
def test_what_is_no_handoff_is_refused(content: str, bridge: Bridge):
    bring_to(bridge, State.HANDOFF_OFFERED)
    bridge.places.handoff.write_bytes(content.encode("latin-1"))
    with pytest.raises((errors.HandoffUnreadable, errors.HandoffEdited)):
        bridge.accept()


@pytest.mark.parametrize("field", ["layers_done", "results_digest", "state_digest", "expires_at", "nonce", "issued_at"])
def test_a_document_that_was_forged_with_its_digest_is_refused(field: str, bridge: Bridge):
    bring_to(bridge, State.HANDOFF_OFFERED)
    rewrite(bridge, **{field: ["L0", "L1"] if field == "layers_done" else "f" * 32})
    with pytest.raises(errors.HandoffEdited):
        bridge.accept()


def test_an_older_document_of_the_same_session_is_refused(bridge: Bridge):
    bring_to(bridge, State.SHELL_RUNNING)
    bridge.offer(seconds=0)
    old = bridge.places.handoff.read_bytes()
    bridge.offer()
    bridge.places.handoff.write_bytes(old)
    with pytest.raises(errors.HandoffReplayed):
        bridge.accept()


def test_a_document_of_a_session_that_has_ended_is_refused(bridge: Bridge):
    bring_to(bridge, State.HANDOFF_OFFERED)
    old = bridge.places.handoff.read_bytes()
    bridge.abort()
    bridge.init()
    bring_on(bridge, State.HANDOFF_OFFERED)
    bridge.places.handoff.write_bytes(old)
    with pytest.raises(errors.HandoffOtherSession):
        bridge.accept()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_told_and_repaired_when_there_is_room(number: int, bridge: Bridge, monkeypatch):
    bring_to(bridge, State.SHELL_RUNNING)

    def full(*_args: object, **_options: object) -> None:
        raise OSError(number, "no room")

    with monkeypatch.context() as patch:
        patch.setattr("apps.bridge.settling.write_atomic", full)
        with pytest.raises(errors.DiskFull) as refused:
            bridge.offer()
    assert refused.value.code == "disk_full"
    assert cure(refused.value, bridge, monkeypatch) == 0
    assert bridge.verify() == []
    bridge.accept()


def test_another_verb_that_takes_too_long_is_told(bridge: Bridge):
    bring_to(bridge, State.SHELL_RUNNING)
    impatient = Bridge(bridge.places.data, "dev", patience_seconds=0.05)
    with places.Places(bridge.places.data, "dev").locked(1), pytest.raises(errors.DatabaseLocked):
        impatient.status()
    assert impatient.status().session.state == State.SHELL_RUNNING


def test_a_name_that_is_no_environment_is_wrong_use(data: Path):
    for name in ("", "../dev", "Dev", "a b", "x" * 64):
        with pytest.raises(errors.WrongUse):
            Bridge(data, name)


def test_forged_expiry_in_the_row_is_no_way_around(bridge: Bridge):
    """The document says when it expires, and its digest seals that."""
    bring_to(bridge, State.SHELL_RUNNING)
    handoff = bridge.offer(seconds=0)
    assert replace(handoff, digest="") != handoff
    with pytest.raises(errors.HandoffExpired):
        bridge.accept()
