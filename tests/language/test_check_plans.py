"""What the checker hands to an engine: operations lowered, casts written out, tests and checks with their values."""

import random
import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from apps.language import types
from apps.language.checker import check, no_schemas
from apps.language.parser import parse
from apps.language.plan import (
    Aggregate,
    Apply,
    ColumnRef,
    Const,
    DedupeRows,
    Expression,
    Filter,
    GroupTo,
    JoinTo,
    Operation,
    OrderKey,
    Plan,
    Project,
    TakeRows,
    UnionWith,
    WindowCall,
    WindowTo,
)
from apps.language.types import DATE, INT, TEXT, TIMESTAMP, decimal

HEAD = """flow f
source a = csv("a.csv") { columns: { n: int, d: decimal(12, 2), s: text, day: date, at: timestamp } }
source c = csv("c.csv") { columns: { id: int, name: text } }
"""


def plan_of(text: str) -> Plan:
    parsed = parse(text if text.startswith("flow") else HEAD + text)
    assert parsed.tree is not None
    assert parsed.diagnostics == []
    result = check(parsed.tree, no_schemas)
    assert [item for item in result.diagnostics if item.is_error] == []
    assert result.plan is not None
    return result.plan


def operations(pipeline: str) -> tuple[Operation, ...]:
    return plan_of(f'step out = a {pipeline}\nsink out -> parquet("x")').steps[0].operations


def value_of(expression: str) -> Expression:
    (operation,) = operations(f"| derive x = {expression}")
    assert isinstance(operation, Project)
    return dict(operation.columns)["x"]


N, D, S = ColumnRef(INT, "n"), ColumnRef(decimal(12, 2), "d"), ColumnRef(TEXT, "s")


def test_a_mixed_sum_is_cast_in_the_plan() -> None:
    cast = Apply(decimal(19, 0), "cast", (N,))
    assert value_of("n + d") == Apply(decimal(22, 2), "add", (cast, D))


def test_a_comparison_casts_the_date() -> None:
    day = ColumnRef(DATE, "day")
    assert value_of("at >= day") == Apply(
        types.BOOL, "ge", (ColumnRef(TIMESTAMP, "at"), Apply(TIMESTAMP, "cast", (day,)))
    )


def test_literals_arrive_as_values_of_their_type() -> None:
    assert value_of("d ?? 0") == Apply(decimal(12, 2), "coalesce", (D, Const(decimal(12, 2), Decimal("0.00"))))
    assert value_of("-5") == Const(INT, -5)
    assert value_of("5m") == Const(types.DURATION, timedelta(minutes=5))
    assert value_of("2026-01-31 10:00") == Const(TIMESTAMP, datetime(2026, 1, 31, 10))  # noqa: DTZ001


def test_casts_have_one_name() -> None:
    assert value_of("to_int(s)") == Apply(INT, "cast", (S,))
    assert value_of("try_decimal(s, 5, 1)") == Apply(decimal(5, 1), "try_cast", (S,))


def test_choices_are_cases() -> None:
    test = Apply(types.BOOL, "gt", (N, Const(INT, 1)))
    expected = Apply(INT, "case", (test, Const(INT, 1), Const(INT, None)))
    assert value_of("if(n > 1, 1, null)") == expected
    assert value_of("case { n > 1 => 1 }") == Apply(INT, "case", (test, Const(INT, 1)))


def test_a_negated_test_is_a_not() -> None:
    within = Apply(types.BOOL, "in", (N, Const(INT, 1), Const(INT, None)))
    assert value_of("n not in [1, null]") == Apply(types.BOOL, "not", (within,))
    assert value_of("n is not null") == Apply(types.BOOL, "not", (Apply(types.BOOL, "is_null", (N,)),))


def test_a_fn_is_expanded() -> None:
    plan = plan_of('fn plus(x) = x + 1\nstep out = a | where plus(n) > 2\nsink out -> parquet("x")')
    assert plan.steps[0].operations == (
        Filter(Apply(types.BOOL, "gt", (Apply(INT, "add", (N, Const(INT, 1))), Const(INT, 2)))),
    )


def test_select_drop_rename_and_cast_are_projections() -> None:
    select, drop, rename, cast = operations("| select n, d, s | drop s | rename k = n | cast k: text")
    assert select == Project((("n", N), ("d", D), ("s", S)))
    assert drop == Project((("n", N), ("d", D)))
    assert rename == Project((("k", N), ("d", D)))
    assert cast == Project((("k", Apply(TEXT, "cast", (ColumnRef(INT, "k"),))), ("d", D)))


def test_a_join_knows_its_sides() -> None:
    (join,) = operations("| lookup c as x on n == x.id bring label = x.name")
    test = Apply(types.BOOL, "eq", (N, ColumnRef(INT, "id", side=1)))
    assert join == JoinTo("lookup", "c", test, (("label", ColumnRef(TEXT, "name", side=1)),))


