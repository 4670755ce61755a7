"""DuckDB's and the system's errors → what a person is told: what happened, where, and what to do next."""

import errno
import json
import re
from dataclasses import dataclass
from pathlib import Path

from apps.engine import duck, paths
from apps.engine.errors import (
    BadValue,
    ComputeFailed,
    DiskFull,
    EngineError,
    LookupAmbiguous,
    NotWritable,
    OutOfMemory,
    PathRefused,
    SourceUnreadable,
    TemporarySpaceFull,
)
from apps.engine.limits import MIB, Limits
from apps.engine.schemas import SAMPLE_ROWS
from apps.language.plan import Plan, SourceTable

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run was when something failed."""

    workspace: Path
    limits: Limits
    plan: Plan | None = None
    steps: tuple[str, ...] = ()  # that were being computed


def explain(error: BaseException, place: Place) -> EngineError:
    """The error that a person sees. Unknown ones keep their own first line."""
    match error:
        case EngineError():
            return error
        case MemoryError() | duck.OutOfMemoryException():
            return _out_of_memory(str(error), place)
        case duck.PermissionException():
            return _refused(str(error), place)
        case duck.Error():
            return _from_duckdb(error, place)
        case OSError():
            return _from_system(error, place)
        case _:
            return EngineError(
                f"The engine failed: {type(error).__name__}: {paths.relative(str(error), place.workspace)}",
                hint="This is a defect of the engine, not of the flow: please report it with the flow's text.",
            )


# --- limits ----------------------------------------------------------------------------------


def out_of_memory(limits: Limits) -> OutOfMemory:
    return OutOfMemory(
        f"The flow needed more than {limits.memory_bytes // MIB} MB of memory.",
        hint="Give it more memory, or let it hold less at once: filter before joins, group before sorts, "
        "and look for a join that multiplies rows.",
    )


def _out_of_memory(text: str, place: Place) -> EngineError:
    if "max_temp_directory_size" in text:
        return TemporarySpaceFull(
            f"The flow needed more than {place.limits.temp_bytes // MIB} MB of temporary disk.",
            hint="Give it more, or let it sort and group fewer rows: filter earlier and keep fewer columns.",
        )
    return out_of_memory(place.limits)


def disk_full(what: str) -> DiskFull:
    return DiskFull(
        f"The disk is full: {what} could not be written.",
        hint="Make room on the workspace's disk and run again; the earlier outputs are untouched.",
    )


def _from_system(error: OSError, place: Place) -> EngineError:
    name = paths.relative(str(error.filename or "a file"), place.workspace)
    if error.errno in FULL:
        return disk_full(name if error.filename and paths.STATE_FOLDER not in name else "an output")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return NotWritable(
            f"'{name}' cannot be written: {error.strerror}.",
            hint="Give the account that runs flows the right to write there.",
        )
    return EngineError(f"{error.strerror or error}: {name}", hint="See whether the workspace's disk is healthy.")


# --- what DuckDB says --------------------------------------------------------------------------


def _from_duckdb(error: duck.Error, place: Place) -> EngineError:
    text = str(error)
    if found := re.search(r"CSV Error on Line: (\d+)", text):
        return _bad_csv(text, int(found[1]), place)
    if found := re.search(r'(JSON transform error|Malformed JSON) in file "(.+?)",.* line (\d+)', text):
        return _bad_json(text, found[2], int(found[3]), place)
    if re.search(rf'"errno":"({"|".join(map(str, FULL))})"', text) or "No space left on device" in text:
        return disk_full("an output")
    if "Permission denied" in text:
        return NotWritable(
            f"A file cannot be opened: {_first_line(text, place)}",
            hint="Give the account that runs flows the right to read and write in the workspace.",
        )
    if "More than one row returned by a subquery" in text:
        return _located(
            LookupAmbiguous(
                "A lookup found more than one match for a row.",
                hint="Make the key of the looked-up table unique (dedupe it), or use a left join if several are meant.",
            ),
            place,
        )
    if "Parquet" in text or "magic bytes" in text or isinstance(error, duck.BinderException):
        return _bad_source(text, place)
    return _located(
        ComputeFailed(
            f"{_in_steps(place)}: {_first_line(text, place)}",
            hint="Use the tolerant functions (try_int, try_decimal, …) or filter out the rows that cannot be computed.",
        ),
        place,
    )


def _refused(text: str, place: Place) -> EngineError:
    found = re.search(r'"(.+?)"', text)
    name = paths.relative(found[1], place.workspace) if found else "a file"
    return PathRefused(
        f"'{name}' may not be read or written: it leads out of the workspace.",
        hint="Copy the file into the workspace: a flow reads and writes nothing else.",
    )


def _bad_csv(text: str, line: int, place: Place) -> EngineError:
    """A CSV value or line that is not what the plan says, with file, line, column, and the cure."""
    path = _after(r"^\s*file = (.+)$", text)
    name = paths.relative(path, place.workspace)
    source = _source_of(name, place)
    value = re.search(r'Could not convert string "(.*?)" to', text, re.DOTALL)
    column = _after(r'Error when converting column "(.+?)"\.', text)
    if value and column:
        return misfit(name, line, column, value[1], source)
    if count := re.search(r"Expected Number of Columns: (\d+) Found: (\d+)", text):
        return _at_source(
            SourceUnreadable(
                f"{name}, line {line}: {count[2]} values where the header line names {count[1]} columns.",
                hint="Correct the line; a value that holds the delimiter or a line end must be in quotes.",
            ),
            source,
        )
    if "unicode" in text or "utf-8" in text:
        return _at_source(
            SourceUnreadable(
                f"{name}, line {line}: the text is not UTF-8.",
                hint="Save the file as UTF-8 (for example with `iconv -f LATIN1 -t UTF-8`).",
            ),
            source,
        )
    reason = _after(r"^(Value with unterminated quote found|.*[Mm]aximum line size.*)", text) or "the line is no CSV"
    hint = "Correct the line, or say how the file is written with the options delimiter and quote."
    return _at_source(SourceUnreadable(f"{name}, line {line}: {reason[0].lower()}{reason[1:]}.", hint=hint), source)


def misfit(name: str, line: int, column: str, value: str, source: SourceTable | None) -> BadValue:
    """A value of a file that is not of its column's type."""
    wanted = _type_of(source, column)
    guessed = source is not None and not source.declared
    why = f" (the type was found in the file's first {SAMPLE_ROWS:,} rows)" if guessed else ""
    return _at_source(
        BadValue(
            f"{name}, line {line}, column '{column}': '{_short(value)}' is not {_article(wanted)}{why}.",
            hint=f"Correct the value, or read the column as text ({{ columns: {{ …, {column}: text }} }}) "
            f"and turn it into {_article(wanted)} with try_{wanted.partition('(')[0]}, which gives null for what is none.",
        ),
        source,
    )


