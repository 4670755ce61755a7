"""Flows over TPC-H scale factor 1 against the same work hand-written in DuckDB; parsing and checking a long flow.

    .venv/bin/python -m tests.bench.bench_flow [--assert] [--rounds 7] [--data data/bench]

Both sides take turns, so that a busy machine slows both. *Whole process*: `manage.py flow run FILE`, from its start to
its end, against a Python process that imports duckdb and runs one statement; wall time and peak memory, by wait4.
*Warm*: in one process with all imports done, `apps.engine.run.execute` (parse, check, confine, compute, publish)
against a new connection and the statement. Before anything is measured both results are held against each other.
"""

import argparse
import compileall
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]
TABLES = ("customer", "orders", "lineitem")
WALL_LIMIT, MEMORY_LIMIT, WARM_LIMIT, CHECK_LIMIT_SECONDS = 1.25, 1.2, 1.05, 0.5

MONTHLY = """COPY (
  SELECT o_custkey, c_mktsegment, date_trunc('month', o_orderdate)::DATE AS month,
    sum(l_extendedprice * (1 - l_discount)) AS revenue, count(*) AS items
  FROM {lineitem} JOIN {orders} ON l_orderkey = o_orderkey JOIN {customer} ON o_custkey = c_custkey
  WHERE l_shipdate <= DATE '1998-09-02' AND l_returnflag <> 'R'
  GROUP BY ALL ORDER BY o_custkey, month
) TO '{out}' (FORMAT parquet)"""

REVENUE = """COPY (
  SELECT l_orderkey, o_orderdate, o_shippriority, sum(l_extendedprice * (1 - l_discount)) AS revenue
  FROM {customer}, {orders}, {lineitem}
  WHERE c_mktsegment = 'BUILDING' AND c_custkey = o_custkey AND l_orderkey = o_orderkey
    AND o_orderdate < DATE '1995-03-15' AND l_shipdate > DATE '1995-03-15'
  GROUP BY ALL ORDER BY revenue DESC, o_orderdate
) TO '{out}' (FORMAT parquet)"""


@dataclass(frozen=True, slots=True)
class Work:
    """The same work as a flow, `tests/bench/<name>.flow`, and as SQL. `out` is what the flow writes.

    A flow reads a csv by stricter rules than the statement by hand, which takes 3.7 for the whole number 4: what that
    costs is judged with the rest. The short one is over in a quarter of a second by hand, most of which is the start of Python and DuckDB: what it
    shows is the price of starting a flow. It is reported, not judged.
    """

    name: str
    sql: str
    out: str
    is_judged: bool

    def flow_text(self, kind: str) -> str:
        text = Path(__file__).with_name(f"{self.name}.flow").read_text()
        for table in TABLES:
            text = text.replace(f'parquet("{table}.parquet")', f'{kind}("{table}.{kind}")')
        return text

    def hand_sql(self, place: Path, kind: str, out: Path) -> str:
        return self.sql.format(out=out, **{table: f"'{place}/{table}.{kind}'" for table in TABLES})


WORKS = (
    Work("tpch_monthly", MONTHLY, "out/monthly.parquet", is_judged=True),
    Work("tpch_revenue", REVENUE, "out/revenue.parquet", is_judged=False),
)


@dataclass(frozen=True, slots=True)
class Cost:
    wall_seconds: float
    peak_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Finding:
    """A row of the table. `limit` None: reported, not judged."""

    name: str
    hand: str
    ours: str
    ratio: float
    limit: float | None

    @property
    def is_good(self) -> bool:
        return self.limit is None or self.ratio <= self.limit


def make_data(folder: Path, kind: str) -> Path:
    """The tables in one format, made once."""
    place = folder / f"tpch-sf1-{kind}"
    if not all((place / f"{table}.{kind}").exists() for table in TABLES):
        print(f"making TPC-H data in {place} …", file=sys.stderr)
        generator = Path(sys.executable).with_name("tpchgen-cli")
        tables = f"--tables={','.join(TABLES)}"
        subprocess.run([generator, kind, "-s", "1", tables, f"--output-dir={place}"], check=True)
    return place


# --- measuring ---------------------------------------------------------------------------------------


