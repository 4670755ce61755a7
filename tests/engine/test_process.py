"""Runs in a child process: limits, death and its causes, and what is left afterwards."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.engine import manifest
from apps.engine.limits import MIB, Limits
from apps.engine.nursery import Nursery
from apps.engine.process import FlowProcess, cause_of_death
from tests.engine.running import ORDERS, TOTALS, spec, write
from tests.engine.test_run import SLOW, lasting

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    write(tmp_path / "ws", "in/orders.csv", ORDERS)
    write(tmp_path / "ws", "in/many.csv", "x\n" + "".join(f"{number}\n" for number in range(200_000)))
    return tmp_path / "ws"


@pytest.fixture(scope="module", autouse=True)
def _no_nursery_is_left() -> Iterator[None]:
    yield
    Nursery.current().close()


def started(workspace: Path, text: str, **options: Any) -> FlowProcess:
    process = FlowProcess(spec(workspace, text, **options))
    process.start()
    return process


def until(condition: Callable[[], bool], what: str, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.01)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_it_gives_events_as_they_come_and_then_the_outcome(workspace: Path) -> None:
    process = started(workspace, TOTALS)
    kinds = [event["kind"] for event in process.events()]
    assert (kinds[0], kinds[-1]) == ("plan", "done")
    assert process.outcome.status == "succeeded"
    assert process.outcome.outputs[0]["rows"] == 2
    assert "out/totals.csv" in lasting(workspace)


def test_the_outcome_may_be_asked_for_without_reading_events(workspace: Path) -> None:
    assert started(workspace, TOTALS).outcome.status == "succeeded"


def test_many_runs_at_once_have_a_process_each(workspace: Path) -> None:
    processes = [started(workspace, TOTALS, run_key=f"run-{number}") for number in range(4)]
    assert len({process.pid for process in processes} | {os.getpid()}) == 5
    assert {process.outcome.status for process in processes} == {"succeeded"}


def test_a_text_larger_than_a_pipe_arrives_whole(workspace: Path) -> None:
    assert started(workspace, TOTALS + "# " + "x" * 300_000 + "\n").outcome.status == "succeeded"


def test_a_run_from_a_thread_is_a_run(workspace: Path) -> None:
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(started(workspace, TOTALS).outcome.status))
    thread.start()
    thread.join(30)
    assert found == ["succeeded"]


# --- stopping ---------------------------------------------------------------------------------------


def running(process: FlowProcess) -> Iterator[dict[str, Any]]:
    """The events, once the flow computes."""
    events = process.events()
    for event in events:
        if event["kind"] == "step" and event["state"] == "running":
            return events
    raise AssertionError("it never began")


def test_cancel_ends_it_within_two_seconds(workspace: Path) -> None:
    process = started(workspace, SLOW)
    events = running(process)
    asked = time.monotonic()
    process.cancel()
    list(events)
    assert time.monotonic() - asked < 2
    assert process.outcome.status == "cancelled"
    assert "n.csv" not in lasting(workspace)
    process.cancel()
    process.kill()


def test_a_cancel_before_it_has_begun_counts(workspace: Path) -> None:
    process = started(workspace, SLOW)
    process.cancel()
    assert process.outcome.status == "cancelled"


@pytest.mark.kill
@pytest.mark.parametrize("by", ["kill()", "SIGKILL", "SIGSEGV"])
def test_its_death_is_told_with_the_cause(workspace: Path, by: str) -> None:
    write(workspace, "n.csv", "old")
    process = started(workspace, SLOW)
    events = running(process)
    process.kill() if by == "kill()" else os.kill(process.pid, getattr(signal, by))
    last = list(events)[-1]
    error = process.outcome.error
    assert error is not None
    assert (process.outcome.status, error["code"]) == ("failed", "E522")
    assert ("SIGSEGV" if by == "SIGSEGV" else "SIGKILL") in error["message"]
    assert error["hint"]
    assert last == {"kind": "done", "outcome": process.outcome.to_json()}
    assert (workspace / "n.csv").read_text() == "old"


@pytest.mark.kill
def test_the_next_attempt_of_a_killed_run_finishes_it_and_clears_what_it_left(workspace: Path) -> None:
    process = started(workspace, SLOW)
    events = running(process)
    os.kill(process.pid, signal.SIGKILL)
    list(events)
    assert list((workspace / ".flowcontrol").rglob("attempt-1")), "a killed run cannot tidy up"
    again = started(workspace, TOTALS, attempt=2)
    assert again.outcome.status == "succeeded"
    assert not list((workspace / ".flowcontrol").rglob("attempt-*"))


@pytest.mark.kill
def test_killed_at_any_moment_an_append_is_there_exactly_once_after_the_next_attempt(workspace: Path) -> None:
    text = 'flow f {} source o = csv("in/orders.csv") step a = o sink a -> csv("log") { mode: append }'
    for number in range(12):
        key = f"run-{number}"
        process = started(workspace, text, run_key=key)
        for seen, _ in enumerate(process.events()):
            if seen == number:
                process.kill()
        if manifest.recover(workspace, key) is None:
            assert started(workspace, text, run_key=key, attempt=2).outcome.status == "succeeded"
    parts = [path for path in lasting(workspace) if path.startswith("log/")]
    assert parts == sorted(f"log/part-run-{number}.csv" for number in range(12))


# --- limits -------------------------------------------------------------------------------------------

BOMBS = {
    "one huge value": "step a = m | derive t = pad_left(to_text(x), 2_000_000_000, \"x\") | where length(t) > 5",
    "a join of all with all": "step a = m | cross join m as o bring y = o.x | sort -y, x",
    "one huge group": "step a = m | cross join m as o bring y = o.x | group { l = string_agg(to_text(y), \",\") }",
}  # fmt: skip


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_flow_that_needs_too_much_fails_alone(workspace: Path, bomb: str) -> None:
    write(workspace, "a.parquet", "old")
    text = f'flow bomb {{}} source m = csv("in/many.csv") {BOMBS[bomb]} sink a -> parquet("a.parquet")'
    process = started(workspace, text, memory_bytes=200 * MIB, temp_bytes=50 * MIB)
    peak = 0

    def measure() -> int:
        try:
            status = Path(f"/proc/{process.pid}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return 0
        return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")), 0)

    for _ in process.events():
        peak = max(peak, measure())
    error = process.outcome.error
    assert error is not None
    assert error["code"] in ("E520", "E517")
    assert ("200 MB of memory" if error["code"] == "E520" else "50 MB of temporary disk") in error["message"]
    assert error["hint"]
    assert peak * 1024 < Limits(200 * MIB, 0, 2).address_space_bytes
    assert (workspace / "a.parquet").read_text() == "old"
    assert started(workspace, TOTALS, run_key="next").outcome.status == "succeeded", "the next run is none the worse"


def inside(workspace: Path, name: str) -> str:
    """A file of /proc about a running child."""
    process = started(workspace, SLOW)
    events = running(process)
    try:
        return Path(f"/proc/{process.pid}/{name}").read_text()
    finally:
        process.kill()
        list(events)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_child_has_the_kernels_limits(workspace: Path) -> None:
    rows = {line[:26].strip(): line[26:].split() for line in inside(workspace, "limits").splitlines()}
    hard = spec(workspace, "").limits.address_space_bytes
    assert rows["Max address space"][:2] == [str(hard), str(hard)]
    assert rows["Max core file size"][:2] == ["0", "0"]
    assert int(rows["Max open files"][1]) <= 4096


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_child_knows_nothing_of_the_workers_environment(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOW_TEST_SECRET", "hunter2")
    Nursery.current().close()  # so that the next one could have seen it
    variables = inside(workspace, "environ").split("\0")
    assert not [each for each in variables if "SECRET" in each or "KEY" in each or "hunter2" in each]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_child_has_a_session_of_its_own(workspace: Path) -> None:
    process = started(workspace, SLOW)
    events = running(process)
    assert os.getsid(process.pid) == process.pid != os.getsid(0)
    process.kill()
    list(events)


WORKER = """
import sys
from apps.engine.fork import Forked
from apps.engine.process import FlowProcess
from tests.engine.running import spec
from tests.engine.test_run import SLOW
from pathlib import Path
process = FlowProcess(spec(Path(sys.argv[1]), SLOW))
process.start(Forked() if sys.argv[2] == "fork" else None)
for event in process.events():
    if event["kind"] == "step" and event["state"] == "running":
        print(process.pid, flush=True)
