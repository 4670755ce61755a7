"""The flows of the benchmark over TPC-H data, held against the same work hand-written in DuckDB, row by row.

A tenth of scale factor 1 in the suite; TPCH_SCALE=1 for all of it.
"""

import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from apps.engine.limits import GIB
from tests.bench.bench_flow import TABLES, WORKS, Work, assert_same
from tests.engine.running import run

SCALE = os.environ.get("TPCH_SCALE", "0.1")


@pytest.fixture(scope="module", params=["parquet", "csv"])
def tables(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    kind, folder = request.param, tmp_path_factory.mktemp("tpch")
    tool = Path(sys.executable).with_name("tpchgen-cli")
    command = [str(tool), kind, "-s", SCALE, "--output-dir", str(folder), "--tables", ",".join(TABLES)]
    subprocess.run(command, check=True, capture_output=True)
    return kind, folder


@pytest.mark.parametrize("work", WORKS, ids=lambda work: work.name)
def test_a_flow_over_tpch_gives_what_the_statement_by_hand_gives(
    tables: tuple[str, Path], work: Work, tmp_path: Path
) -> None:
    kind, folder = tables
    by_hand = tmp_path / "hand.parquet"
    duckdb.sql(work.hand_sql(folder, kind, by_hand))
    ran = run(folder, work.flow_text(kind), run_key=f"run-{work.name}", memory_bytes=4 * GIB)
    assert ran.outcome.status == "succeeded", ran.outcome.error
    assert_same(by_hand, folder / work.out)
    assert ran.outcome.outputs[0]["rows"] == duckdb.sql(f"from '{by_hand}'").count("*").fetchall()[0][0] > 100
