"""Where a flow is cut, what each stage reads and gives, and that a step's rows can be counted."""

import pytest

from apps.engine.cutting import LONGEST
from tests.engine.written import compiled, computed, connect, planned

SOURCES = """flow example

source orders = csv("o.csv") { columns: { id: int, customer: int, amount: decimal(12, 2), note: text } }
source customers = csv("c.csv") { columns: { id: int, name: text, city: text } }

"""


def _stages(steps: str) -> list[tuple[str, tuple[str, ...]]]:
    return [(stage.name, stage.steps) for stage in compiled(planned(SOURCES + steps)).stages]


def test_a_straight_line_is_one_statement() -> None:
    assert _stages("""
        step paid = orders | where amount > 0
        step named = paid | lookup customers as c on customer == c.id bring c.name
        step totals = named | group by name { total = sum(amount) } | sort name
        sink totals -> csv("out.csv")
    """) == [("sink:totals", ("paid", "named", "totals"))]


def test_a_step_that_two_read_is_kept_once() -> None:
    assert _stages("""
        step paid = orders | where amount > 0
        step a = paid | group { n = count() }
        step b = paid | select id
        sink a -> csv("a.csv")
        sink b -> csv("b.csv")
    """) == [("checkpoint:paid", ("paid",)), ("sink:a", ("a",)), ("sink:b", ("b",))]


def test_a_step_that_one_reads_twice_is_kept_too() -> None:
    stages = _stages("""
        step paid = orders | where amount > 0
        step pairs = paid | inner join paid as p on id == p.customer bring other = p.id
        sink pairs -> csv("a.csv")
    """)
    assert [name for name, _ in stages] == ["checkpoint:paid", "sink:pairs"]


def test_a_checked_csv_is_written_from_a_checkpoint_and_a_checked_parquet_is_read_itself() -> None:
    step = "step paid = orders | where amount > 0\nexpect paid { unique(id) fail }\n"
    assert [name for name, _ in _stages(step + 'sink paid -> csv("a.csv")')] == ["checkpoint:paid", "sink:paid"]
    assert [name for name, _ in _stages(step + 'sink paid -> parquet("a.parquet")')] == ["sink:paid"]


def test_a_parquet_sink_stands_for_the_rows_that_others_read() -> None:
    flow = compiled(
        planned(
            SOURCES
            + """
        step paid = orders | where amount > 0
        step n = paid | group { n = count() }
        sink paid -> csv("a.csv")
        sink paid -> parquet("b.parquet")
        sink n -> csv("n.csv")
    """
        )
    )
    first, second, third = flow.stages
    assert (first.name, first.sink and first.sink.kind) == ("sink:paid:2", "parquet")
    assert (second.name, second.sink and second.sink.kind, second.steps) == ("sink:paid", "csv", ())
    assert second.reads == third.reads == ("paid",)
    assert first.table
    assert first.table in second.sql
    assert first.table in third.sql


def test_a_partitioned_sink_does_not_stand_for_the_rows() -> None:
    stages = _stages("""
        step paid = orders | where amount > 0
        expect paid { unique(id) fail }
        sink paid -> parquet("b") { partition_by: [customer] }
    """)
    assert [name for name, _ in stages] == ["checkpoint:paid", "sink:paid"]


def test_a_step_that_nobody_reads_is_computed() -> None:
    names = [name for name, _ in _stages('step lonely = orders | take 5\nstep s = orders\nsink s -> csv("s.csv")')]
    assert names == ["checkpoint:lonely", "sink:s"]


def test_what_a_reference_looks_into_is_kept() -> None:
    flow = compiled(
        planned(
            SOURCES
            + """
        step people = customers | where city == "Bern"
        step paid = orders | where amount > 0
        expect paid { references(customer, people.id) warn, references(customer, customers.id) warn }
        sink paid -> parquet("p.parquet")
    """
        )
    )
    assert [stage.name for stage in flow.stages] == ["checkpoint:people", "sink:paid"]
    assert [check.after for check in flow.checks] == [("sink:paid", "checkpoint:people"), ("sink:paid",)]


