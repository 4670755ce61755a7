"""`kill -9` in the middle of a run: the run ends once, as it should, and its output is there once.

The short form is in the suite; `make kills` runs the long one (KILLS=20 for each part and more).
"""

import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from tests.stack.portal import Portal, wait_for

KILLS = int(os.environ.get("KILLS", "3"))
ROWS = 3_000_000
FLOW = """
flow slow_append { description: "Long enough to be killed in the middle" }

source numbers = parquet("in/numbers.parquet") { columns: { id: int, word: text } }

step hashed = numbers
  | derive digest = sha256(concat(word, to_text(id)))
step ranked = hashed
  | window by word order digest { nth = row_number() }
step kept = ranked
  | where nth <= 1000
  | sort digest

expect ranked { nth > 0 fail }
sink kept -> parquet("out/kept") { mode: append }
"""


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    """A portal with a short lease, so that many deaths fit into a test; the default is tried below."""
    portal = Portal(tmp_path_factory.mktemp("kills"), settings={"LEASE_SECONDS": "3"}).start()
    load(portal)
    yield portal
    portal.stop()


def load(portal: Portal) -> None:
    workspace = portal.folder / "data" / "workspaces" / "dev"
    (workspace / "in").mkdir(parents=True, exist_ok=True)
    duckdb.sql(
        f"copy (select i as id, 'w' || i % 50 as word from range({ROWS}) r(i)) to '{workspace}/in/numbers.parquet' (format parquet)"
    )
    flow = portal.folder / "slow_append.flow"
    flow.write_text(FLOW, encoding="utf-8")
    portal.manage("flow", "push", str(flow), "--as", "admin")


def start_run(portal: Portal) -> int:
    run: int = portal.json("flow", "run", "slow_append", "--env", "dev", "--as", "admin")["run"]
    return run


def state_of(portal: Portal, run: int) -> str:
    ((state,),) = portal.query("select state from runs_run where id = ?", run)
    return str(state)


def end_of(portal: Portal, run: int, seconds: float = 90) -> str:
    return wait_for(
        lambda: (state := state_of(portal, run)) not in ("queued", "running") and state,
        seconds,
        f"the end of run {run}",
    )


def parts(portal: Portal) -> list[Path]:
    return sorted((portal.folder / "data" / "workspaces" / "dev" / "out" / "kept").glob("*.parquet"))


def assert_published_once(portal: Portal, run: int, before: list[Path]) -> None:
    new = [part for part in parts(portal) if part not in before]
    assert len(new) == 1, f"run {run} published {len(new)} files"
    assert duckdb.sql(f"select count(*) from '{new[0]}'").fetchall() == [(50_000,)]
    succeeded = portal.query(
        "select count(*) from jobs_jobevent where job_kind = 'run' and job_id = ? and kind = 'state' and data like '%succeeded%'",
        run,
    )
    assert succeeded == [(1,)], "a run ends once"


@pytest.mark.kill
@pytest.mark.slow
@pytest.mark.parametrize("part", ["worker", "flow", "controller", "bus"])
def test_a_run_survives_the_death_of(portal: Portal, part: str) -> None:
    dice = random.Random(part)
    began = time.monotonic()
    assert end_of(portal, start_run(portal)) == "succeeded"
    usual = time.monotonic() - began
    struck = 0
    for _ in range(KILLS):
        before = parts(portal)
        run = start_run(portal)
        wait_for(lambda run=run: state_of(portal, run) != "queued", 60, f"run {run} to start")
        time.sleep(dice.uniform(0, usual * 0.8))
        struck += state_of(portal, run) == "running"
        if part != "flow" or portal.pid_of("flow"):
            portal.kill(part)
        assert end_of(portal, run) == "succeeded"
        assert_published_once(portal, run, before)
    print(
        f"{KILLS} deaths of the {part}, {struck} in the middle of a run: each run ended once, its output is there once"
    )
    assert struck


@pytest.mark.kill
@pytest.mark.slow
def test_a_worker_that_slept_through_its_lease_publishes_nothing(portal: Portal) -> None:
    """Stopped, not killed: it wakes up believing that the run is still its own."""
    before = parts(portal)
    run = start_run(portal)
    worker = portal.pid_of("worker")
    child = wait_for(lambda: portal.pid_of("flow"), 60, "the flow's process")
    for pid in (worker, child):
        os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: state_of(portal, run) == "queued", 30, "the run to be taken from the sleeper")
    wait_for(
        lambda: "No worker is alive" in portal.page(f"/runs/{run}/"), 30, "the page to say that no worker is alive"
    )
    for pid in (child, worker):
        os.kill(pid, signal.SIGCONT)
    assert end_of(portal, run) == "succeeded"
    assert_published_once(portal, run, before)


@pytest.mark.kill
@pytest.mark.slow
def test_with_the_usual_lease_the_page_tells_the_truth_within_fifteen_seconds(tmp_path: Path) -> None:
    portal = Portal(tmp_path).start()
    try:
        load(portal)
        run = start_run(portal)
        wait_for(lambda: portal.pid_of("flow"), 60, "the flow's process")
        portal.page(f"/runs/{run}/")
        portal.kill("worker")
        killed = time.monotonic()

        def told() -> bool:
            ((attempt, state),) = portal.query("select attempt, state from runs_run where id = ?", run)
            return attempt > 1 or state != "running" or "state-lost" in portal.page(f"/runs/{run}/")

        wait_for(told, 30, "the page to stop saying that the dead worker is at work")
        assert time.monotonic() - killed < 15
        assert end_of(portal, run) == "succeeded"
        assert_published_once(portal, run, [])
    finally:
        portal.stop()
