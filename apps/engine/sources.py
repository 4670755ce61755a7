# ruff: noqa: S608 (names and paths are quoted where they enter the SQL)
"""A flow's sources as relations that DuckDB reads: the files of the workspace, with the types that the plan gives.

Nothing is guessed when a flow runs. A CSV's header is read here and every column is named with its type, so the
same text gives the same rows whatever the first lines happen to hold; a value that does not fit is an error.
"""

import csv
import gzip
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from apps.engine import paths
from apps.engine.errors import SourceMissing, SourceUnreadable
from apps.engine.types import sql_type
from apps.language.plan import Schema, SourceTable
from apps.language.types import TEXT, Type

HEADER_LIMIT = 1 << 20  # characters; a first line longer than that is no header


def scan_sql(workspace: Path, source: SourceTable) -> str:
    """The relation, as SQL that can stand after FROM. It has the source's columns, and may have others.

    Raises SourceMissing or SourceUnreadable, with a cure, before the flow has begun.
    """
    files = find(workspace, source.kind, source.path)
    options = dict(source.options)
    match source.kind:
        case "csv":
            return _csv_scan(workspace, files, source.columns, options)
        case "parquet":
            return f"read_parquet({_list(files)}, hive_partitioning = false)"
        case _:
            layout = "newline_delimited" if source.kind == "jsonl" else "auto"
            columns = ", ".join(f"{quote(column.name)}: {quote(type_name(column.type))}" for column in source.columns)
            return f"read_json({_list(files)}, format = '{layout}', columns = {{{columns}}})"


def find(workspace: Path, kind: str, path: str) -> list[Path]:
    """The files of a source, sorted. Raises SourceMissing if there is none, SourceUnreadable if one is not to be read."""
    found = paths.expand(workspace, path)
    if not found:
        raise _missing(workspace, path)
    for file in found:
        name = paths.relative(str(file), workspace)
        try:
            with file.open("rb") as opened:
                is_empty = not opened.read(1)
        except OSError as error:
            raise SourceUnreadable(
                f"'{name}' cannot be read: {error.strerror}.",
                hint="Give the account that runs flows the right to read it.",
            ) from error
        if is_empty and kind in ("csv", "parquet"):
            wanted = "a header line with the names of the columns" if kind == "csv" else "a Parquet file"
            raise SourceUnreadable(f"'{name}' is empty.", hint=f"It should hold {wanted}. Was it copied to its end?")
    return found


def _missing(workspace: Path, path: str) -> SourceMissing:
    folder = (paths.root(workspace) / path.split("*", maxsplit=1)[0]).parent
    hint = "Put the file into the workspace, or correct the path: it is relative to the workspace."
    if folder.is_dir():
        beside = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))[:5]
        where = paths.relative(str(folder), workspace)
        where = "The workspace" if where == "." else f"'{where}'"
        hint += f" {where} holds {', '.join(beside)}." if beside else f" {where} is empty."
    if paths.has_glob(path):
        return SourceMissing(f"No file of the workspace matches '{path}'.", hint=hint)
    return SourceMissing(f"There is no file '{path}' in the workspace.", hint=hint)


# --- CSV -------------------------------------------------------------------------------------


def csv_dialect(options: Mapping[str, Any]) -> str:
    """The arguments of read_csv that say how the text is cut into values."""
    mark = options.get("quote", '"') or ""
    arguments = [
        f"delim = {quote(options.get('delimiter', ','))}",
        f"quote = {quote(mark)}",
        f"escape = {quote(options.get('escape', mark) or '')}",
        f"header = {'true' if options.get('header', True) else 'false'}",
    ]
    if "null" in options:
        arguments.append(f"nullstr = {quote(options['null'])}")
    if options.get("skip"):
        arguments.append(f"skip = {options['skip']}")
    return ", ".join(arguments)


def _csv_scan(workspace: Path, files: list[Path], columns: Schema, options: Mapping[str, Any]) -> str:
    """One read_csv for all files whose header is the same; files may order their columns differently."""
    types = {column.name: column.type for column in columns}
    groups: dict[tuple[str, ...], list[Path]] = {}
    for file in files:
        groups.setdefault(tuple(_csv_names(workspace, file, columns, options)), []).append(file)
    scans = []
    for names, alike in groups.items():
        spelled = ", ".join(f"{quote(name)}: {quote(type_name(types.get(name, TEXT)))}" for name in names)
        scans.append(f"read_csv({_list(alike)}, auto_detect = false, {csv_dialect(options)}, columns = {{{spelled}}})")
    if len(scans) == 1:
        return scans[0]
    wanted = ", ".join(identifier(column.name) for column in columns)
    return "(" + " UNION ALL ".join(f"SELECT {wanted} FROM {scan}" for scan in scans) + ")"


def _csv_names(workspace: Path, file: Path, columns: Schema, options: Mapping[str, Any]) -> list[str]:
    """The names of the file's columns in its own order. Raises SourceUnreadable if one that the flow names is missing."""
    if not options.get("header", True):
        return [column.name for column in columns]
    names = csv_header(workspace, file, options)
    missing = [column.name for column in columns if column.name not in names]
    if missing:
        where = paths.relative(str(file), workspace)
        hint = f"Its header line has: {', '.join(names[:20])}."
        if len(names) == 1 and (other := next((mark for mark in ";\t|" if mark in names[0]), "")):
            shown = "\\t" if other == "\t" else other
            hint += f" If its values are separated by '{shown}', write {{ delimiter: \"{shown}\" }}."
        raise SourceUnreadable(f"'{where}' has no column '{missing[0]}'.", hint=hint)
    return [name or f" unnamed {position}" for position, name in enumerate(names)]


def csv_header(workspace: Path, file: Path, options: Mapping[str, Any]) -> list[str]:
    """The names in a CSV file's header line. Raises SourceUnreadable if there is none that can be read."""
    where = paths.relative(str(file), workspace)
    opener = gzip.open if file.suffix == ".gz" else open
    try:
        with opener(file, "rt", encoding="utf-8-sig", newline="") as opened:
            for _ in range(int(options.get("skip", 0))):
                opened.readline(HEADER_LIMIT)
            mark = options.get("quote", '"')
            reader = csv.reader(
                iter(lambda: opened.readline(HEADER_LIMIT), ""),
                delimiter=options.get("delimiter", ","),
                quotechar=mark or None,
                quoting=csv.QUOTE_MINIMAL if mark else csv.QUOTE_NONE,
            )
            names = next((row for row in reader if row), [])
    except UnicodeDecodeError as error:
        raise SourceUnreadable(
            f"'{where}' is not UTF-8 text.", hint="Save it as UTF-8 (for example with `iconv -t UTF-8`)."
        ) from error
    except (csv.Error, OSError, EOFError) as error:
        raise SourceUnreadable(f"The header line of '{where}' cannot be read: {error}.") from error
    if not names:
        raise SourceUnreadable(f"'{where}' holds no header line.", hint="Its first line should name the columns.")
    twice = next((name for position, name in enumerate(names) if name and name in names[:position]), None)
    if twice is not None:
        raise SourceUnreadable(
            f"'{where}' has two columns '{twice}'.", hint="Rename one of them in the file's header line."
        )
    return names


# --- SQL ---------------------------------------------------------------------------------------


def identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _list(files: list[Path]) -> str:
    return "[" + ", ".join(quote(str(file)) for file in files) + "]"


def type_name(type_: Type) -> str:
    """The type in DuckDB's spelling."""
    return sql_type(type_)
