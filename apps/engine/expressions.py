"""Typed expressions of a plan → SQL."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from apps.engine import arithmetic, spelling
from apps.engine.errors import ParameterRefused
from apps.engine.nodes import Spelling
from apps.engine.sql import Call, Column, Key, Sql
from apps.engine.types import cast, literal
from apps.language.plan import (
    Aggregate,
    Apply,
    ColumnRef,
    Const,
    Expression,
    OrderKey,
    Parameter,
    ParamValue,
    Plan,
    WindowCall,
)
from apps.language.types import Kind, Type

SIDES = ("l", "r")  # what the inputs of an operation are called in its SELECT


class ParameterMissing(ParameterRefused):
    """A parameter without a default was given no value."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The parameter '{name}' has no value.", hint=f"Give it one ({name}=…), or write a default into the flow."
        )
        self.name = name


@dataclass(frozen=True, slots=True)
class Values:
    """What a run binds: the parameters' values and its logical time, in the flow's own time zone."""

    params: Mapping[str, Any]  # an expression or a plain Python value; what is missing takes its default
    defaults: Mapping[str, Parameter]
    now: datetime  # aware
    careful: bool = True  # False: decimals may stay narrow where that is likely to do (arithmetic.is_risky)

    @classmethod
    def of(cls, plan: Plan, params: Mapping[str, Any], logical_time: datetime) -> "Values":
        aware = logical_time if logical_time.tzinfo else logical_time.replace(tzinfo=UTC)
        zone = ZoneInfo(plan.settings.timezone or "UTC")
        return cls(params, {parameter.name: parameter for parameter in plan.params}, aware.astimezone(zone))


Emit = Callable[[ColumnRef], Sql]


def column(reference: ColumnRef) -> Sql:
    """A column of the operation's input, always with its table: a bare name could mean an alias of the same SELECT."""
    return Column(SIDES[reference.side], reference.name)


@dataclass(frozen=True, slots=True)
class Emitter:
    """Emits expressions in one operation: `columns` says what a column is, `over` what window calls are over."""

    values: Values
    columns: Emit = column
    over: Callable[[WindowCall, Sql], Sql] | None = None
    spellings: Mapping[str, Spelling] = field(default_factory=lambda: spelling.DUCKDB)

    def __call__(self, node: Expression) -> Sql:
        match node:
            case Const(value=value, type=type_):
                return literal(value, type_)
            case ColumnRef():
                return self.columns(node)
            case ParamValue(name=name, type=type_):
                return self._parameter(name, type_)
            case Apply(function="today" | "now"):
                return self._moment(node)
            case Apply() | Aggregate() | WindowCall():
                return self._call(node)

    def _call(self, node: Apply | Aggregate | WindowCall) -> Sql:
        # An aggregate's arguments are columns of the input, whatever a column outside it stands for.
        inner = replace(self, columns=column) if isinstance(node, Aggregate) else self
        args = [inner(arg) for arg in node.args]
        if not self.values.careful and arithmetic.is_risky(node):
            return arithmetic.narrow(node, args)
        result = self.spellings[node.function](node, args)
        if isinstance(node, Aggregate) and node.order:
            assert isinstance(result, Call)
            result = replace(result, order=ordering(node.order, inner))
        if isinstance(node, WindowCall):
            assert self.over is not None
            result = self.over(node, result)
        if node.function in spelling.AFTER:
            result = spelling.AFTER[node.function](result)
        return result if node.function in spelling.EXACT else cast(result, node.type)

    def _parameter(self, name: str, type_: Type) -> Sql:
        value = self.values.params[name] if name in self.values.params else self.values.defaults[name].default
        if value is None and name not in self.values.params:
            raise ParameterMissing(name)
        return cast(self(value), type_) if isinstance(value, Expression) else literal(value, type_)

    def _moment(self, node: Apply) -> Sql:
        now = self.values.now
        match node.type.kind:
            case Kind.DATE:
                return literal(now.date(), node.type)
            case Kind.TIMESTAMPTZ:
                return literal(now, node.type)
            case _:
                return literal(now.replace(tzinfo=None), node.type)


def ordering(keys: Sequence[OrderKey], emit: Emitter) -> tuple[Key, ...]:
    terms = []
    for key in keys:
        # A bare literal is refused as a sort key, or read as a column's position.
        value = cast(emit(key.value), key.value.type) if isinstance(key.value, Const | ParamValue) else emit(key.value)
        terms.append(Key(value, key.descending))
    return tuple(terms)
