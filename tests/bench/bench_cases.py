"""1,000 shell cases that do nothing against bats-core's 1,000 tests that do nothing; 15 environment checks.

    .venv/bin/python -m tests.bench.bench_cases [--assert] [--cases 1000]

Both sides are run on the same machine, one after the other. Ours is 1,000 files, each a process of its own, found, run
two at once and read; bats-core has one file with 1,000 tests, which is how it is quickest: two jobs do not help it here.
Both are whole processes.
The checks are `tests.bench.environment_checks`, from the start of Python to its end.
"""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]
TIMES_QUICKER, CHECKS_SECONDS = 3.0, 0.3
CHECKS = 15

RUNNER = """
import sys
from pathlib import Path
from apps.testruns.cases.executables import discover
from apps.testruns.cases.model import Place
from apps.testruns.cases.runner import run_layer
root = Path(sys.argv[1])
outcome = run_layer("L0", discover(root).cases, Place("dev", root), parallel=2)
print(outcome.passed, outcome.failed)
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """A row of the table. `is_good` None: there was nothing to hold it against."""

    name: str
    peer: str
    ours: str
    ratio: str
    limit: str
    is_good: bool | None


def timed(command: list[str], cwd: Path) -> tuple[float, str]:
    """Seconds of a whole process, and what it printed."""
    started = time.perf_counter()
    done = subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, text=True, check=True)
    return time.perf_counter() - started, done.stdout


def run_ours(folder: Path, count: int) -> float:
    (folder / "L0").mkdir()
    for number in range(count):
        path = folder / f"L0/case-{number:05}.sh"
        path.write_text("#!/bin/sh\n:\n")
        path.chmod(0o755)
    seconds, said = timed([sys.executable, "-c", RUNNER, str(folder)], ROOT)
    assert said.split() == [str(count), "0"], said
    return seconds


def run_bats(folder: Path, count: int) -> float:
    path = folder / "nothing.bats"
    path.write_text("".join(f'@test "case {number}" {{\n  :\n}}\n' for number in range(count)))
    seconds, said = timed(["bats", "--tap", str(path)], folder)
    assert len(re.findall(r"^ok ", said, re.MULTILINE)) == count, said[-500:]
    return seconds


def against_bats(count: int) -> Finding:
    name, limit = f"{count:,} cases that do nothing", f"{TIMES_QUICKER:g}x quicker"
    with tempfile.TemporaryDirectory() as folder:
        ours = run_ours(Path(folder), count)
        if shutil.which("bats") is None:
            return Finding(name, "bats-core is not installed", f"{ours:.2f} s", "-", limit, None)
        bats = run_bats(Path(folder), count)
    return Finding(
        name, f"bats-core {bats:.2f} s", f"{ours:.2f} s", f"{bats / ours:.1f}x", limit, bats / ours >= TIMES_QUICKER
    )


def environment_checks(rounds: int) -> Finding:
    measured = []
    for _ in range(rounds + 1):
        seconds, said = timed([sys.executable, "-m", "tests.bench.environment_checks"], ROOT)
        passed, failed, skipped, _ = said.split()
        assert int(passed) + int(skipped) == CHECKS, said
        assert int(failed) == 0, said
        measured.append(seconds)
    ours = statistics.median(measured[1:])  # the first one filled the caches
    limit = f"{CHECKS_SECONDS:g} s"
    return Finding(
        f"{CHECKS} environment checks, one process",
        f"{limit} allowed",
        f"{ours:.3f} s",
        f"{ours / CHECKS_SECONDS:.2f}",
        limit,
        ours <= CHECKS_SECONDS,
    )


def show(findings: list[Finding]) -> None:
    table = Table(title="Cases of layered tests")
    for column in ("what", "peer", "ours", "ratio", "at least / at most"):
        table.add_column(column, justify="left" if column == "what" else "right", no_wrap=True)
    for each in findings:
        colour = {True: "green", False: "red", None: "yellow"}[each.is_good]
        table.add_row(each.name, each.peer, each.ours, f"[{colour}]{each.ratio}[/]", each.limit)
    Console(width=120).print(table)
    load = os.getloadavg()[0]
    if load > 2:
        Console(stderr=True).print(f"The machine was busy (load {load:.1f}): absolute times are too high.")


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare the runner of cases with bats-core.")
    parser.add_argument("--assert", dest="judge", action="store_true", help="exit 1 if a limit is not kept")
    parser.add_argument("--cases", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=7, help="of the environment checks")
    arguments = parser.parse_args()
    findings = [against_bats(arguments.cases), environment_checks(arguments.rounds)]
    show(findings)
    if shutil.which("bats") is None:
        Console(stderr=True).print("bats-core is absent, so nothing was held against it: apt install bats")
    return 1 if arguments.judge and any(each.is_good is False for each in findings) else 0


if __name__ == "__main__":
    sys.exit(main())
