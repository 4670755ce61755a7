"""Compiled flows against the same work hand-written in DuckDB, over TPC-H scale factor 1, warm, in one process.

    .venv/bin/python -m tests.bench.bench_compile data/bench/tpch-sf1-parquet   # where bench_flow has put the tables

Each flow runs as the runtime runs it: profiled, one statement, written to parquet. The two sides take turns, so that
a busy machine slows both; the ratios are of the fastest and of the median run. Peak memory is of a process of its own.
Before anything is measured, both sides are held against each other row by row.
"""

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from apps.engine.compile import compile_plan
from apps.engine.sandbox import OPTIMIZERS_OFF
from apps.engine.schemas import schema_reader
from apps.engine.sources import scan_sql
from apps.language.checker import check
from apps.language.parser import parse

ROUNDS = 15
WALL_LIMIT, MEMORY_LIMIT = 1.05, 1.2

SOURCES = """
source lineitem = parquet("lineitem.parquet")
source orders = parquet("orders.parquet")
source customer = parquet("customer.parquet")
"""

SEGMENTS = f"""flow segments {SOURCES}
step recent = lineitem
  | where l_shipdate >= 1995-01-01
  | derive net = l_extendedprice * (1 - l_discount)
step enriched = recent
  | inner join orders as o on l_orderkey == o.o_orderkey bring o.o_orderdate, o.o_custkey, o.o_orderstatus
  | where o_orderstatus != "P"
step named = enriched
  | JOIN customer as c on o_custkey == c.c_custkey bring c.c_mktsegment
step by_segment = named
  | group by c_mktsegment, month = trunc(o_orderdate, "month") {{ revenue = sum(net), lines = count() }}
  | sort c_mktsegment, -revenue
sink by_segment -> parquet("out.parquet")
"""

SEGMENTS_SQL = """
SELECT c_mktsegment, date_trunc('month', o_orderdate)::DATE AS month,
  sum(l_extendedprice * (1 - l_discount)) AS revenue, count(*) AS lines
FROM lineitem JOIN orders ON l_orderkey = o_orderkey JOIN customer ON o_custkey = c_custkey
WHERE l_shipdate >= DATE '1995-01-01' AND o_orderstatus <> 'P'
GROUP BY ALL ORDER BY c_mktsegment, revenue DESC
"""

PRICES = f"""flow prices {SOURCES}
step shipped = lineitem | where l_shipdate <= 1998-09-02
step summary = shipped
  | group by l_returnflag, l_linestatus {{ quantity = sum(l_quantity), price = sum(l_extendedprice),
      net = sum(l_extendedprice * (1 - l_discount)), gross = sum(l_extendedprice * (1 - l_discount) * (1 + l_tax)),
      mean_price = round(mean(l_extendedprice), 2), lines = count() }}
  | sort l_returnflag, l_linestatus
sink summary -> parquet("out.parquet")
"""

PRICES_SQL = """
SELECT l_returnflag, l_linestatus, sum(l_quantity) AS quantity, sum(l_extendedprice) AS price,
  sum(l_extendedprice * (1 - l_discount)) AS net, sum(l_extendedprice * (1 - l_discount) * (1 + l_tax)) AS gross,
  round(avg(l_extendedprice), 2) AS mean_price, count(*) AS lines
FROM lineitem WHERE l_shipdate <= DATE '1998-09-02' GROUP BY ALL ORDER BY ALL
"""

WIDE = f"""flow wide {SOURCES}
step late = lineitem | where l_receiptdate > l_commitdate
step priced = late
  | lookup orders as o on l_orderkey == o.o_orderkey bring o.o_orderpriority, o.o_orderdate
  | derive days = days_between(o_orderdate, l_receiptdate)
  | select l_orderkey, l_linenumber, o_orderpriority, days, l_extendedprice
sink priced -> parquet("out.parquet")
"""

WIDE_SQL = """
SELECT l_orderkey, l_linenumber, o_orderpriority, date_diff('day', o_orderdate, l_receiptdate) AS days, l_extendedprice
FROM lineitem LEFT JOIN orders ON l_orderkey = o_orderkey WHERE l_receiptdate > l_commitdate
"""

