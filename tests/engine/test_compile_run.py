"""What the compiler and the runtime agree on, by whole runs over real files."""

from decimal import Decimal
from pathlib import Path

import duckdb

from tests.engine.running import run, write


def test_a_product_beyond_64_bits_is_computed_by_the_careful_statement(tmp_path: Path) -> None:
    write(tmp_path, "in/x.csv", "a,b\n2.50,2.00\n9999999999.99,9999999999.99\n")
    ran = run(
        tmp_path,
        """flow wide
        source x = csv("in/x.csv") { columns: { a: decimal(12, 2), b: decimal(12, 2) } }
        step s = x | derive r = a * b
        sink s -> parquet("out/s.parquet")
    """,
    )
    assert ran.outcome.status == "succeeded", ran.outcome.error
    rows = duckdb.sql(f"SELECT r FROM '{tmp_path}/out/s.parquet'").fetchall()
    assert rows == [(Decimal("5.0000"),), (Decimal("99999999999800000000.0001"),)]


def test_a_duration_that_two_steps_read_keeps_its_microseconds(tmp_path: Path) -> None:
    write(tmp_path, "in/x.csv", "a,b\n2026-01-01 00:00:00,2026-01-01 00:00:00.001001\n")
    ran = run(
        tmp_path,
        """flow gaps
        source x = csv("in/x.csv") { columns: { a: timestamp, b: timestamp } }
        step gaps = x | derive gap = b - a
        step late = gaps | where gap > 1ms | group { n = count() }
        step all = gaps | group { n = count() }
        expect gaps { gap < 1s fail }
        sink late -> csv("out/late.csv")
        sink all -> csv("out/all.csv")
    """,
    )
    assert ran.outcome.status == "succeeded", ran.outcome.error
    assert (tmp_path / "out/late.csv").read_text() == "n\n1\n"


def test_each_step_of_a_fused_statement_has_its_rows(tmp_path: Path) -> None:
    write(tmp_path, "in/x.csv", "a,b\n" + "".join(f"{number},{number % 3}\n" for number in range(30)))
    ran = run(
        tmp_path,
        """flow counted
        source x = csv("in/x.csv") { columns: { a: int, b: int } }
        step some = x | where a < 20
        step twice = some | inner join x as y on b == y.b bring c = y.a
        step few = twice | where c < 10 | select b, c
        step one = few | group { n = count() }
        sink one -> csv("out/one.csv")
    """,
    )
    assert ran.outcome.status == "succeeded", ran.outcome.error
    rows = {step["name"]: step["rows"] for step in ran.outcome.steps if step["kind"] == "step"}
    assert rows == {"some": 20, "twice": 200, "few": 67, "one": 1}
