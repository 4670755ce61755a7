"""One step: its operations in a row, each reading what the one before gives."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from apps.language import plan as p
from apps.language import tree as t
from apps.language import types
from apps.language.checking.expressions import Expressions
from apps.language.checking.findings import Findings
from apps.language.checking.places import ANYTHING, Place, Relation
from apps.language.diagnostics import Span
from apps.language.functions.conversion import UNKNOWN, can_order, is_unknown
from apps.language.types import Kind, Type

# What an operation's function answers: the lowered operation (None where it is in error) and the columns after it.
Done = tuple[p.Operation | None, Relation]


@dataclass
class StepState:
    """A step while it is checked.

    `order` is the sort that stands before, as expressions over the columns of now; empty where there is none or its
    columns are gone. `ordered`: the rows come in that order to whoever reads them next. `idle_sort` is a sort that
    nothing has made use of yet.
    """

    name: str
    expressions: Expressions
    tables: Mapping[str, Relation]
    relation: Relation
    order: tuple[p.OrderKey, ...] = ()
    ordered: bool = False
    idle_sort: Span | None = None
    lost_sort: bool = False  # there was a sort, but its columns did not survive
    operations: list[p.Operation] = field(default_factory=list)
    schemas: list[p.Schema] = field(default_factory=list)

    @property
    def findings(self) -> Findings:
        return self.expressions.findings

    def place(self, **changes: Any) -> Place:
        """The place of an expression over single rows in the current operation."""
        return Place(self.relation, f"step '{self.name}'", **changes)

    def error(self, code: str, message: str, span: Span, hint: str = "") -> None:
        self.findings.error(code, message, span, hint)

    def table(self, name: t.Name) -> Relation:
        """A source or step that the operation reads. An unknown one was reported when the flow was put in order."""
        return self.tables.get(name.name, ANYTHING)

    def keys(self, keys: Sequence[t.SortKey]) -> tuple[p.OrderKey, ...]:
        """Sort keys over the current columns."""
        typed = []
        for key in keys:
            value = self.expressions.check(key.value, self.place())
            if not can_order(value.type):
                self.error("E318", f"values of type {value.type} have no order", key.span, "sort by one of its parts")
            typed.append(p.OrderKey(value, key.descending))
        return tuple(typed)

    def row_values(self, exprs: Sequence[t.Expr]) -> tuple[p.Expression, ...]:
        """Expressions by which rows are told apart."""
        return tuple(self.expressions.check(expr, self.place()) for expr in exprs)

    def use_order(self) -> tuple[p.OrderKey, ...]:
        """The order for an operation that depends on it."""
        if self.order:
            self.idle_sort = None
        return self.order

    def name_of(self, assign: t.Assign, *, may_lack: bool) -> str | None:
        """The name that an assigned column gets: the written one, or where it `may_lack` that of the column itself."""
        if assign.name is not None or not may_lack:  # elsewhere the parser has said that a name is missing
            return assign.name
        value = assign.value
        while isinstance(value, t.Group):
            value = value.inner
        if isinstance(value, t.Name | t.Field):
            return value.name
        self.error("E212", "this column needs a name", assign.value.span, "write `name = …` in front of it")
        return None

    def column_type(self, name: str, value: p.Expression) -> Type:
        """The type of a new column. Null alone has none."""
        if is_unknown(value.type):
            return UNKNOWN
        if _has_null(value.type):
            hint = "say which type of null: to_text(null), to_int(null), to_date(null)"
            self.error("E314", f"column '{name}' has no type: it is always null", value.span, hint)
            return UNKNOWN
        return value.type


Handlers = Mapping[type, Callable[[StepState, Any], Done]]


def _has_null(type_: Type) -> bool:
    if type_.kind is Kind.LIST:
        return type_.item is None or _has_null(type_.item)
    return type_ == types.NULL or any(_has_null(each) for _, each in type_.fields)


def finish_sort(state: StepState) -> None:
    """Warns of a sort of which nothing came."""
    if state.idle_sort is not None:
        hint = "rows have no order in between: sort last in a step, or before `take` and `group`"
        state.findings.warning("W606", "this sort has no effect", state.idle_sort, hint)
        state.idle_sort = None


def check_step(
    step: t.Step,
    expressions: Expressions,
    tables: Mapping[str, Relation],
    handlers: Handlers,
) -> tuple[p.StepTable, Relation]:
    """The lowered step and its columns. What is in error leaves its columns as far as they are known."""
    relation = tables.get(step.input.name, ANYTHING)
    state = StepState(step.name, expressions, tables, relation)
    for operation in step.operations:
        lowered, relation = handlers[type(operation)](state, operation)
        state.relation = relation
        if lowered is not None:
            state.operations.append(lowered)
            state.schemas.append(relation.columns)
    if not state.ordered:
        finish_sort(state)
    table = p.StepTable(
        step.name,
        step.input.name,
        tuple(state.operations),
        tuple(state.schemas),
        state.relation.columns,
        state.ordered,
        span=step.span,
    )
    return table, state.relation
