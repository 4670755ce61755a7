"""A flow's own tests: made-up rows in, the rows of a step out, compared. Nothing real is read or written."""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import batched, groupby
from zoneinfo import ZoneInfo

import duckdb

from apps.common.errors import FlowControlError
from apps.engine import lookups
from apps.engine.compile import compile_plan, quoted
from apps.engine.relations import reference, table
from apps.engine.rows import Row, differences, fetchable, frozen, grid
from apps.engine.sql import Select
from apps.engine.stages import CompiledFlow, Stage
from apps.engine.types import literal, sql_type
from apps.language.plan import ColumnRef, Plan, Schema, SortBy, StepTable, TestCase, TestTable

SHOWN_ROWS = 10  # of each kind, in a message
_ROWS_A_STATEMENT = 500

Connect = Callable[[], duckdb.DuckDBPyConnection]


@dataclass(frozen=True, slots=True)
class CaseResult:
    """What one test said. `message` is empty when it is well, else says what differs, in lines for people."""

    title: str
    ok: bool
    message: str
    seconds: float


def logical_time(plan: Plan) -> datetime:
    """What `now()` says in tests: 2026-01-01 00:00 by the flow's own clock."""
    return datetime(2026, 1, 1, tzinfo=ZoneInfo(plan.settings.timezone or "UTC"))


def run_tests(plan: Plan, *, connect: Connect) -> list[CaseResult]:
    """Each test of the flow on a connection of its own, which is closed again. Never raises for what a test finds."""
    return [_run(plan, case, connect) for case in plan.tests]


def _run(plan: Plan, case: TestCase, connect: Connect) -> CaseResult:
    started = time.perf_counter()
    connection = connect()
    try:
        problems = _compare(plan, case, connection)
    except FlowControlError as error:
        problems = [f"{error.message} {error.hint}".strip()]
    except duckdb.Error as error:
        problems = [str(error).strip().partition("\n")[0]]
    finally:
        connection.close()
    return CaseResult(case.title, not problems, "\n".join(problems), time.perf_counter() - started)


def _compare(plan: Plan, case: TestCase, connection: duckdb.DuckDBPyConnection) -> list[str]:
    targets = [expected.name for expected in case.then]
    tested = _restricted(plan, targets)
    scans = {}
    for position, given in enumerate(case.given):
        name = f"given {position}:{given.name}"
        _create(connection, name, given)
        scans[given.name] = quoted(name)
    missing = [source.name for source in tested.sources if source.name not in scans]
    if missing:
        return [f"The test gives no rows of {', '.join(missing)}. Add `given {missing[0]}` with a table."]
    values = dict(case.params)
    flow = compile_plan(tested, params=values, logical_time=logical_time(plan), scans=scans, targets=targets)
    for stage in flow.stages:
        _materialize(connection, stage)
    return [problem for expected in case.then if (problem := _difference(connection, tested, flow, expected))]


def _restricted(plan: Plan, targets: Collection[str]) -> Plan:
    """The plan of what the targets need and nothing else."""
    needed = set(targets)
    for step in reversed(plan.steps):
        if step.name in needed:
            needed.update(plan.inputs_of(step))
    return replace(
        plan,
        sources=tuple(source for source in plan.sources if source.name in needed),
        steps=tuple(step for step in plan.steps if step.name in needed),
        checks=(),
        sinks=(),
    )


def _create(connection: duckdb.DuckDBPyConnection, name: str, given: TestTable) -> None:
    columns = ", ".join(f"{quoted(column.name)} {sql_type(column.type)}" for column in given.columns)
    connection.execute(f"CREATE TEMP TABLE {quoted(name)} ({columns})")
    for rows in batched(given.rows, _ROWS_A_STATEMENT):
        tuples = ", ".join(f"({_values(row, given.columns)})" for row in rows)
        connection.execute(f"INSERT INTO {quoted(name)} VALUES {tuples}")  # noqa: S608  typed literals, quoted names


