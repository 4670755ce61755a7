"""`kill -9` at every numbered step, on either side: no result lost, none counted twice, no session stuck.

The short form is in the suite; `make kills` runs the long one (KILLS=200 and more).
"""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from apps.bridge.protocol import Bridge
from apps.bridge.records import CaseRecord
from apps.bridge.states import FINAL, State
from apps.bridge.steps import STEPS, Observer, Step, nobody
from tests.bridge.driving import ROOT, enter_recovering, results

pytestmark = pytest.mark.kill

KILLS = int(os.environ.get("KILLS", "0"))
TITLES = {
    "L0": [f"L0 case {number}" for number in range(5)],
    "L1": [f"L1 case {number}" for number in range(5)],
    "L5": [f"L5 case {number}" for number in range(5)],
}

Verb = Callable[[Bridge], object]


def layer_of(name: str) -> Verb:
    return lambda bridge: bridge.begin_layer(name)


def cases_of(name: str) -> Verb:
    return lambda bridge: bridge.record_many(CaseRecord(title, "passed", message=title) for title in TITLES[name])


def write_spool(bridge: Bridge) -> None:
    """What a shell process writes; the file is its own, so it is written once."""
    session = bridge.status().session.id
    path = bridge.places.spool / f"{session}.77.0"
    if not path.exists():
        path.write_text("".join(f"\n1\t{session}\tL1\tpass\t0.1\ta.sh\tspool {number}\t\t.\n" for number in range(5)))


def damage(bridge: Bridge) -> None:
    path = bridge.places.database
    if path.read_bytes()[:6] == b"SQLite":
        path.write_bytes(b"damage" * 20 + path.read_bytes()[120:])


# What the two sides do, one verb after another. Each verb may be called again.
SHELL: list[Verb] = [
    lambda bridge: bridge.init(token="t"),
    layer_of("L0"),
    cases_of("L0"),
    layer_of("L1"),
    write_spool,
    cases_of("L1"),
    lambda bridge: bridge.offer(),
]
APP: list[Verb] = [
    lambda bridge: bridge.accept(token="t"),
    layer_of("L5"),
    cases_of("L5"),
    lambda bridge: bridge.complete(),
]
ROADS: dict[str, list[Verb]] = {
    "straight": [*SHELL, *APP],
    "repaired": [*SHELL, lambda bridge: stuck_recovering(bridge), lambda bridge: bridge.repair(), *APP],
    "rebuilt": [*SHELL, damage, lambda bridge: bridge.repair(), *APP],
}


def stuck_recovering(bridge: Bridge) -> None:
    if bridge.status().session.state == State.HANDOFF_OFFERED:
        enter_recovering(bridge)


def road_of(step: Step) -> str:
    return {"repair": "repaired", "rebuild": "rebuilt"}.get(step.verb, "straight")