"""


@pytest.mark.kill
@pytest.mark.parametrize("origin", ["nursery", "fork"])
def test_a_child_dies_with_its_worker(workspace: Path, origin: str) -> None:
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(workspace), origin], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert worker.stdout is not None
    child = int(worker.stdout.readline())
    family = [child, *nursery_of(child)] if origin == "nursery" else [child]
    assert all(is_running(pid) for pid in family)
    worker.kill()
    worker.wait()
    until(lambda: not any(is_running(pid) for pid in family), "the child, and its nursery, are gone")
    worker.stdout.close()


def nursery_of(child: int) -> list[int]:
    return [int(Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[1])]


@pytest.mark.kill
def test_a_killed_nursery_takes_its_children_along_and_is_replaced(workspace: Path) -> None:
    process = started(workspace, SLOW)
    events = running(process)
    os.kill(nursery_of(process.pid)[0], signal.SIGKILL)
    list(events)
    assert process.outcome.status == "failed"
    assert started(workspace, TOTALS, run_key="next").outcome.status == "succeeded"


def test_a_nursery_has_all_that_a_run_imports_and_one_thread(workspace: Path) -> None:
    process = started(workspace, SLOW)
    events = running(process)
    nursery = nursery_of(process.pid)[0]
    assert len(list(Path(f"/proc/{nursery}/task").iterdir())) == 1
    mapped = Path(f"/proc/{nursery}/maps").read_text()
    assert "_duckdb" in mapped
    process.kill()
    list(events)


# --- words for a death -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "said", "code", "words"),
    [
        (-6, "terminate called after throwing an instance of 'std::bad_alloc'", "E520", "300 MB"),
        (1, "MemoryError: ", "E520", "300 MB"),
        (-9, "", "E522", "SIGKILL"),
        (None, "", "E522", "SIGKILL"),
        (-11, "some words\n", "E522", "SIGSEGV; its last words: some words"),
        (3, "", "E522", "status 3"),
    ],
)
def test_a_death_has_its_cause_in_words(status: int | None, said: str, code: str, words: str) -> None:
    error = cause_of_death(status, said, Limits(300 * MIB, 0, 1))
    assert (error.code, words in error.message) == (code, True), error.message
    assert error.hint


def test_a_spec_survives_the_way_to_the_child(workspace: Path) -> None:
    there = spec(workspace, TOTALS, params={"a": "1"}, timeout_seconds=1.5)
    assert type(there).from_json(json.loads(json.dumps(there.to_json()))) == there
