"""The rows of every step of a fused statement are counted, and the count is the true one."""

import random
from collections import Counter
from collections.abc import Iterator

import pytest

from apps.engine import profile
from apps.engine.compile import compile_plan
from apps.engine.counting import CTE, Count
from apps.engine.sandbox import OPTIMIZERS_OFF
from apps.engine.stages import Stage
from tests.engine.written import NOW, compiled, computed, connect, planned

SOURCES = """flow counted
source x = csv("x.csv") { columns: { a: int, b: int, c: int } }
source y = csv("y.csv") { columns: { k: int, v: int } }
"""

# Each keeps the columns a, b and c. `N` becomes a number, so that no name comes twice.
OPERATIONS = (
    "where a > 3", "where b != 2", "where c is not null", "where c < 9 or a > 12", "derive a = a + 1, dN = b * 2",
    "select a, b, c", "lookup y as y on b == y.k bring vN = y.v", "inner join y as y on a == y.k bring wN = y.v",
    "left join x as z on b == z.a bring zN = z.c", "semi join y as y on c == y.k", "anti join y as y on a == y.v",
    "group by b { a = sum(a), c = max(c) }", "group by b, c { a = count_distinct(a) }", "group by c { a = count(), b = min(b) }",
    "window by b order a, c { rN = row_number(), sN = sum(a) }", "sort a, -b, c", "select a, b, c | distinct",
    "dedupe by b, c keep last a", "sort -a, b, c | take 7", "sort a | take 2 by c", "group { a = sum(a), b = max(b), c = count() }",
    "union x",
)  # fmt: skip


def _flow(seed: int) -> str:
    chosen = random.Random(seed)
    steps, number = [], 0
    for place in range(chosen.randint(3, 6)):
        operations = []
        for _ in range(chosen.randint(1, 3)):
            number += 1
            operation = chosen.choice(OPERATIONS).replace("N", str(number))
            operations.append("select a, b, c | " + operation if operation == "union x" else operation)
        steps.append(f"step s{place} = {f's{place - 1}' if place else 'x'} | {' | '.join(operations)}")
    return SOURCES + "\n".join(steps) + f'\nsink s{len(steps) - 1} -> parquet("out.parquet")'


@pytest.fixture(scope="module")
def tables() -> Iterator[str]:
    with connect() as connection:
        connection.execute(
            "CREATE OR REPLACE TABLE x AS SELECT i % 17 AS a, i % 5 AS b, CASE WHEN i % 7 > 0 THEN i % 11 END AS c FROM range(200) t(i)"
        )
        connection.execute("CREATE OR REPLACE TABLE y AS SELECT i AS k, i * 3 AS v FROM range(8) t(i)")
        yield "x, y"
        connection.execute("DROP TABLE x; DROP TABLE y")


def _counted(stage: Stage) -> tuple[dict[str, int | None], list[tuple]]:
    """The rows of each step, as the runtime counts them, and the rows that the statement gives."""
    with connect() as connection:
        connection.execute(f"SET disabled_optimizers = '{OPTIMIZERS_OFF}'")
        connection.execute("SET enable_profiling = 'no_output'")
        given = connection.execute(stage.sql).fetchall()
        read = profile.read(connection.get_profiling_information("json"))
        connection.execute("SET disabled_optimizers = ''")
    materialized = {name: part.rows for name, part in read.steps.items()}
    counts = {
        step: stage.count(step, given=len(given), materialized=materialized, entering=read.entering)
        for step in stage.steps
    }
    return counts, given


def _one_by_one(text: str) -> dict[str, list[tuple]]:
    """The rows of each step, each computed by itself and with all its columns."""
    plan = planned(text)
    names = [step.name for step in plan.steps]
    flow = compile_plan(plan, params={}, logical_time=NOW, scans={"x": "x", "y": "y"}, targets=names)
    with connect() as connection:
        return computed(flow, connection)


@pytest.mark.parametrize("seed", range(60))
def test_fused_or_one_by_one_a_flow_gives_the_same_rows_and_counts(seed: int, tables: str) -> None:
    text = _flow(seed)
    [stage] = compiled(planned(text), scans={"x": "x", "y": "y"}).stages
    alone = _one_by_one(text)

    counts, given = _counted(stage)

    for step, rows in counts.items():
        # Unknown is only what a later step may have stopped, or what has nothing to count in it.
        may_be_unknown = "take" in text or "join" in text or [] in alone.values()
        assert rows == len(alone[step]) or (rows is None and may_be_unknown), (step, text)
    if not any(word in text for word in ("take", "dedupe", "row_number")):  # which leave a choice among equals
        assert Counter(given) == Counter(alone[stage.step]), text


def _counts(steps: str) -> dict[str, Count]:
    [stage] = compiled(planned(SOURCES + steps + ' sink out -> csv("o.csv")')).stages
    return dict(stage.counts)


def test_a_step_that_is_only_dressed_is_counted_by_its_reader() -> None:
    assert _counts("""
        step a = x | where a > 1
        step b = a | derive d = a * 2 | lookup y as y on b == y.k bring y.v
        step out = b | window by b order a { n = row_number() } | sort n
    """) == {"a": Count("like", "b"), "b": Count("like", "out")}


def test_a_step_that_goes_into_a_group_is_counted_there() -> None:
    assert _counts("""
        step a = x | where a > 1
        step b = a | derive d = a * 2
        step out = b | group by b { n = count() } | sort n
    """) == {"a": Count("like", "b"), "b": Count("entering", "out")}


@pytest.mark.parametrize(
    "reader",
    [
        "where a > 1 | group by b { n = count() }",  # fewer rows enter the group
        "group by b { n = count() } | where b > 1",  # DuckDB filters before the group
        "group by b { n = count() } | inner join y as y on b == y.k bring y.v",  # and for a join, too
        "group by b { n = count() } | sort n | take 3",
        "group { n = count() }",
    ],
)
def test_a_step_is_a_cte_where_its_rows_could_not_be_counted_otherwise(reader: str) -> None:
    assert _counts(f"step a = x | where a > 1 step out = a | {reader}") == {"a": CTE}


def test_the_right_side_of_a_join_is_a_cte() -> None:
    assert _counts("""
        step a = x | where a > 1
        step out = y | inner join a as a on k == a.a bring a.c
    """) == {"a": CTE}
