"""Every function of the registry computes in DuckDB what its examples promise, in the type that the checker gave."""

import pytest

from apps.engine.bind import verify
from apps.engine.casetests import run_tests
from apps.engine.spelling import DUCKDB
from apps.language.functions import plan_names
from apps.language.functions.examples import ExampleFlow, flows
from apps.language.functions.spec import ERROR
from tests.engine.written import connect, planned

EXAMPLES = list(flows())


def _title(flow: ExampleFlow) -> str:
    return f"{flow.function}: {flow.example.expression}"


@pytest.mark.parametrize("flow", EXAMPLES, ids=_title)
def test_the_example_holds(flow: ExampleFlow) -> None:
    plan = planned(flow.text.replace(f"| {ERROR} |", "|  |") if flow.fails else flow.text)
    with connect() as connection:
        assert verify(plan, connection) == []

    [result] = run_tests(plan, connect=connect)

    if flow.fails:
        assert not result.ok
        assert "missing" not in result.message, "it was computed, and should have failed"
    else:
        assert result.ok, result.message


def test_every_function_of_the_registry_is_spelled() -> None:
    assert plan_names() - {"now", "today"} == set(DUCKDB)


def test_every_function_has_an_example() -> None:
    shown = {flow.function for flow in EXAMPLES}
    # A cast is shown by each `to_…` and `try_…`.
    lacking = plan_names() - shown - {"cast", "try_cast"}
    assert lacking == set()
