"""What the registry says of one function: its shapes, its rule for nulls, a line of documentation, examples.

A shape is written as people read it and matched as it is written:

    substr(value: text, start: int, length?: int) -> text
    coalesce(value: T, others...: T) -> T
    trunc(value: date, unit!: text) -> date

`?` may be left out, `...` one or more of it, `!` has to be written out as a literal. A pattern is a type, or

    T             any type; all T of a call become one type
    O             the same for types that have an order
    number        int, decimal or double
    decimal(p, s) any decimal; the result may use p and s
    list(T)       a list of T
    any           any type, each for itself
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from apps.language import types
from apps.language.functions.conversion import can_order, common_type, fits
from apps.language.plan import Const, Expression
from apps.language.types import Kind, Type

FunctionKind = Literal["operator", "scalar", "aggregate", "window", "expectation"]

STRICT = "null if an argument is null"
SKIPS = "skips nulls; null if there is nothing else"
ERROR = "an error"  # the expected text of an example that must fail when it runs


@dataclass(frozen=True, slots=True)
class Example:
    """An expression and its value as a test's cell has it; an empty text is null, `ERROR` a failing run.

    Aggregates and windows read the rows of `examples.TABLE`, windows in the order of `order`; for a window the
    values of all rows stand in the order of `id`, separated by `; `.
    """

    expression: str
    value: str
    order: str = "id"


@dataclass(frozen=True, slots=True)
class Parameter:
    name: str
    pattern: str
    optional: bool = False
    repeated: bool = False
    constant: bool = False


@dataclass(frozen=True, slots=True)
class Match:
    """A call that fits a shape: the type that each argument is to be cast to, and the result's."""

    arguments: tuple[Type, ...]
    result: Type


ResultRule = Callable[[Sequence[Expression]], Type]


@dataclass(frozen=True, slots=True)
class Shape:
    """One way to call a function. `rule` gives the result where the pattern cannot say it."""

    text: str
    parameters: tuple[Parameter, ...]
    result: str
    rule: ResultRule | None = None

    @property
    def least(self) -> int:
        return sum(not parameter.optional for parameter in self.parameters)

    @property
    def most(self) -> int | None:
        """The largest number of arguments; None where there is no limit."""
        return None if any(parameter.repeated for parameter in self.parameters) else len(self.parameters)

    def takes(self, count: int) -> bool:
        return self.least <= count and (self.most is None or count <= self.most)

    def parameter(self, position: int) -> Parameter:
        return self.parameters[min(position, len(self.parameters) - 1)]

    def match(self, args: Sequence[Expression]) -> Match | None:
        """The types that the arguments take here, or None if one does not fit."""
        if not self.takes(len(args)):
            return None
        bound = self._bind(args)
        if bound is None:
            return None
        wanted = []
        for position, arg in enumerate(args):
            target = _target(self.parameter(position).pattern, arg.type, bound)
            if target is None or not fits(arg, target):
                return None
            wanted.append(target)
        result = self.rule(args) if self.rule else _result(self.result, bound, args)
        return Match(tuple(wanted), result)

    def _bind(self, args: Sequence[Expression]) -> dict[str, Type] | None:
        """What T and O stand for in this call."""
        bound: dict[str, Type] = {}
        for variable in ("T", "O"):
            mine = [
                item
                for position, arg in enumerate(args)
                if (item := _variable_part(self.parameter(position).pattern, variable, arg)) is not None
            ]
            if not mine:
                continue
            common = common_type(mine)
            if common is None or (variable == "O" and not can_order(common)):
                return None
            bound[variable] = common
        return bound


def _variable_part(pattern: str, variable: str, arg: Expression) -> "Expression | Type | None":
    """What an argument says of T: itself, or the item of its list."""
    if pattern == variable:
        return arg
    if pattern == f"list({variable})" and arg.type.kind is Kind.LIST:
        return arg.type.item
    return None


