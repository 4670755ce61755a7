"""DuckDB's binder as the oracle of types: it agrees with the checker, and where it does not, the place is named."""

from dataclasses import replace

from apps.engine.bind import MISMATCH, REFUSED, verify
from apps.engine.clashes import CLASH
from apps.language.plan import Apply, Column, Plan, Project
from apps.language.types import DOUBLE, INT
from tests.engine.written import connect, planned

TEXT = """flow example
param least: decimal(5, 2)
source x = csv("x.csv") { columns: { a: int, d: decimal(12, 2), word: text } }
step first = x | where d > @least | derive b = a + 1, c = d * 2
step second = first | group by word { total = sum(c) } | sort -total
sink second -> csv("s.csv")
"""


def _with_column(plan: Plan, name: str, value: Apply) -> Plan:
    """The plan, its first step's column changed to another expression."""
    step = plan.steps[0]
    project = step.operations[-1]
    assert isinstance(project, Project)
    columns = tuple((each, value if each == name else old) for each, old in project.columns)
    schema = tuple(Column(each.name, value.type if each.name == name else each.type) for each in step.columns)
    changed = replace(
        step,
        operations=(*step.operations[:-1], replace(project, columns=columns)),
        schemas=(*step.schemas[:-1], schema),
        columns=schema,
    )
    return replace(plan, steps=(changed, *plan.steps[1:]))


def _old(plan: Plan, name: str) -> Apply:
    project = plan.steps[0].operations[-1]
    assert isinstance(project, Project)
    value = dict(project.columns)[name]
    assert isinstance(value, Apply)
    return value


def test_a_checked_plan_is_agreed_to() -> None:
    with connect() as connection:
        assert verify(planned(TEXT), connection) == []
        assert connection.execute("SHOW TABLES").fetchall() == []


def test_a_wrong_type_is_found_and_the_operation_named() -> None:
    plan = planned(TEXT)
    step = plan.steps[0]
    schema = tuple(Column(each.name, DOUBLE if each.name == "b" else each.type) for each in step.columns)
    wrong = replace(plan, steps=(replace(step, schemas=(step.schemas[0], schema), columns=schema), plan.steps[1]))
    with connect() as connection:
        [found] = verify(wrong, connection)
    assert (found.code, found.span) == (MISMATCH, _old(plan, "b").span)
    assert "column 'b' is double by the language's rules and BIGINT in DuckDB" in found.message


def test_what_duckdb_cannot_bind_is_found_and_the_expression_named() -> None:
    plan = planned(TEXT)
    old = _old(plan, "b")
    nonsense = Apply(INT, "length", (plan.steps[0].operations[0].test,), span=old.span)
    with connect() as connection:
        [found] = verify(_with_column(plan, "b", nonsense), connection)
    assert (found.code, found.span) == (REFUSED, old.span)
    assert "step 'first'" in found.message


def test_columns_that_differ_only_in_case_are_found() -> None:
    plan = planned(
        'flow f\nsource x = csv("x.csv") { columns: { a: int } }\nstep s = x | derive A = 1\nsink s -> csv("s")'
    )
    with connect() as connection:
        [found] = verify(plan, connection)
    assert (found.code, found.span.line) == (CLASH, 3)
