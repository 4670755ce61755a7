"""Flows written in a test → plans, tables and rows."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import duckdb

from apps.engine.compile import CompiledFlow, compile_plan, quoted
from apps.language.checker import check, no_schemas
from apps.language.parser import parse
from apps.language.plan import Plan

NOW = datetime(2026, 1, 1, tzinfo=UTC)


_DATABASE = duckdb.connect(config={"threads": 2, "autoload_known_extensions": "false"})


def connect() -> duckdb.DuckDBPyConnection:
    """A connection with temporary tables of its own; a new database each time would cost ten times as much."""
    connection = _DATABASE.cursor()
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def planned(text: str) -> Plan:
    """The plan of a flow without errors."""
    parsed = parse(text)
    assert parsed.tree is not None
    assert not [found for found in parsed.diagnostics if found.is_error], parsed.diagnostics
    result = check(parsed.tree, no_schemas)
    assert result.plan is not None, [f"{found.code} {found.message}" for found in result.diagnostics]
    return result.plan


def compiled(plan: Plan, *, scans: Mapping[str, str] | None = None, **params: Any) -> CompiledFlow:
    """Compiled against tables that are called like the sources."""
    tables = scans or {source.name: quoted(source.name) for source in plan.sources}
    return compile_plan(plan, params=params, logical_time=NOW, scans=tables)


def computed(flow: CompiledFlow, connection: duckdb.DuckDBPyConnection) -> dict[str, list[tuple[Any, ...]]]:
    """Run all stages in tables instead of files; the rows of each step that a stage gives."""
    rows = {}
    for stage in flow.stages:
        if stage.table:
            connection.execute(f"CREATE TEMP TABLE {quoted(stage.table)} AS {stage.sql}")
            rows[stage.step] = connection.execute(f"FROM {quoted(stage.table)}").fetchall()
        else:
            rows[stage.step] = connection.execute(stage.sql).fetchall()
    return rows
