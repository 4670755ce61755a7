"""A flow's own tests: made-up rows in, the rows of a step out, compared. Nothing real is read or written."""

import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import batched
from zoneinfo import ZoneInfo

import duckdb
from sqlglot import exp

from apps.common.errors import FlowControlError
from apps.engine import lookups
from apps.engine.compile import DIALECT, compile_plan, quoted
from apps.engine.relations import reference, select, table
from apps.engine.rows import Row, differences, fetchable, frozen, grid, same
from apps.engine.stages import CompiledFlow, Stage
from apps.engine.types import identifier, literal, sql_type
from apps.language.plan import Plan, TestCase, TestTable
from apps.language.types import Type

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
    return [problem for expected in case.then if (problem := _difference(connection, flow, expected))]


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
    columns = [exp.ColumnDef(this=identifier(item.name), kind=sql_type(item.type).copy()) for item in given.columns]
    schema = exp.Schema(this=exp.Table(this=identifier(name)), expressions=columns)
    temporary = exp.Properties(expressions=[exp.TemporaryProperty()])
    connection.execute(exp.Create(this=schema, kind="TABLE", properties=temporary).sql(DIALECT))
    for rows in batched(given.rows, _ROWS_A_STATEMENT):
        _insert(connection, name, given, rows)


def _insert(connection: duckdb.DuckDBPyConnection, name: str, given: TestTable, rows: Iterable[Row]) -> None:
    tuples = [
        exp.Tuple(expressions=[literal(value, column.type) for value, column in zip(row, given.columns, strict=True)])
        for row in rows
    ]
    values = exp.Values(expressions=tuples)
    connection.execute(exp.Insert(this=exp.Table(this=identifier(name)), expression=values).sql(DIALECT))


def _materialize(connection: duckdb.DuckDBPyConnection, stage: Stage) -> None:
    try:
        connection.execute(f"CREATE TEMP TABLE {quoted(stage.table)} AS {stage.careful_sql or stage.sql}")
    except duckdb.Error as error:
        ambiguous = lookups.explain(error, stage, connection)
        if ambiguous is not None:
            raise ambiguous from error
        raise


def _difference(connection: duckdb.DuckDBPyConnection, flow: CompiledFlow, expected: TestTable) -> str:
    """What differs, in words and as a table; empty if nothing does."""
    stage = next(stage for stage in flow.stages if stage.step == expected.name)
    columns = [fetchable(reference(column.name), column.type) for column in expected.columns]
    sql = select(columns, table(stage.table, "l")).sql(DIALECT)
    kinds = [column.type for column in expected.columns]
    actual = [_frozen(row, kinds) for row in connection.execute(sql).fetchall()]
    wanted = [_frozen(row, kinds) for row in expected.rows]
    names = [column.name for column in expected.columns]
    missing, unexpected = differences(wanted, actual)
    if missing or unexpected:
        return _told(expected.name, names, missing, unexpected)
    if stage.ordered and not same(tuple(wanted), tuple(actual)):
        return _told_order(expected.name, names, wanted, actual)
    return ""


def _frozen(row: Row, kinds: list[Type]) -> Row:
    return tuple(frozen(value, kind) for value, kind in zip(row, kinds, strict=True))


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


def _told_order(step: str, names: list[str], wanted: list[Row], actual: list[Row]) -> str:
    first = next(place for place, pair in enumerate(zip(wanted, actual, strict=True)) if not same(*pair))
    marked = [("-", row) for row in wanted[first : first + SHOWN_ROWS]]
    marked += [("+", row) for row in actual[first : first + SHOWN_ROWS]]
    head = f"{step}: the right rows in another order, from row {first + 1} on (- expected, + computed)"
    return f"{head}\n{grid(names, marked)}"


def _rows(count: int) -> str:
    return f"{count} row" if count == 1 else f"{count} rows"
