"""A handoff of the bridge, offered and accepted, both durable, against the least that could be: two flushed SQLite
transactions of one row and two files written atomically.

    .venv/bin/python -m tests.bench.bench_bridge [--rounds 50] [--cases 200] [--assert]

Both sides take turns, on the same disk, in one process. The session holds `--cases` results, so what is digested and
copied into its record is not empty. `--assert` exits with 1 when the median of a handoff is 50 ms or more.
"""

import argparse
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from apps.bridge.protocol import Bridge
from apps.bridge.records import CaseRecord
from apps.common.files import write_atomic

LIMIT_MS = 50.0


def prepared(bridge: Bridge, cases: int) -> None:
    """A session that is ready to be handed over."""
    bridge.init()
    bridge.begin_layer("L0")
    bridge.record_many(CaseRecord(f"case {number}", "passed", message="a few words") for number in range(cases))


def bare(folder: Path) -> Callable[[], None]:
    """The peer: two transactions, two files."""
    connection = sqlite3.connect(folder / "bare.db", isolation_level=None)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE bare (id INTEGER PRIMARY KEY, text TEXT)")

    def once() -> None:
        for number in range(2):
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("INSERT INTO bare (text) VALUES ('offered')")
            connection.execute("COMMIT")
            write_atomic(folder / f"bare{number}.json", "x" * 600)

    return once


def milliseconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def main() -> int:
    arguments = _arguments()
    spent: dict[str, list[float]] = {"offer": [], "accept": [], "handoff": [], "bare": []}
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        bridge = Bridge(Path(name), "dev")
        peer = bare(Path(name))
        for _ in range(arguments.rounds):
            prepared(bridge, arguments.cases)
            offer, accept = milliseconds(bridge.offer), milliseconds(bridge.accept)
            for part, taken in (("offer", offer), ("accept", accept), ("handoff", offer + accept)):
                spent[part].append(taken)
            spent["bare"].append(milliseconds(peer))
            bridge.abort()
    median = statistics.median(spent["handoff"])
    _show(spent, arguments.cases)
    if arguments.check and median >= LIMIT_MS:
        Console(stderr=True).print(f"A handoff takes {median:.1f} ms; the limit is {LIMIT_MS:.0f} ms.")
        return 1
    return 0


def _show(spent: dict[str, list[float]], cases: int) -> None:
    bare_median = statistics.median(spent["bare"])
    names = {
        "offer": "offer",
        "accept": "accept",
        "handoff": f"handoff: both, with {cases} results",
        "bare": "two bare transactions and two files",
    }
    table = Table("", "median ms", "p95 ms", "ratio", title="The bridge: a handoff, durable")
    for part, name in names.items():
        found = spent[part]
        median, high = statistics.median(found), sorted(found)[int(len(found) * 0.95)]
        table.add_row(name, f"{median:.1f}", f"{high:.1f}", f"{median / bare_median:.2f}")
    Console().print(table)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=50, help="handoffs; default: 50")
    parser.add_argument("--cases", type=int, default=200, help="results in the session; default: 200")
    parser.add_argument("--folder", help="on which disk; default: that of temporary files")
    parser.add_argument("--assert", dest="check", action="store_true", help="exit with 1 at 50 ms or more")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