def _bad_json(text: str, path: str, line: int, place: Place) -> EngineError:
    name = paths.relative(path, place.workspace)
    source = _source_of(name, place)
    reason = re.search(r"line \d+: (.*?)\.?\s*$", text, re.MULTILINE)
    said = reason[1] if reason else "the line is no JSON"
    column = _json_column(Path(path), line, said, source)
    if column and source is not None:
        wanted = _type_of(source, column)
        return _at_source(
            BadValue(
                f"{name}, line {line}, column '{column}': {said[0].lower()}{said[1:]}; {_article(wanted)} is expected.",
                hint="Correct the value, or read the column as text and turn it with one of the tolerant functions.",
            ),
            source,
        )
    return _at_source(
        SourceUnreadable(
            f"{name}, line {line}: {said[0].lower()}{said[1:]}.",
            hint="Each line must hold one JSON object with the source's columns.",
        ),
        source,
    )


def _json_column(path: Path, line: int, said: str, source: SourceTable | None) -> str:
    """The column whose value is the one that was complained of; empty if it cannot be told."""
    quoted = said.partition(": ")[2]
    try:
        with path.open(encoding="utf-8") as opened:
            row = json.loads(next(text for number, text in enumerate(opened, start=1) if number == line))
    except (OSError, ValueError, StopIteration):
        return ""
    columns = [column.name for column in source.columns] if source else []
    return next((name for name in columns if name in row and json.dumps(row[name]) == quoted), "")


def _bad_source(text: str, place: Place) -> EngineError:
    path = _after(r"file [\"']?([^\"'\n]+?)[\"']? ?(?:$|too small|:)", text) or _after(r"'(/[^']+)'", text)
    name = paths.relative(path, place.workspace)
    if found := re.search(r'Referenced column "(.+?)" not found', text):
        return EngineError(
            f"{_in_steps(place)}: a file no longer has the column '{found[1]}' that it had when the flow was checked.",
            hint="Check the flow again (flow check), or write out the columns that it needs.",
        )
    return _at_source(
        SourceUnreadable(
            f"{f"'{name}'" if name else 'A source'} cannot be read: {_first_line(text, place)}",
            hint="See whether the file is complete and in the format that the source says.",
        ),
        _source_of(name, place),
    )


# --- words ---------------------------------------------------------------------------------------


def _source_of(name: str, place: Place) -> SourceTable | None:
    """The source that reads this file."""
    for source in place.plan.sources if place.plan else ():
        if name == source.path or name in {
            paths.relative(str(file), place.workspace) for file in paths.expand(place.workspace, source.path)
        }:
            return source
    return None


def _type_of(source: SourceTable | None, column: str) -> str:
    for each in source.columns if source else ():
        if each.name == column:
            return str(each.type)
    return "value of its type"


def _article(word: str) -> str:
    return f"an {word}" if word[0] in "aeiou" else f"a {word}"


def _at_source[E: EngineError](error: E, source: SourceTable | None) -> E:
    if source is not None:
        error.line, error.column = source.span.line, source.span.column
    return error


def _located[E: EngineError](error: E, place: Place) -> E:
    """Point at the step, if it is known which one it was."""
    if place.plan is not None and len(place.steps) == 1:
        span = next((step.span for step in place.plan.steps if step.name == place.steps[0]), None)
        if span is not None:
            error.line, error.column = span.line, span.column
    return error


def _in_steps(place: Place) -> str:
    if not place.steps:
        return "While the flow ran"
    names = ", ".join(f"'{name}'" for name in place.steps)
    return f"In step {names}" if len(place.steps) == 1 else f"In one of the steps {names}"


def _first_line(text: str, place: Place) -> str:
    """DuckDB's own sentence without its kind, its advice to DuckDB's users, and paths outside of the workspace."""
    line = paths.relative(text, place.workspace).partition("\n")[0]
    return re.sub(r"^[A-Z][A-Za-z ]+ Error: ", "", line).removesuffix(".") + "."


def _after(pattern: str, text: str) -> str:
    found = re.search(pattern, text, re.MULTILINE)
    return found[1] if found else ""


def _short(value: str) -> str:
    return value if len(value) <= 60 else value[:57] + "…"