def test_columns_that_nobody_reads_are_not_read() -> None:
    flow = compiled(
        planned(
            SOURCES
            + """
        step paid = orders | derive double = amount * 2, unused = concat(note, "!") | where id > 0
        step a = paid | group by customer { total = sum(double) }
        step b = paid | select id
        sink a -> csv("a.csv")
        sink b -> csv("b.csv")
    """
        )
    )
    checkpoint = flow.stages[0]
    assert [column.name for column in checkpoint.columns] == ["id", "customer", "double"]
    assert "note" not in checkpoint.sql


def test_a_checkpoint_keeps_what_its_checks_read() -> None:
    flow = compiled(
        planned(
            SOURCES
            + """
        step paid = orders | where amount > 0
        expect paid { not_null(note) warn, unique(customer) warn }
        step n = paid | group { n = count() }
        sink n -> csv("n.csv")
    """
        )
    )
    assert {column.name for column in flow.stages[0].columns} == {"note", "customer"}


def test_distinct_reads_all_columns_even_if_one_is_wanted() -> None:
    flow = compiled(
        planned(
            SOURCES
            + """
        step different = orders | select customer, note | distinct
        step n = different | group by customer { n = count() }
        sink n -> csv("n.csv")
    """
        )
    )
    with connect() as connection:
        connection.execute(
            "CREATE TEMP TABLE orders AS FROM (VALUES (1, 7, 1.0, 'a'), (2, 7, 1.0, 'b')) t(id, customer, amount, note)"
        )
        assert computed(flow, connection)["n"] == [(7, 2)]


def test_rows_can_be_counted_where_no_column_is_wanted() -> None:
    flow = compiled(
        planned(
            SOURCES
            + """
        step some = orders | where true | distinct | take 5
        step n = some | group { n = count() }
        sink n -> csv("n.csv")
    """
        )
    )
    with connect() as connection:
        connection.execute(
            "CREATE TEMP TABLE orders AS SELECT i AS id, 1 AS customer, 1.0 AS amount, '' AS note FROM range(9) t(i)"
        )
        assert computed(flow, connection)["n"] == [(5,)]


def test_a_long_flow_is_cut_before_duckdb_loses_its_way() -> None:
    chain = "\n".join(
        f"step s{place} = {f's{place - 1}' if place else 'orders'} | where id >= 0 | derive id = id + 1"
        for place in range(LONGEST)
    )
    flow = compiled(planned(SOURCES + chain + f'\nsink s{LONGEST - 1} -> csv("s.csv")'))
    assert len(flow.stages) > 2
    with connect() as connection:
        connection.execute("CREATE TEMP TABLE orders AS SELECT 1 AS id, 1 AS customer, 1.0 AS amount, '' AS note")
        rows = computed(flow, connection)
    assert rows[f"s{LONGEST - 1}"][0][0] == LONGEST + 1


def test_durations_are_not_trusted_to_parquet() -> None:
    flow = compiled(
        planned("""flow f
        source x = csv("x.csv") { columns: { a: timestamp, b: timestamp } }
        step gaps = x | derive gap = b - a
        step a = gaps | select a
        step late = gaps | where gap > 1ms | group { n = count() }
        sink a -> csv("a.csv")
        sink late -> csv("l.csv")
    """)
    )
    assert [stage.fits_parquet for stage in flow.stages] == [False, True, True]


@pytest.mark.parametrize("depth", [150, 195])
def test_an_expression_as_deep_as_the_language_allows_is_compiled(depth: int) -> None:
    flow = compiled(
        planned(f'{SOURCES}step s = orders | select x = {"abs(" * depth}id{")" * depth}\nsink s -> csv("s.csv")')
    )
    with connect() as connection:
        connection.execute("CREATE TEMP TABLE orders AS SELECT -1 AS id")
        assert computed(flow, connection)["s"] == [(1,)]