def test_a_group_names_its_keys() -> None:
    (group,) = operations('| group by month = trunc(day, "month") { n = sum(n), later = month + 1d }')
    assert isinstance(group, GroupTo)
    assert [name for name, _ in group.keys] == ["month"]
    columns = dict(group.columns)
    assert columns["n"] == Aggregate(INT, "sum", (N,))
    assert columns["later"] == Apply(DATE, "add", (ColumnRef(DATE, "month"), Const(types.DURATION, timedelta(days=1))))


def test_an_ordered_aggregate_takes_the_sort_before_it() -> None:
    _, group = operations("| sort -at, n | group { first = first(s), all = list_agg(d) }")
    assert isinstance(group, GroupTo)
    order = (OrderKey(ColumnRef(TIMESTAMP, "at"), descending=True), OrderKey(N))
    assert dict(group.columns)["first"] == Aggregate(TEXT, "first", (S,), order)
    assert dict(group.columns)["all"] == Aggregate(types.list_of(decimal(12, 2)), "list_agg", (D,), order)


def test_without_a_sort_texts_are_gathered_in_ascending_order() -> None:
    (group,) = operations('| group { all = string_agg(s, ",") }')
    assert isinstance(group, GroupTo)
    assert dict(group.columns)["all"] == Aggregate(TEXT, "string_agg", (S, Const(TEXT, ",")), (OrderKey(S),))


def test_a_window_has_calls_over_it() -> None:
    (window,) = operations("| window by s order day rows -2..0 { share = d / sum(d), before = lag(n, 1, 0) }")
    assert isinstance(window, WindowTo)
    assert (window.partition, window.order, window.frame) == ((S,), (OrderKey(ColumnRef(DATE, "day")),), (-2, 0))
    columns = dict(window.columns)
    assert columns["share"] == Apply(decimal(18, 6), "divide", (D, WindowCall(decimal(38, 2), "sum", (D,))))
    assert columns["before"] == WindowCall(INT, "lag", (N, Const(INT, 1), Const(INT, 0)))


def test_take_has_the_order_under_the_columns_present_names() -> None:
    *_, take = operations("| sort n, d | rename k = n | where k > 1 | take 2 by s")
    assert take == TakeRows(2, (S,), (OrderKey(ColumnRef(INT, "k")), OrderKey(D)))


def test_dedupe_has_an_order_of_its_own() -> None:
    assert operations("| dedupe by n keep last at") == (
        DedupeRows((N,), "last", (OrderKey(ColumnRef(TIMESTAMP, "at")),)),
    )


def test_a_union_aligns_types() -> None:
    plan = plan_of('step less = a | select s, n = d\nstep out = a | select n, s | union less\nsink out -> parquet("x")')
    union = plan.steps[1].operations[1]
    assert union == UnionWith(
        "less",
        (
            (
                "n",
                Apply(decimal(21, 2), "cast", (N,)),
                Apply(decimal(21, 2), "cast", (ColumnRef(decimal(12, 2), "n", 1),)),
            ),
            ("s", S, ColumnRef(TEXT, "s", 1)),
        ),
    )


@pytest.mark.parametrize(
    ("pipeline", "ordered"),
    [
        ("| sort n", True),
        ("| sort n | take 3", True),
        ("| sort n | take 3 by s", False),
        ("| sort n | where n > 1", False),
        ("| take 3", False),
    ],
)
def test_a_step_is_ordered_if_it_ends_in_a_sort(pipeline: str, ordered: bool) -> None:
    assert plan_of(f'step out = a {pipeline}\nsink out -> parquet("x")').steps[0].ordered is ordered


def test_steps_come_after_what_they_read() -> None:
    plan = plan_of(
        "step z = y | inner join x as x on n == x.n\nstep y = x | where n > 1\nstep x = a | where n > 0\n"
        'sink z -> parquet("z")'
    )
    assert [step.name for step in plan.steps] == ["x", "y", "z"]


def test_sources_and_sinks_have_their_options_as_values() -> None:
    plan = plan_of(
        'flow f source a = csv("./in//a*.csv") { columns: { n: int }, delimiter: "\\t", header: false, skip: 2 }'
        ' step b = a | where n > 1 sink b -> parquet("out/b") { partition_by: [n], mode: append, compression: zstd }'.replace(
            "{ columns: { n: int }", "{ columns: { n: int, m: int }"
        )
    )
    assert plan.sources[0].path == "in/a*.csv"
    assert plan.sources[0].options == (("delimiter", "\t"), ("header", False), ("skip", 2))
    sink = plan.sinks[0]
    assert (sink.mode, sink.partition_by, sink.options) == ("append", ("n",), (("compression", "zstd"),))


