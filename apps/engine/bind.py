"""The checker's types held against DuckDB's binder: each step over empty tables of its inputs' types.

Nothing is executed. What DuckDB refuses or types otherwise becomes a Diagnostic at the expression, or at the
operation, that is to blame.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

import duckdb

from apps.engine.clashes import clashes
from apps.engine.compile import compile_plan, quoted
from apps.engine.sql import FALSE, NULL, Cast, Select
from apps.engine.types import from_duckdb, sql_type
from apps.language.diagnostics import Diagnostic, Span
from apps.language.plan import Const, Expression, Operation, Plan, Project, Schema, SourceTable, StepTable
from apps.language.types import Kind

REFUSED = "E390"  # DuckDB cannot bind what the checker let through
MISMATCH = "E391"  # DuckDB gives another type than the checker


def verify(plan: Plan, connection: duckdb.DuckDBPyConnection) -> list[Diagnostic]:
    """What DuckDB's binder has against a checked plan: empty, unless the checker is wrong somewhere.

    Makes temporary tables in `connection` and removes them again.
    """
    found = list(clashes(plan))
    if found:
        return found
    with _empty_tables(plan, connection) as scans:
        wrong = [step for step in plan.steps if _disagreement(plan, step, len(step.operations), scans, connection)]
        return [_blamed(plan, step, scans, connection) for step in wrong]


@contextmanager
def _empty_tables(plan: Plan, connection: duckdb.DuckDBPyConnection) -> Iterator[dict[str, str]]:
    """An empty table for each source and step; gives their names in SQL."""
    scans: dict[str, str] = {}
    tables = [(source.name, source.columns) for source in plan.sources]
    tables += [(step.name, step.columns) for step in plan.steps]
    try:
        for position, (name, columns) in enumerate(tables):
            scans[name] = quoted(f"empty {position}:{name}")
            connection.execute(f"CREATE OR REPLACE TEMP TABLE {scans[name]} AS {_no_rows(columns)}")
        yield scans
    finally:
        for sql in scans.values():
            connection.execute(f"DROP TABLE IF EXISTS {sql}")


def _no_rows(columns: Schema) -> str:
    values = [(column.name, Cast(NULL, sql_type(column.type))) for column in columns]
    return str(Select(tuple(values), where=FALSE))


def _disagreement(
    plan: Plan, step: StepTable, upto: int, scans: dict[str, str], connection: duckdb.DuckDBPyConnection
) -> tuple[str, str] | None:
    """(code, words) of what DuckDB has against the first `upto` operations of a step."""
    columns = step.schemas[upto - 1] if upto else plan.schema_of(step.input)
    part = replace(step, operations=step.operations[:upto], schemas=step.schemas[:upto], columns=columns)
    alone = replace(
        plan,
        sources=tuple(SourceTable(name, "table", "", plan.schema_of(name), True) for name in plan.inputs_of(part)),
        steps=(part,),
        checks=(),
        sinks=(),
    )
    params = {item.name: Const(item.type, None) for item in plan.params if item.default is None}
    flow = compile_plan(alone, params=params, logical_time=datetime(2026, 1, 1, tzinfo=UTC), scans=scans)
    try:
        relation = connection.sql(flow.stages[-1].sql)
    except duckdb.Error as error:
        return REFUSED, str(error).strip().partition("\n")[0]
    given = dict(zip(relation.columns, relation.types, strict=True))
    for column in columns:
        bound = given.get(column.name)
        if bound is None:
            return REFUSED, f"column '{column.name}' is lost"
        if column.type.kind is not Kind.NULL and from_duckdb(bound) != column.type:
            return MISMATCH, f"column '{column.name}' is {column.type} by the language's rules and {bound} in DuckDB"
    return None


def _blamed(plan: Plan, step: StepTable, scans: dict[str, str], connection: duckdb.DuckDBPyConnection) -> Diagnostic:
    """The smallest part of a step that DuckDB has something against."""
    for upto in range(1, len(step.operations) + 1):
        reason = _disagreement(plan, step, upto, scans, connection)
        if reason is None:
            continue
        operation = step.operations[upto - 1]
        for value, column in _columns(operation):
            alone = replace(
                step,
                operations=(*step.operations[: upto - 1], Project((column,))),
                schemas=(*step.schemas[: upto - 1], tuple(c for c in step.schemas[upto - 1] if c.name == column[0])),
            )
            narrower = _disagreement(plan, alone, upto, scans, connection)
            if narrower is not None:
                return _diagnostic(step, narrower, value.span)
        return _diagnostic(step, reason, operation.span)
    reason = _disagreement(plan, step, len(step.operations), scans, connection)
    assert reason is not None
    return _diagnostic(step, reason, step.span)


def _columns(operation: Operation) -> list[tuple[Expression, tuple[str, Expression]]]:
    return [(value, (name, value)) for name, value in operation.columns] if isinstance(operation, Project) else []


def _diagnostic(step: StepTable, reason: tuple[str, str], span: Span) -> Diagnostic:
    code, words = reason
    return Diagnostic(code, f"the engine does not agree, in step '{step.name}': {words}", span, _HINT)


_HINT = "this is a mistake of Flow Control, not of the flow: report it with the flow's text"