PAIRS = {
    "segments, inner joins": (SEGMENTS.replace("JOIN", "inner join"), SEGMENTS_SQL),
    "segments, a lookup": (SEGMENTS.replace("JOIN", "lookup"), SEGMENTS_SQL),
    "prices, one table": (PRICES, PRICES_SQL),
    "late lines, 3.8 M rows out": (WIDE, WIDE_SQL),
}


@dataclass(frozen=True, slots=True)
class Side:
    sql: str
    seconds: list[float]
    cpu_seconds: list[float]


def compiled(data: Path, text: str) -> str:
    parsed = parse(text)
    assert parsed.tree is not None, parsed.diagnostics
    plan = check(parsed.tree, schema_reader(data)).plan
    assert plan is not None
    scans = {source.name: scan_sql(data, source) for source in plan.sources}
    [stage] = compile_plan(plan, params={}, logical_time=datetime(2026, 1, 1, tzinfo=UTC), scans=scans).stages
    return stage.sql


def connect(data: Path) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config={"threads": 2})
    for name in ("lineitem", "orders", "customer"):
        connection.execute(f"CREATE VIEW {name} AS FROM read_parquet('{data / name}.parquet')")
    return connection


def run(connection: duckdb.DuckDBPyConnection, side: Side, target: Path, *, profiled: bool) -> None:
    connection.execute(f"SET disabled_optimizers = '{OPTIMIZERS_OFF if profiled else ''}'")
    connection.execute("SET enable_profiling = 'no_output'" if profiled else "RESET enable_profiling")
    started, cpu = time.perf_counter(), time.process_time()
    connection.execute(f"COPY ({side.sql}) TO '{target}' (FORMAT parquet)").fetchall()
    side.seconds.append(time.perf_counter() - started)
    side.cpu_seconds.append(time.process_time() - cpu)


def difference(connection: duckdb.DuckDBPyConnection, one: str, other: str) -> int:
    sql = f"SELECT count(*) FROM ((FROM ({one}) EXCEPT ALL FROM ({other})) UNION ALL (FROM ({other}) EXCEPT ALL FROM ({one})))"
    [(rows,)] = connection.execute(sql).fetchall()
    return int(rows)


def peak_memory(data: Path, title: str, side: str) -> float:
    """Megabytes of a process that runs one side once."""
    command = [sys.executable, "-m", "tests.bench.bench_compile", str(data), title, side]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main(data: Path) -> int:
    slow = False
    print(f"{'flow':28} {'hand ms':>8} {'flow ms':>8} {'fastest':>8} {'median':>8} {'cpu':>6} {'memory':>7}")
    with tempfile.TemporaryDirectory() as folder, connect(data) as connection:
        for title, (text, by_hand) in PAIRS.items():
            hand, flow = Side(by_hand, [], []), Side(compiled(data, text), [], [])
            assert difference(connection, hand.sql, flow.sql) == 0, title
            for _ in range(ROUNDS):
                run(connection, hand, Path(folder, "hand.parquet"), profiled=False)
                run(connection, flow, Path(folder, "flow.parquet"), profiled=True)
            memory = peak_memory(data, title, "flow") / peak_memory(data, title, "hand")
            fastest = min(flow.seconds) / min(hand.seconds)
            median = statistics.median(flow.seconds) / statistics.median(hand.seconds)
            cpu = min(flow.cpu_seconds) / min(hand.cpu_seconds)
            slow |= min(fastest, cpu) > WALL_LIMIT or memory > MEMORY_LIMIT
            times = f"{min(hand.seconds) * 1000:8.0f} {min(flow.seconds) * 1000:8.0f}"
            print(f"{title:28} {times} {fastest:8.2f} {median:8.2f} {cpu:6.2f} {memory:7.2f}", flush=True)
    return int(slow)


if __name__ == "__main__":
    where = Path(sys.argv[1]).resolve()
    if len(sys.argv) == 2:
        sys.exit(main(where))
    pair = PAIRS[sys.argv[2]]
    with tempfile.TemporaryDirectory() as place, connect(where) as opened:
        sql = compiled(where, pair[0])
        statement = sql if sys.argv[3] == "flow" else pair[1]
        run(opened, Side(statement, [], []), Path(place, "out.parquet"), profiled=sys.argv[3] == "flow")
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
