"""Two processes at once: one winner, and one clear error."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from apps.bridge.protocol import Bridge
from apps.bridge.states import State
from tests.bridge.driving import ROOT, bring_to

RACER = """
import sys
from pathlib import Path
from apps.bridge.errors import BridgeRefusal
from apps.bridge.protocol import Bridge
from apps.bridge.records import CaseRecord
bridge = Bridge(Path(sys.argv[1]), "dev", actor="racer " + sys.argv[2], patience_seconds=30)
print("ready", flush=True)
for order in sys.stdin:
    try:
        eval(order)
        print("won", flush=True)
    except BridgeRefusal as refused:
        print(refused.code, flush=True)
"""


class Racer:
    """A process that does what it is told as soon as it is told."""

    def __init__(self, data: Path, name: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", RACER, str(data), name],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.answer() == "ready"

    def tell(self, order: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(order + "\n")
        self.process.stdin.flush()

    def answer(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()


@pytest.fixture
def racers(data: Path):
    data.mkdir(exist_ok=True)
    found = [Racer(data, str(number)) for number in range(2)]
    yield found
    for each in found:
        each.process.communicate()


def race(racers: list[Racer], order: str) -> list[str]:
    for each in racers:
        each.tell(order)
    return sorted(each.answer() for each in racers)


ROUNDS = 10


def test_two_inits(racers, data):
    """The first round makes the database too."""
    for _ in range(ROUNDS):
        assert race(racers, "bridge.init()") == ["session_active", "won"]
        Bridge(data, "dev").abort()


def test_two_accepts(racers, data):
    bridge = Bridge(data, "dev")
    for _ in range(ROUNDS):
        bring_to(bridge, State.HANDOFF_OFFERED)
        assert race(racers, "bridge.accept()") == ["already_accepted", "won"]
        assert [each.target for each in bridge.status().transitions].count(State.HANDOFF_ACCEPTED) == 1
        bridge.abort()


def test_two_that_record_lose_and_double_nothing(racers, data):
    bridge = bring_to(Bridge(data, "dev"), State.SHELL_RUNNING)
    for number in range(ROUNDS):
        assert race(racers, f"bridge.record(CaseRecord('shared {number}', 'passed'))") == ["won", "won"]
        assert race(racers, f"bridge.record(CaseRecord(bridge.actor + ' {number}', 'passed'))") == ["won", "won"]
    titles = Counter(each["title"] for each in bridge.results()["cases"])
    assert set(titles.values()) == {1}
    assert len(titles) == 1 + 3 * ROUNDS


def test_two_ends(racers, data):
    bridge = Bridge(data, "dev")
    for _ in range(3):
        bring_to(bridge, State.APP_RUNNING)
        assert race(racers, "bridge.complete()") == ["won", "won"], "the second finds it done"
        ends = [each for each in bridge.status().transitions if each.target == State.COMPLETED]
        assert len(ends) == 1


def test_a_repair_and_a_verb(racers, data):
    bridge = Bridge(data, "dev")
    for _ in range(3):
        bring_to(bridge, State.HANDOFF_OFFERED)
        racers[0].tell("bridge.accept()")
        racers[1].tell("bridge.repair()")
        assert [each.answer() for each in racers] == ["won", "won"]
        assert bridge.verify() == []
        bridge.abort()


def test_two_commands(data, bridge):
    words = [sys.executable, str(ROOT / "manage.py"), "bridge", "init", "--json"]
    environment = {**os.environ, "FLOWCONTROL_DATA": str(data)}
    both = [subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    documents = [json.loads(each.communicate()[0]) for each in both]
    assert sorted(each.returncode for each in both) == [0, 1]
    assert sorted(each.get("state") or each["error"]["code"] for each in documents) == ["initialised", "session_active"]
