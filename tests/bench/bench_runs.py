"""From "run" to "recorded as succeeded": a flow that does next to nothing, against a bare Celery task.

    .venv/bin/python -m tests.bench.bench_runs [--rounds 50] [--burst 200]

Both sides share one machine, one bus and one kind of worker (a pool of as many threads). One at a time: from the call
that starts the run to the row that says `succeeded`, looked for each millisecond, against `delay().get()`; the two
sides take turns. In a burst: all are sent, then the clock runs until the last one is recorded.

A run is more than a message: two transactions with their audit events and job events, a lease, a process of its own
with limits, and a published file with its manifest. Where its milliseconds go is printed from its own rows.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.stack.portal import ROOT, Portal

FLOW = """flow nothing { description: "Does next to nothing" }
source one = csv("one.csv") { columns: { a: int } }
step same = one | where a > 0
sink same -> csv("out/nothing.csv")
"""
POLL_SECONDS = 0.001


@dataclass
class Spent:
    """Milliseconds of each run, by what they went into."""

    parts: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, seconds: float) -> None:
        self.parts.setdefault(name, []).append(seconds * 1000)


@contextmanager
def bare_worker(portal: Portal) -> Iterator[Any]:
    """A Celery worker with one empty task on the portal's own bus, and the task."""
    from flowcontrol import bus

    url = bus.broker_url(bus.embedded_url(portal.folder / "data"))
    os.environ |= {"BARE_BROKER": f"{url}?virtual_host=5", "BARE_BACKEND": f"{url}?virtual_host=5"}
    command = [sys.executable, "-m", "celery", "-A", "tests.bench.bare_celery", "worker", "-Q", "bare", "-l", "ERROR"]
    command += ["--pool", "threads", "--concurrency", "3", "--without-gossip", "--without-mingle"]
    with (portal.folder / "bare.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=os.environ.copy(), stdout=log, stderr=log)
    try:
        from tests.bench.bare_celery import nothing

        assert nothing.delay().get(timeout=60) == 1
        yield nothing
    finally:
        process.terminate()
        process.wait(30)


# --- our side -------------------------------------------------------------------------------------------


class Runs:
    """Starts runs of the flow as a page does, and sees when their rows say that they succeeded."""

    def __init__(self) -> None:
        from django.contrib.auth import get_user_model

        from apps.environments.models import Environment
        from apps.flows.models import Flow

        self.by = get_user_model().objects.get(username="admin")
        self.version = Flow.objects.get(name="nothing").versions.latest("number")
        self.environment = Environment.objects.get(slug="dev")

    def start(self) -> Any:
        from apps.runs.actions import start_run

        return start_run(by=self.by, version=self.version, environment=self.environment, params={})

    def wait(self, run: Any) -> None:
        while (state := type(run).objects.values_list("state", flat=True).get(pk=run.pk)) in ("queued", "running"):
            time.sleep(POLL_SECONDS)
        run.refresh_from_db()
        assert state == "succeeded", run.message


def one_run(runs: Runs, spent: Spent) -> None:
    began = time.perf_counter()
    run = runs.start()
    spent.add("put in line, audited", time.perf_counter() - began)
    runs.wait(run)
    whole = time.perf_counter() - began
    line, work = (run.started_at - run.queued_at).total_seconds(), (run.finished_at - run.started_at).total_seconds()
    spent.add("message, claim", line)
    spent.add("the engine: plan, read, write, publish", run.seconds)
    spent.add("fork, rows, events, record", work - run.seconds)
    spent.add("all of it", whole)


def run_burst(runs: Runs, number: int) -> float:
    began = time.perf_counter()
    started = [runs.start() for _ in range(number)]
    for run in started:
        runs.wait(run)
    return number / (time.perf_counter() - began)


# --- the peer -------------------------------------------------------------------------------------------


def one_task(task: Any) -> None:
    task.delay().get(timeout=60, interval=POLL_SECONDS)


def task_burst(task: Any, number: int) -> float:
    began = time.perf_counter()
    for answer in [task.delay() for _ in range(number)]:
        answer.get(timeout=120, interval=POLL_SECONDS)
    return number / (time.perf_counter() - began)


def timed(call: Callable[[], None]) -> float:
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1000


# --- the table ------------------------------------------------------------------------------------------


def show(tasks: list[float], spent: Spent, bursts: tuple[float, float], number: int) -> None:
    console = Console(width=120)
    table = Table("median of each", "milliseconds", title="one run, warm worker")
    for name, values in spent.parts.items():
        table.add_row(name, f"{statistics.median(values):.1f}", style="bold" if name == "all of it" else "")
    console.print(table)
    ours, bare = statistics.median(spent.parts["all of it"]), statistics.median(tasks)
    table = Table("", "bare Celery", "recorded runs", "ratio", title="a flow that does nothing, against an empty task")
    table.add_row("one, there and back", f"{bare:.1f} ms", f"{ours:.1f} ms", f"{ours / bare:.1f}")
    their_rate, our_rate = bursts
    table.add_row(f"{number} at once", f"{their_rate:.0f}/s", f"{our_rate:.1f}/s", f"{their_rate / our_rate:.1f}")
    console.print(table)


def measure(portal: Portal, rounds: int, number: int) -> None:
    import django

    os.environ |= portal.environment
    django.setup()
    (portal.folder / "data/workspaces/dev/one.csv").write_text("a\n1\n")
    flow = portal.folder / "nothing.flow"
    flow.write_text(FLOW)
    portal.manage("flow", "push", str(flow), "--as", "admin")
    runs, spent, tasks = Runs(), Spent(), []
    with bare_worker(portal) as task:
        for _ in range(5):
            one_run(runs, Spent())
            one_task(task)
        for _ in range(rounds):
            tasks.append(timed(lambda: one_task(task)))
            one_run(runs, spent)
        bursts = task_burst(task, number), run_burst(runs, number)
    show(tasks, spent, bursts, number)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--burst", type=int, default=200)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fc-bench-") as folder:
        portal = Portal(Path(folder)).start()
        try:
            measure(portal, arguments.rounds, arguments.burst)
        finally:
            portal.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