def test_settings_have_units() -> None:
    settings = plan_of(
        'flow f { retries: 3, retry_delay: 90s, timeout: 1h, memory: "2GB", tags: ["a"], engine: duckdb }'
    ).settings
    assert (settings.retries, settings.retry_delay, settings.timeout) == (3, timedelta(seconds=90), timedelta(hours=1))
    assert (settings.memory_bytes, settings.tags, settings.timezone) == (2_000_000_000, ("a",), "UTC")


def test_expectations_become_checks() -> None:
    plan = plan_of(
        "step out = a | where n > 0\nexpect out { not_null(n) fail, unique(n, s) warn max 0.5%, references(n, c.id),"
        ' freshness(at) <= 2h warn, row_count() > 0, matches(s, "^a") }\nsink out -> parquet("x")'
    )
    there, unique, references, fresh, rows, matches = plan.checks
    assert (there.kind, there.severity, there.label, there.max_fraction) == ("row", "fail", "not_null(n)", None)
    assert there.test == Apply(types.BOOL, "not", (Apply(types.BOOL, "is_null", (N,)),))
    assert (unique.kind, unique.columns, unique.severity, unique.max_fraction) == (
        "unique",
        ("n", "s"),
        "warn",
        Decimal("0.005"),
    )
    assert (references.columns, references.other, references.other_columns) == (("n",), "c", ("id",))
    age = Apply(
        types.DURATION,
        "subtract",
        (Apply(TIMESTAMP, "now", ()), Aggregate(TIMESTAMP, "max", (ColumnRef(TIMESTAMP, "at"),))),
    )
    assert fresh.kind == "table"
    assert fresh.test == Apply(types.BOOL, "le", (age, Const(types.DURATION, timedelta(hours=2))))
    assert rows.test == Apply(types.BOOL, "gt", (Aggregate(INT, "count", ()), Const(INT, 0)))
    assert (rows.label, matches.label) == ("row_count() > 0", 'matches(s, "^a")')


def test_tests_have_values_of_the_columns_types() -> None:
    plan = plan_of(
        'param since: date = 2026-01-01\nstep out = a | where day > @since\nsink out -> parquet("x")\n'
        'test "t" {\n  with since = 2025-01-01\n  given a\n    | s   | d   |\n    | ""  | 1.5 |\n    | a b |     |\n'
        "  then out\n    | at               |\n    | 2026-01-01 10:00 |\n}\n"
    )
    (case,) = plan.tests
    assert case.params == (("since", Const(DATE, date(2025, 1, 1))),)
    (given,) = case.given
    assert [column.name for column in given.columns] == ["s", "d", "n", "day", "at"]
    assert given.rows == (("", Decimal("1.50"), None, None, None), ("a b", None, None, None, None))
    (then,) = case.then
    assert [column.name for column in then.columns] == ["at"]
    assert then.rows == ((datetime(2026, 1, 1, 10),),)  # noqa: DTZ001


def test_a_zoned_cell_is_a_moment_in_utc() -> None:
    plan = plan_of(
        'flow f source a = csv("a.csv") { columns: { tz: timestamptz } } step out = a sink out -> parquet("x")\n'
        'test "t" {\n  given a\n    | tz                     |\n    | 2026-01-01 10:00+01:00 |\n  then out\n    | tz |\n}\n'
    )
    assert plan.tests[0].given[0].rows == ((datetime(2026, 1, 1, 9, tzinfo=UTC),),)


def test_every_expression_carries_its_place() -> None:
    value = value_of("lower(s)")
    assert (value.span.line, value.span.column) == (4, 27)


def test_no_text_makes_the_checker_raise() -> None:
    """Flows of the cases with words swapped, left out and put in: what still reads must still be answered."""
    texts = [path.read_text(encoding="utf-8") for path in (Path(__file__).parent / "checks").glob("*.txt")]
    flows = [
        HEAD + block.partition("\n")[2].partition("\n---")[0] for text in texts for block in text.split("\n=== ")[1:]
    ]
    dice = random.Random(20261101)  # the same texts each time
    pieces = re.compile(r'\w+|"[^"\n]*"|\s+|.', re.DOTALL)
    words = [word for flow in flows for word in pieces.findall(flow) if word.strip()]
    answered = 0
    for _ in range(300):
        text = pieces.findall(dice.choice(flows))
        for _ in range(dice.randint(1, 3)):
            text[dice.randrange(len(text))] = dice.choice([dice.choice(words), "", dice.choice(text)])
        tree = parse("".join(text)).tree
        if tree is not None:
            result = check(tree, no_schemas)
            answered += result.plan is not None or bool(result.diagnostics) or bool(tree.broken)
    assert answered > 200