def in_child(work: Callable[[], object]) -> int:
    """Run `work` in a child of this process; its wait status."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    return os.waitpid(child, 0)[1]


def killer(step: Step, passing: int) -> Observer:
    """Kills its own process when `step` is passed for the `passing`-th time."""
    seen = 0

    def observe(passed: Step) -> None:
        nonlocal seen
        seen += passed == step
        if seen == passing and passed == step:
            os.kill(os.getpid(), signal.SIGKILL)

    return observe


def walk(data: Path, road: list[Verb], progress: Path, observe: Observer) -> None:
    """Do each verb that was not done; `progress` says which were answered."""
    bridge = Bridge(data, "dev", observe=observe)
    for number in range(len(progress.read_bytes()), len(road)):
        road[number](bridge)
        with progress.open("ab") as file:
            file.write(b".")


class Tally:
    """What the kills have done."""

    def __init__(self) -> None:
        self.kills = self.lost = self.doubled = self.stuck = 0

    def __str__(self) -> str:
        return f"{self.kills} kills: {self.lost} lost, {self.doubled} doubled, {self.stuck} stuck"

    def kill(self, folder: Path, step: Step, passing: int, *, by: str) -> bool:
        """Kill at a step and go on; False if the step is not passed so often."""
        data, progress = folder / "data", folder / "progress"
        data.mkdir(parents=True)
        progress.touch()
        road = ROADS[road_of(step)]
        status = in_child(lambda: walk(data, road, progress, killer(step, passing)))
        if not os.WIFSIGNALED(status):
            return False
        self.kills += 1
        if by == "repair":
            Bridge(data, "dev").repair()
        goes_on = in_child(lambda: walk(data, road, progress, nobody))
        self.count(data, stuck=goes_on != 0)
        return True

    def count(self, data: Path, *, stuck: bool) -> None:
        bridge = Bridge(data, "dev")
        expected = [*(title for each in TITLES.values() for title in each), *(f"spool {number}" for number in range(5))]
        found = Counter(each["title"] for each in bridge.results()["cases"])
        self.lost += sum(title not in found for title in expected)
        self.doubled += sum(count - 1 for count in found.values()) + sum(title not in expected for title in found)
        done = bridge.status().session.state in FINAL and bridge.verify() == []
        if done:
            done = results(data)["totals"] == {"passed": 20, "failed": 0, "skipped": 0, "flaky": 0}
        self.stuck += stuck or not done


@pytest.mark.parametrize("step", STEPS, ids=lambda each: f"{each.number} {each.name}")
@pytest.mark.parametrize("by", ["the same verb", "repair"])
def test_a_kill_at_any_step_loses_and_doubles_nothing(step: Step, by: str, tmp_path: Path):
    tally = Tally()
    assert tally.kill(tmp_path, step, 1, by=by), "the step is not on its road"
    assert str(tally) == "1 kills: 0 lost, 0 doubled, 0 stuck"


@pytest.mark.slow
@pytest.mark.skipif(not KILLS, reason="the long form: make kills, or KILLS=200")
def test_the_long_form(tmp_path: Path):
    """Each step in turn, at each time that it is passed, going on by the verb and by a repair."""
    tally, turn = Tally(), 0
    while tally.kills < KILLS:
        step, passing = STEPS[turn % len(STEPS)], 1 + turn // (2 * len(STEPS)) % 3
        tally.kill(tmp_path / str(turn), step, passing, by=("the same verb", "repair")[turn // len(STEPS) % 2])
        turn += 1
    print(f"\n{tally}")
    assert (tally.lost, tally.doubled, tally.stuck) == (0, 0, 0)


# --- a shell that is killed ---------------------------------------------------------------------------

WRITER = """
. "$1"
n=0
while :; do
    bridge_case pass "case $n of $2 $3" 0.1 "$4" || exit 1
    printf '%s\\n' "$n"
    n=$((n + 1))
done
"""


@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_what_a_killed_shell_had_written_counts_once(shell: str, bridge: Bridge, data: Path):
    """Killed after a random number of results; those that were answered are there, and at most one more."""
    bridge.init()
    bridge.begin_layer("L0")
    rounds = max(5, KILLS // 10)
    answered = 0
    for number in range(rounds):
        writer = subprocess.Popen(
            [shell, "-c", WRITER, "writer", str(ROOT / "apps/bridge/shell/bridge.sh"), shell, str(number), "m" * 500],
            env={**os.environ, "FLOWCONTROL_DATA": str(data), "FLOWCONTROL_ENV": "dev"},
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert writer.stdout
        for _ in range(number * 7 + 1):
            assert writer.stdout.readline()
        writer.kill()
        rest = writer.communicate()[0]
        answered += number * 7 + 1 + rest.count("\n")
        bridge.status()
    found = [each["title"] for each in bridge.results()["cases"]]
    assert len(found) == len(set(found))
    assert answered <= len(found) <= answered + rounds
    assert bridge.results()["totals"]["failed"] == 0


def test_a_sqlite_shell_that_is_killed_in_a_transaction_leaves_no_trace(bridge: Bridge, data: Path):
    """Its journal is rolled back by whoever comes next."""
    bridge.init()
    code = (
        "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); c.execute('PRAGMA cache_size = 1');"
        "c.execute('BEGIN IMMEDIATE');"
        "[c.execute(\"INSERT INTO spools VALUES (?, 'x', 1)\", (str(n) * 50,)) for n in range(5000)]; os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(data / "test_state.db")], check=False)
    assert (data / "test_state.db-journal").exists(), "the kill came in the middle"
    assert bridge.verify() == []
    bridge.begin_layer("L0")
