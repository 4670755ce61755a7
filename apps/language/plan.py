"""The checked plan: what the checker hands to an engine. Everything is resolved, typed and lowered.

Names are resolved to columns, `fn`s are expanded, `??`, `between`, `in` and casts are functions, and the
operations are lowered to the few shapes below: derive, select, drop, rename and cast are all `Project`.
Dataclasses are immutable, compare by value, and carry the span of the text they came from.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any
from typing import Literal as Choice

from apps.language.diagnostics import Span
from apps.language.types import Type

# --- typed expressions ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Typed:
    type: Type
    span: Span = field(kw_only=True, compare=False, repr=False, default=Span())


@dataclass(frozen=True, slots=True)
class Const(Typed):
    """A Python value of the type: bool, int, float, Decimal, str, date, datetime, timedelta, None."""

    value: Any


@dataclass(frozen=True, slots=True)
class ColumnRef(Typed):
    """A column of the operation's input; in a Join's test `side` 1 is the right input, else 0."""

    name: str
    side: Choice[0, 1] = 0


@dataclass(frozen=True, slots=True)
class ParamValue(Typed):
    """The value of a parameter, bound when the flow runs."""

    name: str


@dataclass(frozen=True, slots=True)
class Apply(Typed):
    """A scalar function or operator of the registry (apps/language/functions.py), by its name.

    Operators have names too: add subtract multiply divide div mod negate, eq ne lt le gt ge, and or not,
    is_null, coalesce, case (test, value, test, value, …, else), between (value, low, high), in (value, item, …),
    field (struct, Const name), list (items), struct (Const name, value, …), cast (value; to `type`), try_cast: all
    `to_…` and `try_…` are these two. `if` is a case. `today` and `now` have no arguments: the engine binds the run's
    logical time. Arguments are already cast where the rules ask for it.
    """

    function: str
    args: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class Aggregate(Typed):
    """An aggregate function over the rows of a group; `count` without arguments counts rows.

    `order` is set for first, last, string_agg and list_agg alone: the order in which they take the rows. It is never
    empty there: the sort that stands before the group, or for string_agg and list_agg the value itself.
    """

    function: str
    args: tuple["Expression", ...]
    order: tuple["OrderKey", ...] = ()


@dataclass(frozen=True, slots=True)
class WindowCall(Typed):
    """A window function (`row_number`, `lag`, …) or an aggregate, over the window of its operation."""

    function: str
    args: tuple["Expression", ...]


Expression = Const | ColumnRef | ParamValue | Apply | Aggregate | WindowCall

# --- relations -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    type: Type


Schema = tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class OrderKey:
    """Nulls are last in either direction."""

    value: Expression
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Filter:
    test: Expression
    span: Span = field(compare=False, repr=False, default=Span())


@dataclass(frozen=True, slots=True)
class Project:
    """The operation's whole output, in order."""

    columns: tuple[tuple[str, Expression], ...]
    span: Span = field(compare=False, repr=False, default=Span())


@dataclass(frozen=True, slots=True)
class JoinTo:
    """Join the input (side 0) with `right` (side 1), a source or step.

    Output: the input's columns, then `bring` (name, right column). `lookup` is a left join in which more than
    one match is an error at run time. `full` keeps both; semi and anti bring nothing.
    """

    kind: Choice["left", "inner", "full", "semi", "anti", "cross", "lookup"]
    right: str
    test: Expression | None
    bring: tuple[tuple[str, ColumnRef], ...]
    span: Span = field(compare=False, repr=False, default=Span())


@dataclass(frozen=True, slots=True)
class GroupTo:
    """Output: keys, then columns (expressions over Aggregate nodes and keys).

    Outside of an Aggregate a ColumnRef of `columns` is a key, by the key's name; inside, and in `keys`, it is a
    column of the input.
    """

    keys: tuple[tuple[str, Expression], ...]
    columns: tuple[tuple[str, Expression], ...]
    span: Span = field(compare=False, repr=False, default=Span())


@dataclass(frozen=True, slots=True)
class WindowTo:
    """Output: the input's columns, then `columns` (expressions over WindowCall nodes).

    `frame` is (low, high) in rows around the current one, None unbounded; None when none was written: with an
    order from the first row to the current one, else the whole partition.
    """

    partition: tuple[Expression, ...]
    order: tuple[OrderKey, ...]
    frame: tuple[int | None, int | None] | None
    columns: tuple[tuple[str, Expression], ...]
    span: Span = field(compare=False, repr=False, default=Span())


@dataclass(frozen=True, slots=True)
class SortBy:
    keys: tuple[OrderKey, ...]
    span: Span = field(compare=False, repr=False, default=Span())


@dataclass(frozen=True, slots=True)
class TakeRows:
    """The first `count` rows (of each `by`) in `order`, the sort that stands before it in the step."""

    count: int
    by: tuple[Expression, ...]
    order: tuple[OrderKey, ...]
    span: Span = field(compare=False, repr=False, default=Span())


@dataclass(frozen=True, slots=True)
class DistinctRows:
    span: Span = field(compare=False, repr=False, default=Span())