# The peak of a process counts from before its exec, so it is started by one that is smaller than any of the measured.
MEASURE = """
import os, sys, time
started = time.perf_counter()
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(child, 0)
print(time.perf_counter() - started, usage.ru_maxrss, os.waitstatus_to_exitcode(status), file=sys.stderr)
"""


def process_cost(command: list[str]) -> Cost:
    """A whole process, with the children that it waits for."""
    measuring = [sys.executable, "-S", "-E", "-c", MEASURE, *command]
    done = subprocess.run(measuring, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=True)
    seconds, peak, status = done.stderr.splitlines()[-1].split()
    assert status == "0", done.stderr
    return Cost(float(seconds), int(peak) * (1 if sys.platform == "darwin" else 1024))


def call_cost(work: Callable[[], None]) -> Cost:
    started = time.perf_counter()
    work()
    return Cost(time.perf_counter() - started)


def take_turns(rounds: int, one: Callable[[], Cost], other: Callable[[], Cost]) -> tuple[list[Cost], list[Cost]]:
    """`rounds` of each, after one of each that does not count: it fills the caches."""
    one(), other()
    pairs = [(one(), other()) for _ in range(rounds)]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def median_seconds(costs: list[Cost]) -> float:
    return statistics.median(cost.wall_seconds for cost in costs)


def compared(name: str, hand: list[Cost], ours: list[Cost], limit: float | None) -> Finding:
    """The ratio is the median of the pairs' ratios: what slows the machine for a while slows both of a pair."""
    by_hand, by_us = median_seconds(hand), median_seconds(ours)
    ratio = statistics.median(us.wall_seconds / peer.wall_seconds for peer, us in zip(hand, ours, strict=True))
    return Finding(name, f"{by_hand:.3f} s", f"{by_us:.3f} s", ratio, limit)


def compared_memory(name: str, hand: list[Cost], ours: list[Cost], limit: float | None) -> Finding:
    by_hand, by_us = max(cost.peak_bytes for cost in hand), max(cost.peak_bytes for cost in ours)
    return Finding(name, f"{by_hand / 1e6:.0f} MB", f"{by_us / 1e6:.0f} MB", by_us / by_hand, limit)


# --- what is measured ---------------------------------------------------------------------------------


def whole_process(work: Work, place: Path, kind: str, rounds: int, folder: Path) -> list[Finding]:
    flow, script = folder / f"{work.name}-{kind}.flow", folder / f"{work.name}-{kind}.py"
    flow.write_text(work.flow_text(kind))
    by_hand = folder / f"{work.name}-{kind}.parquet"
    script.write_text(f'import duckdb\nduckdb.execute("""{work.hand_sql(place, kind, by_hand)}""")\n')
    theirs = [sys.executable, str(script)]
    ours = [sys.executable, str(ROOT / "manage.py"), "flow", "run", str(flow), "--workspace", str(place), "--json"]
    process_cost(theirs)
    process_cost(ours)
    assert_same(by_hand, place / work.out)
    one, other = take_turns(rounds, lambda: process_cost(theirs), lambda: process_cost(ours))
    name = f"{work.name}, {kind}, whole process"
    return [
        compared(f"{name}: wall", one, other, WALL_LIMIT if work.is_judged else None),
        compared_memory(f"{name}: peak memory", one, other, MEMORY_LIMIT if work.is_judged else None),
    ]


def warm(work: Work, place: Path, kind: str, rounds: int, folder: Path) -> Finding:
    import duckdb

    from apps.engine import manifest
    from apps.engine.run import execute
    from apps.engine.spec import RunSpec

    text, sql = work.flow_text(kind), work.hand_sql(place, kind, folder / "warm.parquet")
    keys = iter(range(1_000_000))

    def by_hand() -> None:
        with duckdb.connect() as connection:
            connection.execute(sql).fetchall()

    def by_us() -> None:
        key = f"bench-{os.getpid()}-{next(keys)}"
        spec = RunSpec(text, "bench.flow", place, {}, datetime.now(UTC), key, memory_bytes=8 << 30, previews=False)
        outcome = execute(spec, lambda _event: None)
        assert outcome.status == "succeeded", outcome.error
        manifest.forget(place, key)

    one, other = take_turns(rounds, lambda: call_cost(by_hand), lambda: call_cost(by_us))
    limit = WARM_LIMIT if work.is_judged else None
    return compared(f"{work.name}, {kind}, warm process: wall", one, other, limit)


