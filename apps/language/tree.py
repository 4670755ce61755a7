"""The tree of a flow's text, as the parser builds it: what was written, with positions, nothing resolved.

Every node carries the `span` of its text. Names are as written (a quoted name without its quotes).
"""

from dataclasses import dataclass, field
from typing import Literal as Choice

from apps.language.diagnostics import Span
from apps.language.types import Type

# --- expressions ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Node:
    span: Span = field(kw_only=True, compare=False, repr=False, default=Span())


@dataclass(frozen=True, slots=True)
class Null(Node):
    pass


@dataclass(frozen=True, slots=True)
class Boolean(Node):
    value: bool


@dataclass(frozen=True, slots=True)
class Number(Node):
    """`text` as written, underscores included: `1_000` int, `1.5` decimal, `1e3` double."""

    text: str


@dataclass(frozen=True, slots=True)
class Text(Node):
    """`value` with its escapes resolved."""

    value: str


@dataclass(frozen=True, slots=True)
class Moment(Node):
    """`2026-01-01` or `2026-01-01 10:00[:30[.123456]]`, as written; the checker says if it exists."""

    text: str


@dataclass(frozen=True, slots=True)
class Duration(Node):
    """`5m`, `2h`, `400d`, `1w`, `30s`, `250ms`: a whole number and a unit."""

    amount: int
    unit: Choice["ms", "s", "m", "h", "d", "w"]


@dataclass(frozen=True, slots=True)
class ListLiteral(Node):
    items: tuple["Expr", ...]


@dataclass(frozen=True, slots=True)
class StructLiteral(Node):
    """`{ a: 1, b: "x" }`."""

    fields: tuple[tuple[str, "Expr"], ...]


@dataclass(frozen=True, slots=True)
class ParamRef(Node):
    """`@name`."""

    name: str


@dataclass(frozen=True, slots=True)
class Name(Node):
    """A bare or quoted name: a column, or the alias of a joined input before a dot."""

    name: str
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class Field(Node):
    """`base.name`: a column of a joined input (`c.segment`) or a field of a struct; the checker decides."""

    base: "Expr"
    name: str
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class Unary(Node):
    op: Choice["-", "not"]
    operand: "Expr"


@dataclass(frozen=True, slots=True)
class Binary(Node):
    op: Choice["+", "-", "*", "/", "%", "div", "==", "!=", "<", "<=", ">", ">=", "and", "or", "??"]
    left: "Expr"
    right: "Expr"


@dataclass(frozen=True, slots=True)
class Between(Node):
    value: "Expr"
    low: "Expr"
    high: "Expr"
    negated: bool = False


@dataclass(frozen=True, slots=True)
class In(Node):
    value: "Expr"
    items: tuple["Expr", ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class IsNull(Node):
    value: "Expr"
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Call(Node):
    """`name(args)`. `name_span` is the name alone, so that an unknown function is marked well."""

    name: str
    args: tuple["Expr", ...]
    name_span: Span = field(compare=False, repr=False, default=Span())


@dataclass(frozen=True, slots=True)
class Case(Node):
    """`case { test => value, …, else => value }`; without else it is null."""

    branches: tuple[tuple["Expr", "Expr"], ...]
    otherwise: "Expr | None"


@dataclass(frozen=True, slots=True)
class Group(Node):
    """An expression in parentheses, kept so that the formatter keeps what a person wrote."""

    inner: "Expr"


Expr = (
    Null | Boolean | Number | Text | Moment | Duration | ListLiteral | StructLiteral | ParamRef | Name | Field
    | Unary | Binary | Between | In | IsNull | Call | Case | Group
)  # fmt: skip

# --- operations ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Assign(Node):
    """`name = expr` where a name is given; `name` None where it is left to the expression (`select a, b`)."""

    name: str | None
    value: Expr
    name_span: Span = field(compare=False, repr=False, default=Span())


@dataclass(frozen=True, slots=True)
class SortKey(Node):
    """A leading `-` makes it descending; nulls come last either way."""

    value: Expr
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Where(Node):
    test: Expr


@dataclass(frozen=True, slots=True)
class Derive(Node):
    columns: tuple[Assign, ...]


@dataclass(frozen=True, slots=True)
class Select(Node):
    columns: tuple[Assign, ...]


@dataclass(frozen=True, slots=True)
class Drop(Node):
    columns: tuple[Name, ...]


@dataclass(frozen=True, slots=True)
class Rename(Node):
    """Pairs (new, old)."""

    pairs: tuple[tuple[Name, Name], ...]


@dataclass(frozen=True, slots=True)
class CastColumns(Node):
    columns: tuple[tuple[Name, Type], ...]


@dataclass(frozen=True, slots=True)
class Join(Node):
    """`KIND join right as alias on test bring …`; kind `lookup` is the lookup operation."""

    kind: Choice["left", "inner", "full", "semi", "anti", "cross", "asof", "lookup"]
    right: Name
    alias: Name | None
    on: Expr | None
    bring: tuple[Assign, ...]


@dataclass(frozen=True, slots=True)
class GroupBy(Node):
    """`group by keys { columns }`; without keys one row."""

    keys: tuple[Assign, ...]
    columns: tuple[Assign, ...]


@dataclass(frozen=True, slots=True)
class WindowBy(Node):
    """`window by partition order keys rows low..high { columns }`.

    A bound None is unbounded on its side; `has_frame` False when no `rows` was written.
    """

    partition: tuple[Expr, ...]
    order: tuple[SortKey, ...]
    has_frame: bool
    low: int | None
    high: int | None
    columns: tuple[Assign, ...]


@dataclass(frozen=True, slots=True)
class Sort(Node):
    keys: tuple[SortKey, ...]


@dataclass(frozen=True, slots=True)
class Take(Node):
    count: int
    by: tuple[Expr, ...] = ()


@dataclass(frozen=True, slots=True)
class Distinct(Node):
    pass


@dataclass(frozen=True, slots=True)
class Dedupe(Node):
    by: tuple[Expr, ...]
    keep: Choice["first", "last"]
    order: tuple[SortKey, ...]


@dataclass(frozen=True, slots=True)
class Union(Node):
    other: Name


@dataclass(frozen=True, slots=True)
class Unnest(Node):
    column: Expr
    alias: Name


@dataclass(frozen=True, slots=True)
class Pivot(Node):
    on: Expr
    values: tuple[Expr, ...]
    columns: tuple[Assign, ...]
    by: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Unpivot(Node):
    columns: tuple[Name, ...]
    name: Name
    value: Name


@dataclass(frozen=True, slots=True)
class Sample(Node):
    """`sample 1% seed 7` (percent) or `sample 1000 rows`; amounts as written."""

    amount: str
    percent: bool
    seed: int | None


@dataclass(frozen=True, slots=True)
class Fill(Node):
    """`fill x with expr` or `fill x forward by … order …`."""

    column: Name
    value: Expr | None
    by: tuple[Expr, ...] = ()
    order: tuple[SortKey, ...] = ()


@dataclass(frozen=True, slots=True)
class Sql(Node):
    text: str


Operation = (
    Where | Derive | Select | Drop | Rename | CastColumns | Join | GroupBy | WindowBy | Sort | Take | Distinct
    | Dedupe | Union | Unnest | Pivot | Unpivot | Sample | Fill | Sql
)  # fmt: skip

# --- statements ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Option(Node):
    """`key: value` in braces. A value is an expression, a columns map, a bare word (a Name) or a list."""

    key: str
    value: "Expr | ColumnsMap"
    key_span: Span = field(compare=False, repr=False, default=Span())


@dataclass(frozen=True, slots=True, eq=False)
class ColumnsMap(Node):
    """`{ order_id: int, amount: decimal(12, 2) }`: names, types, and the span of each pair (not compared)."""

    columns: tuple[tuple[str, Type, Span], ...]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ColumnsMap) and self._pairs() == other._pairs()

    def __hash__(self) -> int:
        return hash(self._pairs())

    def _pairs(self) -> tuple[tuple[str, Type], ...]:
        return tuple((name, type_) for name, type_, _ in self.columns)


