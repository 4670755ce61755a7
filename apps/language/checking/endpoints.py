"""Sources and sinks: kinds, paths, options."""

from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from apps.language import plan as p
from apps.language import tree as t
from apps.language.checking import options as o
from apps.language.checking.findings import Findings, closest, guess, listing
from apps.language.checking.places import Relation
from apps.language.checking.schemas import SchemaReader, SchemaUnavailable
from apps.language.diagnostics import Span
from apps.language.types import Kind, Type

KINDS = ("csv", "jsonl", "parquet")
LATER = ("json", "excel", "table", "http", "flow")
_OWN_FOLDER = ".flowcontrol"  # where runs are staged
_GLOB = set("*?[]{}")

Readers = Mapping[str, Callable[[Any], Any]]

SOURCE_OPTIONS: Mapping[str, Readers] = {
    "csv": {
        "delimiter": o.one_character,
        "quote": o.one_character_or_none,
        "escape": o.one_character_or_none,
        "header": o.boolean,
        "null": o.text,
        "skip": o.whole_number(0, 1_000_000),
    },
    "jsonl": {},
    "parquet": {},
}
SINK_OPTIONS: Mapping[str, Readers] = {
    "csv": {
        "delimiter": o.one_character,
        "quote": o.one_character,
        "escape": o.one_character,
        "header": o.boolean,
        "null": o.text,
    },
    "jsonl": {},
    "parquet": {
        "compression": o.choice("zstd", "snappy", "gzip", "uncompressed"),
        "row_group_size": o.whole_number(2048, 10_000_000),
    },
}
_UNFIT: Mapping[str, tuple[Kind, ...]] = {
    "csv": (Kind.LIST, Kind.STRUCT, Kind.DURATION),
    "jsonl": (Kind.DURATION,),
    "parquet": (),
}
_SINK_COMMON = ("mode", "partition_by", "key")
_MODES = ("replace", "append", "merge", "error_if_exists")