def _target(pattern: str, given: Type, bound: dict[str, Type]) -> Type | None:
    """The type that an argument has to take, None if the pattern does not take the given type at all."""
    if pattern in bound:
        return bound[pattern]
    if pattern == "any":
        return given
    if pattern == "number":
        return given if given.is_numeric or given.kind is Kind.NULL else None
    if pattern.startswith("decimal("):
        return given if given.kind in (Kind.DECIMAL, Kind.NULL) else None
    if pattern.startswith("list("):
        item = bound.get("T", types.NULL)
        item = types.TEXT if item.kind is Kind.NULL else item  # of an empty list, for which any type would do
        return types.list_of(item) if given.kind in (Kind.LIST, Kind.NULL) else None
    return Type(Kind(pattern))


def _result(pattern: str, bound: dict[str, Type], args: Sequence[Expression]) -> Type:
    if pattern in bound:
        return bound[pattern]
    if pattern.startswith("list("):
        return types.list_of(bound.get("T", types.NULL))
    if pattern.startswith("decimal("):
        given = args[0].type
        if given.kind is not Kind.DECIMAL:
            return types.NULL
        precision = types.MAX_PRECISION if pattern.startswith("decimal(38") else given.precision
        return types.decimal(precision, given.scale)
    return Type(Kind(pattern))


@dataclass(frozen=True, slots=True)
class Spec:
    """One function of the language.

    `written` is how people write it, for operators (`a + b`). `plan_name` is the name under which a checked plan
    applies it, empty where the checker turns it into something else. `ordered`: it needs an order of the rows.
    """

    name: str
    kind: FunctionKind
    shapes: tuple[Shape, ...]
    nulls: str
    doc: str
    examples: tuple[Example, ...]
    written: str = ""
    plan_name: str = ""
    ordered: bool = False
    supported: bool = True
    topic: str = ""

    def counts(self) -> str:
        """How many arguments it takes, in words: `1`, `2 or 3`, `at least 1`."""
        least = min(shape.least for shape in self.shapes)
        most = [shape.most for shape in self.shapes]
        if None in most:
            return f"at least {least}"
        largest = max(count for count in most if count is not None)
        if largest == least:
            return str(least)
        return f"{least} or {largest}" if largest == least + 1 else f"{least} to {largest}"


_SHAPE = re.compile(r"^(?P<name>\w+)\((?P<parameters>.*)\) -> (?P<result>.+)$")
_PARAMETER = re.compile(r"^(?P<name>\w+)(?P<mark>\?!|\?|!|\.\.\.)?: (?P<pattern>.+)$")


def shape(text: str, rule: ResultRule | None = None) -> Shape:
    """Reads a shape as it is written above."""
    found = _SHAPE.match(text)
    assert found, text
    pieces = re.split(r", (?![^()]*\))", found["parameters"]) if found["parameters"] else []
    return Shape(text, tuple(_parameter(piece) for piece in pieces), found["result"], rule)


def _parameter(text: str) -> Parameter:
    found = _PARAMETER.match(text)
    assert found, text
    mark = found["mark"] or ""
    return Parameter(found["name"], found["pattern"], "?" in mark, "..." in mark, "!" in mark)


@dataclass(slots=True)
class Section:
    """Functions of one topic, written one after the other."""

    kind: FunctionKind
    topic: str
    specs: list[Spec] = field(default_factory=list)

    def add(
        self,
        shapes: str | Shape | Sequence[str | Shape],
        doc: str,
        examples: Sequence[tuple[str, ...]],
        *,
        nulls: str = STRICT,
        written: str = "",
        name: str = "",
        plan: str | None = None,
        ordered: bool = False,
        supported: bool = True,
    ) -> None:
        """`plan` is the name in a checked plan: the function's own unless given, empty where it is lowered."""
        given = [shapes] if isinstance(shapes, str | Shape) else shapes
        read = tuple(shape(item) if isinstance(item, str) else item for item in given)
        own = name or read[0].text.split("(", 1)[0]
        self.specs.append(
            Spec(
                own, self.kind, read, nulls, doc, tuple(Example(*pair) for pair in examples),
                written=written, plan_name=own if plan is None else plan, ordered=ordered,
                supported=supported, topic=self.topic,
            )
        )  # fmt: skip


def is_literal(arg: Expression) -> bool:
    """Whether an argument is written out, as those marked `!` have to be."""
    return isinstance(arg, Const)