@dataclass(frozen=True, slots=True)
class FlowHeader(Node):
    name: str
    options: tuple[Option, ...]


@dataclass(frozen=True, slots=True)
class Param(Node):
    name: str
    type: Type
    default: Expr | None
    allow: tuple[Expr, ...] | None = None
    low: Expr | None = None
    high: Expr | None = None


@dataclass(frozen=True, slots=True)
class Endpoint(Node):
    """`csv("in/*.csv")`, `table(crm.customers)`: the kind and its arguments as expressions."""

    kind: str
    args: tuple[Expr, ...]
    kind_span: Span = field(compare=False, repr=False, default=Span())


@dataclass(frozen=True, slots=True)
class Source(Node):
    name: str
    endpoint: Endpoint
    options: tuple[Option, ...]
    name_span: Span = field(compare=False, repr=False, default=Span())


@dataclass(frozen=True, slots=True)
class Function(Node):
    name: str
    args: tuple[str, ...]
    body: Expr
    name_span: Span = field(compare=False, repr=False, default=Span())


@dataclass(frozen=True, slots=True)
class Step(Node):
    name: str
    input: Name
    operations: tuple[Operation, ...]
    name_span: Span = field(compare=False, repr=False, default=Span())


@dataclass(frozen=True, slots=True)
class Rule(Node):
    """One expectation. `test` is a call (`not_null(a)`), a comparison, or any true/false expression.

    `severity` as written (None: fail). `max_percent` is the text of the number before `%`.
    """

    test: Expr
    severity: Choice["fail", "warn", "drop", "quarantine"] | None
    max_percent: str | None


@dataclass(frozen=True, slots=True)
class Expect(Node):
    step: Name
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Sink(Node):
    step: Name
    endpoint: Endpoint
    options: tuple[Option, ...]


@dataclass(frozen=True, slots=True)
class Cell(Node):
    """One trimmed cell of a test table, unescaped. `None` is an empty cell: null. `quoted` was in "…"."""

    text: str | None
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class Table(Node):
    header: tuple[Name, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True, slots=True)
class With(Node):
    name: str
    value: Expr


@dataclass(frozen=True, slots=True)
class Given(Node):
    source: Name
    table: Table


@dataclass(frozen=True, slots=True)
class Then(Node):
    step: Name
    table: Table


@dataclass(frozen=True, slots=True)
class Test(Node):
    title: str
    clauses: tuple[With | Given | Then, ...]


Statement = Param | Source | Function | Step | Expect | Sink | Test


@dataclass(frozen=True, slots=True)
class FlowFile(Node):
    """A whole text: the header and the statements in the order they were written.

    `broken` are the names (keyword, name) that statements in error would have defined, so that nobody calls them unknown.
    """

    header: FlowHeader
    statements: tuple[Statement, ...]
    broken: tuple[tuple[str, str], ...] = ()
