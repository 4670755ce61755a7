# ruff: noqa: S608 (names and paths are quoted where they enter the SQL)
"""The columns of a source whose flow does not write them out: sniffed from the file itself, in a confined connection."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from apps.engine import paths, sandbox, sources
from apps.engine.duck import DuckDBPyConnection, Error
from apps.engine.errors import EngineError
from apps.engine.limits import MIB, Limits
from apps.language import types
from apps.language.checking.schemas import SchemaReader, SchemaUnavailable
from apps.language.plan import Column, Schema
from apps.language.types import Type

SAMPLE_ROWS = 20_480  # what DuckDB's sniffer looks at unless told otherwise
FORMATS = ("csv", "jsonl", "json", "parquet")

_WIDENED = {  # DuckDB's types that are read as a wider one of ours
    "tinyint": types.INT,
    "smallint": types.INT,
    "integer": types.INT,
    "utinyint": types.INT,
    "usmallint": types.INT,
    "uinteger": types.INT,
    "ubigint": types.decimal(20, 0),
    "hugeint": types.decimal(38, 0),
    "uhugeint": types.decimal(38, 0),
    "float": types.DOUBLE,
    "timestamp_s": types.TIMESTAMP,
    "timestamp_ms": types.TIMESTAMP,
    "timestamp_ns": types.TIMESTAMP,
    "uuid": types.TEXT,
    "enum": types.TEXT,
}


def schema_reader(workspace: Path, connection: DuckDBPyConnection | None = None) -> SchemaReader:
    """A reader of (kind, path, options) for the checker. It raises SchemaUnavailable with a cure, and remembers
    what it has read, so make a new one to see files that have changed. It opens a connection if none is given."""
    known: dict[str, Schema] = {}
    opened: list[DuckDBPyConnection] = [connection] if connection is not None else []

    def connect() -> DuckDBPyConnection:
        if not opened:
            opened.append(sandbox.connect(workspace, Limits(256 * MIB, 0, 2)))
        return opened[0]

    def read_schema(kind: str, path: str, options: dict[str, Any]) -> Schema:
        key = repr((kind, path, sorted(options.items(), key=str)))
        if key not in known:
            known[key] = _sniff(workspace, connect, kind, path, options)
        return known[key]

    return read_schema


def _sniff(
    workspace: Path, connect: Callable[[], DuckDBPyConnection], kind: str, path: str, options: dict[str, Any]
) -> Schema:
    """The columns of the files that `path` names; of several, the first file's."""
    if kind not in FORMATS:
        raise SchemaUnavailable(f"The columns of a source of kind '{kind}' cannot be read from files.", "")
    if not workspace.is_dir():
        raise SchemaUnavailable("The workspace does not exist.", "Make the folder, or name another with --workspace.")
    with _explained(workspace, path):
        file = sources.find(workspace, kind, path)[0]
        connection = connect()
        match kind:
            case "csv":
                return _sniff_csv(connection, workspace, file, options)
            case "parquet":
                return _describe(connection, f"read_parquet({sources.file_name(file)}, hive_partitioning = false)")
            case _:
                return _sniff_json(connection, kind, file)


@contextmanager
def _explained(workspace: Path, path: str) -> Iterator[None]:
    try:
        yield
    except EngineError as error:
        cure = (
            f"{error.hint} Or write its columns out, then the file may come later: {{ columns: {{ name: type, … }} }}."
        )
        raise SchemaUnavailable(error.message, cure) from error
    except Error as error:
        reason = paths.relative(str(error), workspace).partition("\n")[0]
        raise SchemaUnavailable(
            f"The columns of '{path}' cannot be read: {reason}",
            "Correct the file, or write the columns out: { columns: { name: type, … } }.",
        ) from error


def _sniff_csv(connection: DuckDBPyConnection, workspace: Path, file: Path, options: dict[str, Any]) -> Schema:
    if not options.get("header", True):
        raise SchemaUnavailable(
            "A source without a header line shows no names of columns.",
            "Write them out, in the order of the file: { header: false, columns: { name: type, … } }.",
        )
    names = sources.csv_header(workspace, file, options)
    unnamed = next((position for position, name in enumerate(names, start=1) if not name), None)
    if unnamed is not None:
        raise SchemaUnavailable(
            f"Column {unnamed} of '{paths.relative(str(file), workspace)}' has no name.",
            "Name it in the file's header line, or write out the columns that the flow needs.",
        )
    reader = f"sniff_csv({sources.file_name(file)}, {sources.dialect_of(file, options)}, sample_size = {SAMPLE_ROWS})"
    connection.execute(f'SELECT "Columns", "DateFormat", "TimestampFormat" FROM {reader}')
    columns, date_format, timestamp_format = connection.fetchall()[0]
    iso = {
        "DATE": date_format in (None, "", "%Y-%m-%d"),
        "TIMESTAMP": timestamp_format in (None, "", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M:%S.%f"),
    }
    # A date in another order than year, month, day is a text here: parse_date says which order it is.
    found = {each["name"]: each["type"] if iso.get(each["type"], True) else "VARCHAR" for each in columns}
    spelled = ", ".join(f'CAST(NULL AS {kind}) AS "{name}"' for name, kind in found.items() if '"' not in name)
    sniffed = {column.name: column.type for column in _describe(connection, f"(SELECT {spelled})")}
    return tuple(Column(name, sniffed.get(name, types.TEXT)) for name in names)


def _sniff_json(connection: DuckDBPyConnection, kind: str, file: Path) -> Schema:
    layout = "newline_delimited" if kind == "jsonl" else "auto"
    if file.stat().st_size == 0:
        raise SchemaUnavailable(
            f"'{file.name}' is empty, so it shows no columns.", "Write the columns out: { columns: { name: type, … } }."
        )
    return _describe(
        connection, f"read_json({sources.file_name(file)}, format = '{layout}', sample_size = {SAMPLE_ROWS})"
    )


def _describe(connection: DuckDBPyConnection, relation: str) -> Schema:
    connection.execute(f"SELECT * FROM {relation} LIMIT 0")
    return tuple(Column(name, _type(name, found)) for name, found, *_ in connection.description or ())


def _type(name: str, found: Any) -> Type:
    """The language's type of a DuckDB type object."""
    children = dict(found.children) if found.id in ("list", "array", "struct", "decimal") else {}
    match str(found.id):
        case "list" | "array":
            return types.list_of(_type(name, children["child"]))
        case "struct":
            return types.struct(*((field, _type(name, child)) for field, child in children.items()))
        case "decimal":
            return types.decimal(int(children["precision"]), int(children["scale"]))
        case "blob" | "bit" | "map" | "union" | "geometry" | "variant" as kind:
            raise SchemaUnavailable(
                f"Column '{name}' is of type {kind}, which flows cannot read.",
                "Write out the columns that the flow needs and leave this one away.",
            )
        case "varchar" if str(found) == "JSON":
            return types.JSON
        case kind:
            return _PLAIN[kind] if kind in _PLAIN else _WIDENED.get(kind, types.TEXT)


_PLAIN = {
    "boolean": types.BOOL,
    "bigint": types.INT,
    "double": types.DOUBLE,
    "varchar": types.TEXT,
    "date": types.DATE,
    "time": types.TIME,
    "timestamp": types.TIMESTAMP,
    "timestamp with time zone": types.TIMESTAMPTZ,
    "interval": types.DURATION,
}
