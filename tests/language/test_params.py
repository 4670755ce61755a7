# ruff: noqa: DTZ001  # a timestamp has no zone
"""Values of parameters: texts as a form or a command line gives them."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from apps.language.checker import check, no_schemas
from apps.language.params import parse_values
from apps.language.parser import parse
from apps.language.plan import Plan

FLOW = """flow f
param since: date = today() - 400d
param until: timestamp = now()
param zoned: timestamptz = null
param amount: decimal(6, 2) = 1 between 0 and 100
param count: int = 1 between 1 and 10
param factor: double = 1
param wait: duration = 5m
param region: text = "EU" allow ["EU", "US"]
param note: text = ""
param loud: bool = false
param needed: int
source a = csv("a.csv") { columns: { n: int } }
step b = a | where n > @needed
sink b -> csv("b.csv")
"""


@pytest.fixture(scope="module")
def plan() -> Plan:
    tree = parse(FLOW).tree
    assert tree is not None
    result = check(tree, no_schemas)
    assert result.plan is not None, result.diagnostics
    return result.plan


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("since", "2026-01-31", date(2026, 1, 31)),
        ("until", "2026-01-31 10:00", datetime(2026, 1, 31, 10)),
        ("until", "2026-01-31T10:00:30.25", datetime(2026, 1, 31, 10, 0, 30, 250_000)),
        ("until", "2026-01-31", datetime(2026, 1, 31)),
        ("zoned", "2026-01-31 10:00+01:00", datetime(2026, 1, 31, 9, tzinfo=UTC)),
        ("zoned", "2026-01-31 10:00Z", datetime(2026, 1, 31, 10, tzinfo=UTC)),
        ("amount", "1.5", Decimal("1.50")),
        ("count", " 1_0 ", 10),
        ("factor", "1e3", 1000.0),
        ("wait", "90s", timedelta(seconds=90)),
        ("wait", "-2d", timedelta(days=-2)),
        ("region", "US", "US"),
        ("note", "plain words, 'no' \"quotes\"", "plain words, 'no' \"quotes\""),
        ("note", "", ""),
        ("loud", "true", True),
    ],
)
def test_a_text_is_read_by_the_rules_of_literals(plan: Plan, name: str, text: str, value: object) -> None:
    values, diagnostics = parse_values(plan, {"needed": "1", name: text})
    assert diagnostics == []
    assert values[name].value == value
    assert values[name].type == next(each.type for each in plan.params if each.name == name)


@pytest.mark.parametrize(
    ("name", "text", "code"),
    [
        ("nope", "1", "E501"),
        ("since", "soon", "E502"),
        ("since", "2026-02-30", "E502"),
        ("since", "", "E502"),
        ("amount", "1.555", "E502"),
        ("amount", "99999999999", "E502"),
        ("count", "1.5", "E502"),
        ("count", "9" * 5000, "E502"),
        ("count", "99999999999999999999", "E502"),
        ("loud", "yes", "E502"),
        ("wait", "5", "E502"),
        ("wait", "9" * 40 + "w", "E502"),
        ("region", "AU", "E503"),
        ("count", "11", "E503"),
        ("amount", "-0.01", "E503"),
    ],
)
def test_what_is_wrong_is_said(plan: Plan, name: str, text: str, code: str) -> None:
    values, diagnostics = parse_values(plan, {"needed": "1", name: text})
    assert [item.code for item in diagnostics] == [code]
    assert diagnostics[0].hint
    assert len(diagnostics[0].message) < 200
    assert name not in values


def test_a_parameter_without_a_default_has_to_be_given(plan: Plan) -> None:
    values, diagnostics = parse_values(plan, {})
    assert [item.code for item in diagnostics] == ["E504"]
    assert "needed" in diagnostics[0].message
    assert values == {}


def test_a_wrong_name_is_guessed(plan: Plan) -> None:
    _, diagnostics = parse_values(plan, {"needed": "1", "regoin": "EU"})
    assert diagnostics[0].hint.startswith("did you mean 'region'?")
