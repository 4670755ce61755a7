# ruff: noqa: S608 (names and paths are quoted where they enter the SQL)
"""A flow's sources as relations that DuckDB reads: the files of the workspace, with the types that the plan gives.

Nothing is guessed when a flow runs. A CSV's header is read here and every column is named with its type, so the
same text gives the same rows whatever the first lines happen to hold; a value that does not fit is an error, never
rounded or cut off to fit (strict.py).
"""

import csv
import gzip
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

from apps.engine import paths, strict
from apps.engine.errors import SourceMissing, SourceUnreadable
from apps.engine.types import sql_type
from apps.language.plan import Column, Schema, SourceTable
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
            read = f"read_json({_list(files)}, format = '{layout}', columns = {{{_columns(source.columns)}}})"
            return _converted(read, source.columns)


def text_scan_sql(workspace: Path, source: SourceTable, file: Path) -> str:
    """One file of a CSV or JSON source with each value as its text, as SQL that can stand after FROM; rows are in order
    when it is read by one thread."""
    if source.kind == "csv":
        options = dict(source.options)
        names = _csv_names(workspace, file, source.columns, options)
        spelled = _columns([Column(name, TEXT) for name in names])
        return f"read_csv({_list([file])}, auto_detect = false, {dialect_of(file, options)}, columns = {{{spelled}}})"
    layout = "newline_delimited" if source.kind == "jsonl" else "auto"
    texts = _columns([Column(column.name, TEXT) for column in source.columns])
    return f"read_json({_list([file])}, format = '{layout}', columns = {{{texts}}})"


def _columns(columns: Iterable[Column]) -> str:
    """Names and types as the readers take them; what is converted by us is read as text."""
    return ", ".join(f"{quote(each.name)}: {quote(type_name(strict.read_as(each.type)))}" for each in columns)


def _converted(read: str, columns: Schema) -> str:
    """The relation with each text in its column's type."""
    changed = [
        f"{strict.value_of(each)} AS {identifier(each.name)}" for each in columns if strict.is_converted(each.type)
    ]
    return f"(SELECT * REPLACE ({', '.join(changed)}) FROM {read})" if changed else read


def find(workspace: Path, kind: str, path: str) -> list[Path]:
    """The files of a source, sorted. Raises SourceMissing if there is none, SourceUnreadable if one is not to be read."""
    found = paths.expand(workspace, path)
    if not found:
        raise _missing(workspace, path)
    for file in found:
        name = paths.relative(str(file), workspace)
        try:
            with file.open("rb") as bytes_:
                is_empty = not bytes_.read(1)
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
    if mark:
        arguments.append("allow_quoted_nulls = false")  # `""` is the empty text, not null
    if "null" in options:
        arguments.append(f"nullstr = {quote(options['null'])}")
    if options.get("skip"):
        arguments.append(f"skip = {options['skip']}")
    return ", ".join(arguments)


def dialect_of(file: Path, options: Mapping[str, Any]) -> str:
    """The dialect for one file, which may have empty lines before its header."""
    return csv_dialect({**options, "skip": int(options.get("skip", 0)) + _empty_lines(file, options)})


def _empty_lines(file: Path, options: Mapping[str, Any]) -> int:
    """How many empty lines stand before the header: to DuckDB the first of them would be it."""
    if not options.get("header", True):
        return 0
    with opened(file) as text:
        for _ in range(int(options.get("skip", 0))):
            text.readline(HEADER_LIMIT)
        number = 0
        while (line := text.readline(HEADER_LIMIT)) and not line.strip("\r\n"):
            number += 1
    return number


def opened(file: Path) -> IO[str]:
    """The file's text, unpacked where it is packed, without a byte order mark."""
    opener: Any = gzip.open if file.suffix == ".gz" else open
    text: IO[str] = opener(file, "rt", encoding="utf-8-sig", newline="")
    return text


def _csv_scan(workspace: Path, files: list[Path], columns: Schema, options: Mapping[str, Any]) -> str:
    """One read_csv for all files whose header is the same; files may order their columns differently."""
    types = {column.name: column.type for column in columns}
    groups: dict[tuple[str, tuple[str, ...]], list[Path]] = {}
    for file in files:
        names = tuple(_csv_names(workspace, file, columns, options))
        groups.setdefault((dialect_of(file, options), names), []).append(file)
    scans = []
    for (dialect, names), alike in groups.items():
        spelled = _columns([Column(name, types.get(name, TEXT)) for name in names])
        scans.append(f"read_csv({_list(alike)}, auto_detect = false, {dialect}, columns = {{{spelled}}})")
    if len(scans) == 1:
        return _converted(scans[0], columns)
    wanted = ", ".join(identifier(column.name) for column in columns)
    united = "(" + " UNION ALL ".join(f"SELECT {wanted} FROM {scan}" for scan in scans) + ")"
    return _converted(united, columns)


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


def csv_rows(text: IO[str], options: Mapping[str, Any]) -> Any:
    """A `csv.reader` of an opened file, behind the lines that are skipped; an empty line gives an empty row."""
    for _ in range(int(options.get("skip", 0))):
        text.readline(HEADER_LIMIT)
    mark = options.get("quote", '"')
    return csv.reader(
        iter(lambda: text.readline(HEADER_LIMIT), ""),
        delimiter=options.get("delimiter", ","),
        quotechar=mark or None,
        quoting=csv.QUOTE_MINIMAL if mark else csv.QUOTE_NONE,
    )


def csv_header(workspace: Path, file: Path, options: Mapping[str, Any]) -> list[str]:
    """The names in a CSV file's header line. Raises SourceUnreadable if there is none that can be read."""
    where = paths.relative(str(file), workspace)
    try:
        with opened(file) as text:
            names: list[str] = next((row for row in csv_rows(text, options) if row), [])
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


def file_name(file: Path) -> str:
    """One file as DuckDB takes it: it would read a name with `*`, `?` or `[` as a pattern, also where that file is there."""
    return quote(re.sub(r"([*?\[])", r"[\1]", str(file)))


def _list(files: Iterable[Path]) -> str:
    return "[" + ", ".join(map(file_name, files)) + "]"


def type_name(type_: Type) -> str:
    """The type in DuckDB's spelling."""
    return sql_type(type_)
