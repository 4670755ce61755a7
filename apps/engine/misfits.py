# ruff: noqa: S608 (names and paths are quoted where they enter the SQL)
"""Which value of a file does not fit its type. DuckDB refuses the statement but does not say where the value stands."""

import csv
from collections.abc import Iterator
from pathlib import Path

from apps.engine import duck, paths, sources, strict
from apps.engine.errors import BadValue
from apps.engine.explain import misfit
from apps.engine.sql import Name
from apps.language.plan import Column, SourceTable


def explain(
    error: duck.Error, workspace: Path, tables: list[SourceTable], connection: duck.DuckDBPyConnection
) -> BadValue | None:
    """The first value of the tables that does not fit its type, with its place; None if that is not what went wrong.
    Reads the files again, on the way of a failure only."""
    if not isinstance(error, duck.ConversionException):
        return None
    for source in tables:
        if source.kind in ("csv", "json", "jsonl"):
            for column, file, value, row in _misfits(workspace, source, connection):
                return _bad_value(workspace, source, column, file, value, row)
    return None


def _misfits(
    workspace: Path, source: SourceTable, connection: duck.DuckDBPyConnection
) -> Iterator[tuple[Column, Path, str, int]]:
    columns = [column for column in source.columns if strict.is_converted(column.type)]
    for file in sources.find(workspace, source.kind, source.path):
        for column in columns:
            name = Name(column.name)
            numbered = (
                f"SELECT {name}, row_number() OVER () AS row FROM {sources.text_scan_sql(workspace, source, file)}"
            )
            sql = f"SELECT {name}, row FROM ({numbered}) AS numbered WHERE {name} IS NOT NULL AND {strict.value_of(column, tolerant=True)} IS NULL ORDER BY row LIMIT 1"
            for value, row in connection.execute(sql).fetchall():
                yield column, file, value, row


def _bad_value(workspace: Path, source: SourceTable, column: Column, file: Path, value: str, row: int) -> BadValue:
    line = _line_of_csv(file, source, row) if source.kind == "csv" else _line_of_json(file, row)
    return misfit(paths.relative(str(file), workspace), line, column.name, value, source)


def _line_of_csv(file: Path, source: SourceTable, row: int) -> int:
    """The line in which the row ends; rows with line ends in their values take several. Where the file is nothing that
    can be read so (a value of 128 KiB), the line as it would be without such rows."""
    options = dict(source.options)
    skipped, wanted = int(options.get("skip", 0)), row + int(bool(options.get("header", True)))
    try:
        with sources.opened(file) as text:
            rows = sources.csv_rows(text, options)
            for each in rows:
                wanted -= bool(each)
                if not wanted:
                    return skipped + int(rows.line_num)
    except (csv.Error, ValueError):
        pass
    return skipped + row + int(bool(options.get("header", True)))


def _line_of_json(file: Path, row: int) -> int:
    with file.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            row -= bool(line.strip())
            if not row:
                return number
    return 0