def _values(row: Row, columns: Schema) -> str:
    return ", ".join(str(literal(value, column.type)) for value, column in zip(row, columns, strict=True))


def _materialize(connection: duckdb.DuckDBPyConnection, stage: Stage) -> None:
    try:
        connection.execute(f"CREATE TEMP TABLE {quoted(stage.table)} AS {stage.careful_sql or stage.sql}")
    except duckdb.Error as error:
        ambiguous = lookups.explain(error, stage, connection)
        if ambiguous is not None:
            raise ambiguous from error
        raise


def _difference(connection: duckdb.DuckDBPyConnection, plan: Plan, flow: CompiledFlow, expected: TestTable) -> str:
    """What differs, in words and as a table; empty if nothing does."""
    stage = next(stage for stage in flow.stages if stage.step == expected.name)
    step = next(step for step in plan.steps if step.name == expected.name)
    keys = _sort_columns(step)
    names = [column.name for column in expected.columns]
    actual = _fetched(connection, stage, expected.columns)
    wanted = [_frozen(row, expected.columns) for row in expected.rows]
    missing, unexpected = differences(wanted, actual)
    if missing or unexpected:
        return _told(expected.name, names, missing, unexpected)
    if step.ordered:
        ties = _runs(_fetched(connection, stage, keys)) if keys else [1] * len(actual)
        first = _first_out_of_order(wanted, actual, ties)
        if first is not None:
            return _told_order(expected.name, names, wanted[first:], actual[first:], first + 1)
    return ""


def _fetched(connection: duckdb.DuckDBPyConnection, stage: Stage, columns: Schema) -> list[Row]:
    chosen = tuple((column.name, fetchable(reference(column.name), column.type)) for column in columns)
    rows = connection.execute(str(Select(chosen, table(stage.table, "l")))).fetchall()
    return [_frozen(row, columns) for row in rows]


def _sort_columns(step: StepTable) -> Schema:
    """The columns that a step is sorted by in its end, if it has them all; none if it sorts by what is not there."""
    last = next((operation for operation in reversed(step.operations) if isinstance(operation, SortBy)), None)
    names = [key.value.name for key in last.keys if isinstance(key.value, ColumnRef)] if last else []
    found = tuple(column for column in step.columns if column.name in names)
    return found if last and len(found) == len(last.keys) else ()


def _runs(keys: list[Row]) -> list[int]:
    """How many rows each stretch of equal keys has."""
    return [len(list(rows)) for _, rows in groupby(keys)]


def _first_out_of_order(wanted: list[Row], actual: list[Row], ties: list[int]) -> int | None:
    """The place from which the order differs. Rows that tie in the sort may come in any order."""
    place = 0
    for length in ties:
        if any(differences(wanted[place : place + length], actual[place : place + length])):
            return place
        place += length
    return None


def _frozen(row: Row, columns: Schema) -> Row:
    return tuple(frozen(value, column.type) for value, column in zip(row, columns, strict=True))


def _told(step: str, names: list[str], missing: list[Row], unexpected: list[Row]) -> str:
    head = " and ".join(
        f"{_rows(len(rows))} {word}" for rows, word in ((missing, "missing"), (unexpected, "unexpected")) if rows
    )
    marked = [("-", row) for row in missing[:SHOWN_ROWS]] + [("+", row) for row in unexpected[:SHOWN_ROWS]]
    lines = [f"{step}: {head} (- expected, + computed)", grid(names, marked)]
    hidden = len(missing) + len(unexpected) - len(marked)
    if hidden:
        lines.append(f"… and {hidden} more")
    return "\n".join(lines)


def _told_order(step: str, names: list[str], wanted: list[Row], actual: list[Row], first: int) -> str:
    marked = [("-", row) for row in wanted[:SHOWN_ROWS]] + [("+", row) for row in actual[:SHOWN_ROWS]]
    head = f"{step}: the right rows in another order, from row {first} on (- expected, + computed)"
    return f"{head}\n{grid(names, marked)}"


def _rows(count: int) -> str:
    return f"{count} row" if count == 1 else f"{count} rows"