class Endpoints:
    """Checks sources and sinks of one flow."""

    def __init__(self, findings: Findings, read_schema: SchemaReader) -> None:
        self.findings = findings
        self.read_schema = read_schema

    # --- sources -----------------------------------------------------------------------------

    def source(self, source: t.Source) -> tuple[p.SourceTable, Relation]:
        """The source, and its columns: those written out, or what the reader finds."""
        kind, path = self._kind(source.endpoint, "source", "E901"), None
        declared = self._declared(source)
        options: dict[str, Any] = {}
        if kind is not None:
            path = self._path(source.endpoint)
            options = self._options(source.options, SOURCE_OPTIONS[kind], f"{kind} source", ("columns",))
        columns: p.Schema = ()
        is_open = True
        if declared is not None:
            columns, is_open = declared, False
        elif kind is not None and path is not None:
            columns, is_open = self._read(source, kind, path, options)
        table = p.SourceTable(
            source.name, kind or "", path or "", columns, declared is not None, tuple(options.items()), span=source.span
        )
        return table, Relation(columns, is_open)

    def _declared(self, source: t.Source) -> p.Schema | None:
        """The columns that are written out; None if they are left to the file."""
        for option in source.options:
            if option.key == "columns" and isinstance(option.value, t.ColumnsMap):
                return self._columns(option.value, source.endpoint.kind)
            if option.key == "columns":
                hint = "columns: { id: int, name: text }"
                self.findings.error("E402", "columns: names with types are needed", option.value.span, hint)
                return None
        return None

    def _columns(self, written: t.ColumnsMap, kind: str) -> p.Schema:
        columns: dict[str, Type] = {}
        for name, type_, span in written.columns:
            if name in columns:
                self.findings.error("E208", f"column '{name}' is given twice", span, "keep one of the two")
            if type_.kind in _UNFIT.get(kind, ()):
                self.findings.error("E402", f"a {kind} file has no columns of type {type_}", span, "read it as text")
            columns[name] = type_
        if not columns:
            self.findings.error("E402", "columns: at least one is needed", written.span, "or leave them to the file")
        return tuple(p.Column(*pair) for pair in columns.items())

    def _read(self, source: t.Source, kind: str, path: str, options: dict[str, Any]) -> tuple[p.Schema, bool]:
        try:
            return tuple(self.read_schema(kind, path, options)), False
        except SchemaUnavailable as problem:
            hint = problem.hint or "write the columns out: columns: { id: int, name: text }"
            message = f"the columns of source '{source.name}' are not known: {problem.message.rstrip('.')}"
            self.findings.error("E407", message, source.endpoint.span, hint)
            return (), True

    # --- sinks -------------------------------------------------------------------------------

    def sink(self, sink: t.Sink, relation: Relation) -> p.SinkTable | None:
        """The sink, None where it is in error."""
        before = self.findings.error_count
        kind = self._kind(sink.endpoint, "sink", "E902")
        path = self._path(sink.endpoint, glob=False) if kind is not None else None
        if kind is None:
            return None
        options = self._options(sink.options, SINK_OPTIONS[kind], f"{kind} sink", _SINK_COMMON)
        mode = self._mode(sink)
        partition_by = self._partition(sink, relation)
        self._fits_kind(sink, kind, relation)
        if path is None or mode is None or self.findings.error_count > before:
            return None
        return p.SinkTable(
            sink.step.name, kind, path, mode, partition_by, tuple(options.items()), span=sink.span
        )  # fmt: skip

    def _mode(self, sink: t.Sink) -> Any:
        """`replace` unless another is given."""
        given = {option.key: option for option in sink.options}
        if "mode" not in given:
            self._key(given, "replace")
            return "replace"
        option = given["mode"]
        try:
            mode = o.one_of(option.value, _MODES)
        except o.OptionError as problem:
            self.findings.error(problem.code, f"mode: {problem}", option.value.span, problem.hint)
            return None
        if mode not in ("replace", "append"):
            hint = "a file is replaced as a whole, or `append` adds one file a run to a folder"
            self.findings.error("E905", f"the sink mode {mode} is not supported yet", option.value.span, hint)
            return None
        self._key(given, mode)
        return mode

    def _key(self, given: Mapping[str, t.Option], mode: str) -> None:
        if "key" in given:
            option = given["key"]
            self.findings.error("E401", f"`key` belongs to `mode: merge`, not to {mode}", option.span, "leave it out")

    def _partition(self, sink: t.Sink, relation: Relation) -> tuple[str, ...]:
        option = next((option for option in sink.options if option.key == "partition_by"), None)
        if option is None:
            return ()
        try:
            names = o.names(option.value)
        except o.OptionError as problem:
            self.findings.error(problem.code, f"partition_by: {problem}", option.value.span, problem.hint)
            return ()
        found: list[str] = []
        for name in names:
            self._partition_column(sink, name, found, relation)
            found.append(name.name)
        if not relation.open and set(found) >= set(relation.names):
            hint = "leave at least one column for the files"
            self.findings.error("E422", "all columns are in partition_by", option.value.span, hint)
        return tuple(found)

    def _partition_column(self, sink: t.Sink, name: t.Name, found: list[str], relation: Relation) -> None:
        column = relation.get(name.name)
        if column is None:
            hint = guess(name.name, relation.names, "its columns")
            message = f"unknown column '{name.name}' in step '{sink.step.name}'"
            self.findings.error("E203", message, name.span, hint)
        elif column.type.kind in (Kind.LIST, Kind.STRUCT, Kind.JSON):
            hint = "folders are named after texts, numbers, dates"
            self.findings.error("E422", f"'{name.name}' of type {column.type} cannot name folders", name.span, hint)
        if name.name in found:
            self.findings.error("E208", f"column '{name.name}' is given twice", name.span)

    def _fits_kind(self, sink: t.Sink, kind: str, relation: Relation) -> None:
        """A csv has no lists, and only parquet has durations."""
        for column in relation.columns:
            if column.type.kind in _UNFIT[kind]:
                is_wait = column.type.kind is Kind.DURATION
                hint = "use parquet, or a number: seconds_between(…)" if is_wait else "use jsonl or parquet"
                message = f"column '{column.name}' of type {column.type} cannot be written to {kind}"
                self.findings.error("E423", message, sink.span, hint)

    # --- both --------------------------------------------------------------------------------

    def _kind(self, endpoint: t.Endpoint, what: str, code: str) -> str | None:
        span = endpoint.kind_span if endpoint.kind_span.end else endpoint.span
        if endpoint.kind in KINDS:
            return endpoint.kind
        if endpoint.kind in LATER:
            hint = f"for now: {listing(KINDS)}"
            self.findings.error(code, f"the {what} kind '{endpoint.kind}' is not supported yet", span, hint)
            return None
        meant = closest(endpoint.kind, (*KINDS, *LATER))
        hint = (f"did you mean '{meant}'? " if meant else "") + f"kinds: {listing(KINDS)}"
        self.findings.error("E410", f"unknown kind of {what} '{endpoint.kind}'", span, hint)
        return None

    def _options(
        self, written: tuple[t.Option, ...], readers: Readers, what: str, common: tuple[str, ...]
    ) -> dict[str, Any]:
        """The options that belong to the kind, with their values; `common` ones are read elsewhere."""
        values: dict[str, Any] = {}
        seen: set[str] = set()
        known = [*common, *readers]
        for option in written:
            span = option.key_span if option.key_span.end else option.span
            if option.key in seen:
                self.findings.error("E401", f"the option '{option.key}' is given twice", span, "keep one of the two")
            seen.add(option.key)
            if option.key not in known:
                meant = closest(option.key, known)
                hint = (f"did you mean '{meant}'? " if meant else "") + f"options of a {what}: {listing(known)}"
                self.findings.error("E401", f"unknown option '{option.key}' of a {what}", span, hint)
            elif option.key in readers:
                try:
                    values[option.key] = readers[option.key](option.value)
                except o.OptionError as problem:
                    self.findings.error(problem.code, f"{option.key}: {problem}", option.value.span, problem.hint)
        return values

    def _path(self, endpoint: t.Endpoint, *, glob: bool = True) -> str | None:
        if len(endpoint.args) != 1 or not isinstance(o.plain(endpoint.args[0]), t.Text):
            hint = f'{endpoint.kind}("folder/file.{endpoint.kind}")'
            message = f"{endpoint.kind} takes one path, a text"
            self.findings.error("E403", message, endpoint.span, hint)
            return None
        written = o.plain(endpoint.args[0])
        problem = path_problem(written.value)
        if problem:
            code, message, hint = problem
            self.findings.error(code, message, written.span, hint)
            return None
        if not glob and _GLOB & set(written.value):
            hint = "a sink writes one file, or the folder that it names"
            self.findings.error("E406", "a sink's path has no wildcards", written.span, hint)
            return None
        return normal(written.value)