def assert_same(one: Path, other: Path) -> None:
    """The same rows on both sides, before any of them is timed. Revenue has four decimals; from csv it is a double,
    whose last bits depend on the order in which threads add."""
    import duckdb

    for left, right in ((one, other), (other, one)):
        pair = " EXCEPT ALL ".join(f"SELECT * REPLACE (round(revenue, 4) AS revenue) FROM '{x}'" for x in (left, right))
        extra = duckdb.execute(f"SELECT count(*) FROM ({pair})").fetchall()[0][0]
        assert extra == 0, f"{extra} rows of {left} are not in {right}"


def long_flow(lines: int) -> str:
    """A flow of that many lines, each step of it a few operations on the one before."""
    text = [
        "flow long {}",
        'source s = csv("s.csv") { columns: { id: int, name: text, amount: decimal(12, 2), day: date } }',
    ]
    text.append("step s0 = s")
    number = 0
    while len(text) + 6 <= lines:
        number += 1
        text += [
            f"step s{number} = s{number - 1}",
            f"  | where amount > {number} and (name is not null or day >= 2026-01-01)",
            f'  | derive total = (amount ?? 0) * {number}, label = concat(upper(name), "-", to_text(id))',
            "  | window by name order day { running = sum(amount), nth = row_number() }",
            "  | select id, name, amount = to_decimal(running, 12, 2), day, label",
            "  | drop label",
        ]
    text.append(f'sink s{number} -> parquet("out.parquet")')
    return "\n".join(text) + "\n"


def parse_and_check(rounds: int) -> Finding:
    from apps.engine.planning import plan_of
    from apps.language.checking.schemas import no_schemas

    text = long_flow(1000)
    lines = text.count("\n")
    seconds = median_seconds(
        [call_cost(lambda: plan_of(text, "long.flow", no_schemas) and None) for _ in range(rounds)]
    )
    limit = f"{CHECK_LIMIT_SECONDS:.1f} s allowed"
    return Finding(f"parse and check {lines} lines", limit, f"{seconds:.3f} s", seconds / CHECK_LIMIT_SECONDS, 1.0)


# --- the table --------------------------------------------------------------------------------------------


def show(findings: list[Finding]) -> None:
    table = Table(title="Flows against hand-written DuckDB (medians)")
    for column in ("what", "hand-written", "flow", "ratio", "at most"):
        table.add_column(column, justify="left" if column == "what" else "right", no_wrap=True)
    for each in findings:
        limit = "-" if each.limit is None else f"{each.limit:.2f}"
        colour = "green" if each.is_good else "red"
        table.add_row(each.name, each.hand, each.ours, f"[{colour}]{each.ratio:.2f}[/]", limit)
    Console(width=120).print(table)
    load = os.getloadavg()[0]
    if load > 1:
        Console(stderr=True).print(f"The machine was busy (load {load:.1f}): absolute times are too high.")


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare flows with hand-written DuckDB.")
    parser.add_argument("--assert", dest="judge", action="store_true", help="exit 1 if a ratio is above its limit")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--data", type=Path, default=ROOT / "data/bench", help="where TPC-H data is made and kept")
    arguments = parser.parse_args()
    compileall.compile_dir(ROOT / "apps", quiet=1)  # as it is wherever flows are run more than once
    findings = []
    with tempfile.TemporaryDirectory() as name:
        for work, kind in itertools.product(WORKS, ("parquet", "csv")):
            place = make_data(arguments.data.absolute(), kind)
            findings += whole_process(work, place, kind, arguments.rounds, Path(name))
            findings.append(warm(work, place, kind, arguments.rounds, Path(name)))
    findings.append(parse_and_check(arguments.rounds))
    show(findings)
    return 1 if arguments.judge and not all(each.is_good for each in findings) else 0


if __name__ == "__main__":
    sys.exit(main())