@dataclass(frozen=True, slots=True)
class DedupeRows:
    by: tuple[Expression, ...]
    keep: Choice["first", "last"]
    order: tuple[OrderKey, ...]
    span: Span = field(compare=False, repr=False, default=Span())


@dataclass(frozen=True, slots=True)
class UnionWith:
    """Rows of `other` below, matched by name; both sides have the same names. `casts` align the types:
    the output schema in order, each (name, expression over side 0, expression over side 1)."""

    other: str
    columns: tuple[tuple[str, Expression, Expression], ...]
    span: Span = field(compare=False, repr=False, default=Span())


Operation = Filter | Project | JoinTo | GroupTo | WindowTo | SortBy | TakeRows | DistinctRows | DedupeRows | UnionWith


@dataclass(frozen=True, slots=True)
class Parameter:
    """`low`/`high`/`allow` are constants or expressions without columns, of the parameter's type."""

    name: str
    type: Type
    default: Expression | None
    allow: tuple[Expression, ...] | None = None
    low: Expression | None = None
    high: Expression | None = None
    span: Span = field(compare=False, repr=False, default=Span())


@dataclass(frozen=True, slots=True)
class SourceTable:
    """`path` is relative to the workspace and may hold a glob. `declared`: the columns were written out."""

    name: str
    kind: str
    path: str
    columns: Schema
    declared: bool
    options: tuple[tuple[str, Any], ...] = ()
    span: Span = field(compare=False, repr=False, default=Span())


@dataclass(frozen=True, slots=True)
class StepTable:
    """`schemas[i]` is the schema after operation i. `columns` is the step's own. `ordered`: it ends in a sort."""

    name: str
    input: str
    operations: tuple[Operation, ...]
    schemas: tuple[Schema, ...]
    columns: Schema
    ordered: bool
    span: Span = field(compare=False, repr=False, default=Span())


@dataclass(frozen=True, slots=True)
class Check:
    """One expectation on a step.

    `kind` row: `test` is true/false for each row, null passes. unique: `columns` together appear once.
    references: `columns` exist in `other`.`other_columns`. row_count: `test` over Aggregate count. freshness:
    `test` over Aggregate max. `label` is the rule as it was written.
    """

    step: str
    kind: Choice["row", "unique", "references", "table"]
    label: str
    test: Expression | None
    columns: tuple[str, ...]
    severity: Choice["fail", "warn"]
    max_fraction: Decimal | None  # of the rows, 0..1, exactly; more is a failure whatever the severity
    other: str = ""
    other_columns: tuple[str, ...] = ()
    span: Span = field(compare=False, repr=False, default=Span())


@dataclass(frozen=True, slots=True)
class SinkTable:
    step: str
    kind: str
    path: str
    mode: Choice["replace", "append"]
    partition_by: tuple[str, ...] = ()
    options: tuple[tuple[str, Any], ...] = ()
    span: Span = field(compare=False, repr=False, default=Span())


@dataclass(frozen=True, slots=True)
class TestTable:
    """Rows of Python values, as Const.value has them, in the order of `columns`."""

    name: str
    columns: Schema
    rows: tuple[tuple[Any, ...], ...]
    span: Span = field(compare=False, repr=False, default=Span())


@dataclass(frozen=True, slots=True)
class TestCase:
    """`given` holds every source that the tested steps need, with all its columns (missing ones null)."""

    title: str
    params: tuple[tuple[str, Expression], ...]
    given: tuple[TestTable, ...]
    then: tuple[TestTable, ...]
    span: Span = field(compare=False, repr=False, default=Span())


@dataclass(frozen=True, slots=True)
class Settings:
    description: str = ""
    owner: str = ""
    tags: tuple[str, ...] = ()
    schedule: str = ""
    timezone: str = "UTC"
    retries: int = 0
    retry_delay: timedelta = timedelta(0)
    timeout: timedelta | None = None
    concurrency: int | None = None
    engine: Choice["auto", "duckdb", "spark"] = "auto"
    memory_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """A checked flow. `steps` are in an order in which each comes after what it reads."""

    name: str
    settings: Settings
    params: tuple[Parameter, ...]
    sources: tuple[SourceTable, ...]
    steps: tuple[StepTable, ...]
    checks: tuple[Check, ...]
    sinks: tuple[SinkTable, ...]
    tests: tuple[TestCase, ...]

    def schema_of(self, name: str) -> Schema:
        """The columns of a source or step."""
        tables: tuple[SourceTable | StepTable, ...] = (*self.sources, *self.steps)
        for table in tables:
            if table.name == name:
                return table.columns
        raise KeyError(name)

    def inputs_of(self, step: StepTable) -> tuple[str, ...]:
        """What a step reads: its input, and what it joins or unions; each once, in order."""
        names = [step.input]
        for operation in step.operations:
            match operation:
                case JoinTo(right=right):
                    names.append(right)
                case UnionWith(other=other):
                    names.append(other)
        return tuple(dict.fromkeys(names))