def path_problem(path: str) -> tuple[str, str, str] | None:
    """Why a path cannot be used: code, message and hint. Paths are relative to the workspace and stay inside."""
    inside = "paths are relative to the workspace, with `/` between the folders: in/orders.csv"
    if not path.strip() or path.endswith("/") or any(ord(sign) < 32 for sign in path):
        return "E403", "this is not a path of a file", inside
    if "://" in path or path[:2].endswith(":"):
        return "E404", "a path is a file of the workspace, not an address", inside
    if path.startswith(("/", "~", "\\")):
        return "E404", "a path cannot be absolute", inside
    if ".." in path.replace("\\", "/").split("/"):
        return "E404", "a path cannot lead out of the workspace by `..`", inside
    if normal(path).split("/")[0] == _OWN_FOLDER:
        return "E404", f"the folder {_OWN_FOLDER} belongs to Flow Control", "choose another folder"
    return None


def normal(path: str) -> str:
    """`./in//x.csv` is `in/x.csv`."""
    return "/".join(part for part in path.split("/") if part not in ("", "."))


def warn_of_replaced_sources(
    sinks: list[tuple[t.Sink, p.SinkTable]], sources: Iterable[p.SourceTable], findings: Findings
) -> None:
    """Warn of a sink that replaces what the flow itself reads: run again, it reads its own result."""
    for sink, lowered in sinks:
        for source in sources:
            if lowered.mode == "replace" and _replaces(lowered, source.path):
                message = f"this sink replaces '{lowered.path}', which the source '{source.name}' reads"
                hint = "write to another path; then the input is still there when the flow runs again"
                findings.warning("W608", message, sink.endpoint.span, hint)
                break


def _replaces(sink: p.SinkTable, read: str) -> bool:
    if sink.partition_by:
        return read.startswith(sink.path + "/")
    return sink.path == read or matches(sink.path, read)


def matches(path: str, pattern: str) -> bool:
    """Whether a source that reads `pattern` reads `path`, too: `**` stands for any number of folders."""
    if "**" in pattern.split("/"):
        return fnmatchcase(path, pattern) or fnmatchcase(path, pattern.replace("**/", ""))
    ours, theirs = path.split("/"), pattern.split("/")
    return len(ours) == len(theirs) and all(map(fnmatchcase, ours, theirs))


def check_targets(sinks: list[tuple[t.Sink, p.SinkTable]], findings: Findings) -> None:
    """Two sinks may not write the same file, nor one into the folder of another."""
    seen: list[tuple[str, Span]] = []
    for sink, lowered in sinks:
        for path, first in seen:
            same = path == lowered.path
            if same or path.startswith(lowered.path + "/") or lowered.path.startswith(path + "/"):
                also = "that path too" if same else f"'{path}', and one of the two is a folder around the other"
                message = f"this sink writes '{lowered.path}'; the one in line {first.line} writes {also}"
                findings.error("E405", message, sink.endpoint.span, "give each sink a path of its own")
                break
        seen.append((lowered.path, sink.endpoint.span))
