"""The registry: whole, documented, and its examples are right flows. Engines execute them in their own tests."""

import re
from pathlib import Path

import pytest

from apps.language import functions, types
from apps.language.checker import check, no_schemas
from apps.language.functions import SPECS, reference
from apps.language.functions.conversion import common_type, convert, exact_decimal
from apps.language.functions.examples import ExampleFlow, flows
from apps.language.parser import parse
from apps.language.plan import Apply, ColumnRef, Const
from apps.language.types import Type, decimal

ROOT = Path(__file__).resolve().parents[2]

# As the language's design lists them.
LISTED = [
    "lower",
    "upper",
    "trim",
    "ltrim",
    "rtrim",
    "length",
    "substr",
    "left",
    "right",
    "replace",
    "contains",
    "starts_with",
    "ends_with",
    "split_part",
    "concat",
    "pad_left",
    "pad_right",
    "reverse",
    "regex_match",
    "regex_extract",
    "regex_replace",
    "coalesce",
    "null_if",
    "if",
    "greatest",
    "least",
    "to_int",
    "to_double",
    "to_decimal",
    "to_text",
    "to_bool",
    "to_date",
    "to_time",
    "to_timestamp",
    "try_int",
    "try_double",
    "try_decimal",
    "try_bool",
    "try_date",
    "try_time",
    "try_timestamp",
    "abs",
    "round",
    "floor",
    "ceil",
    "sqrt",
    "exp",
    "ln",
    "log10",
    "power",
    "sign",
    "mod",
    "div",
    "today",
    "now",
    "year",
    "quarter",
    "month",
    "day",
    "hour",
    "minute",
    "second",
    "weekday",
    "week",
    "trunc",
    "days_between",
    "hours_between",
    "minutes_between",
    "seconds_between",
    "format_date",
    "parse_date",
    "at_zone",
    "epoch",
    "json_get",
    "json_text",
    "list_length",
    "list_contains",
    "list_get",
    "md5",
    "sha256",
    "hash64",
    "count",
    "count_if",
    "count_distinct",
    "sum",
    "mean",
    "min",
    "max",
    "median",
    "quantile",
    "stddev",
    "variance",
    "corr",
    "first",
    "last",
    "arg_min",
    "arg_max",
    "string_agg",
    "list_agg",
    "any",
    "every",
    "row_number",
    "rank",
    "dense_rank",
    "percent_rank",
    "ntile",
    "lag",
    "lead",
    "not_null",
    "unique",
    "in_set",
    "matches",
    "references",
    "freshness",
    "row_count",
]


def test_every_function_of_the_language_is_there() -> None:
    assert set(LISTED) == functions.CALLABLE


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.kind}:{spec.name}")
def test_a_function_is_documented(spec: functions.Spec) -> None:
    assert spec.doc.endswith(".")
    assert spec.nulls
    needs_none = not spec.supported or spec.kind == "expectation" or spec.name in ("cast", "try_cast")
    assert bool(spec.examples) is not needs_none


@pytest.mark.parametrize("flow", list(flows()), ids=lambda flow: f"{flow.function}:{flow.example.expression}")
def test_an_example_is_a_right_flow(flow: ExampleFlow) -> None:
    parsed = parse(flow.text)
    assert parsed.tree is not None
    result = check(parsed.tree, no_schemas)
    assert [item for item in [*parsed.diagnostics, *result.diagnostics] if item.is_error] == []


def test_the_reference_page_is_current() -> None:
    page = (ROOT / "docs" / "reference" / "functions.md").read_text(encoding="utf-8")
    assert page == reference.page(), (
        "write it anew: python -m apps.language.functions.reference > docs/reference/functions.md"
    )


def test_the_reference_page_has_every_function() -> None:
    headings = set(re.findall(r"^### `(.+)`$", reference.page(), re.MULTILINE))
    assert {spec.name for spec in SPECS if spec.name in functions.CALLABLE and not spec.written} <= headings


def test_engines_are_told_every_name_that_a_plan_may_hold() -> None:
    names = functions.plan_names()
    assert {"cast", "try_cast", "case", "between", "in", "coalesce", "field", "list", "struct"} <= names
    assert not {name for name in names if name.startswith(("to_", "try_i"))}  # casts have one name each
    assert "json_get" not in names


# --- conversions -----------------------------------------------------------------------------


def column(type_: Type) -> ColumnRef:
    return ColumnRef(type_, "x")


@pytest.mark.parametrize(
    ("left", "right", "common"),
    [
        (types.INT, types.DOUBLE, "double"),
        (types.INT, decimal(12, 2), "decimal(21, 2)"),
        (decimal(12, 2), decimal(6, 4), "decimal(14, 4)"),
        (decimal(38, 2), decimal(38, 9), "decimal(38, 9)"),
        (types.DATE, types.TIMESTAMP, "timestamp"),
        (types.NULL, types.TEXT, "text"),
        (types.list_of(types.INT), types.list_of(types.NULL), "list(int)"),
        (types.struct(("a", types.INT)), types.struct(("a", types.DOUBLE)), "struct(a: double)"),
        (types.TEXT, types.INT, "None"),
        (types.TIMESTAMP, types.TIMESTAMPTZ, "None"),
        (types.struct(("a", types.INT)), types.struct(("b", types.INT)), "None"),
    ],
)
def test_two_types_meet_in_one_or_not(left: Type, right: Type, common: str) -> None:
    assert str(common_type([column(left), column(right)])) == common
    assert str(common_type([column(right), column(left)])) == common


def test_a_literal_takes_no_more_digits_than_it_has() -> None:
    assert str(common_type([column(decimal(12, 2)), Const(types.INT, 0)])) == "decimal(12, 2)"


def test_a_literal_is_converted_before_the_engine_sees_it() -> None:
    converted = convert(Const(types.INT, 5), decimal(12, 2))
    assert isinstance(converted, Const)
    assert str(converted.value) == "5.00"


def test_a_column_is_cast_in_the_plan() -> None:
    converted = convert(column(types.INT), types.DOUBLE)
    assert converted == Apply(types.DOUBLE, "cast", (column(types.INT),))


@pytest.mark.parametrize(
    ("text", "type_", "expected"),
    [
        ("1.5", decimal(4, 2), "1.50"),
        ("1.500", decimal(4, 2), "1.50"),
        ("0", decimal(2, 2), "0.00"),
        ("1.555", decimal(4, 2), "None"),
        ("100", decimal(4, 2), "None"),
        ("1E+60", decimal(38, 0), "None"),
    ],
)
def test_a_decimal_loses_no_digit_by_itself(text: str, type_: Type, expected: str) -> None:
    from decimal import Decimal

    assert str(exact_decimal(Decimal(text), type_)) == expected
