"""Typing of expressions: a tree goes in, a plan's expression with types and casts comes out.

The walk keeps its own stack (generators that yield what is to be typed next), so that no depth of nesting meets
Python's recursion limit. An expression in error becomes a constant of the type UNKNOWN, which silences its echoes.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from apps.language import plan as p
from apps.language import tree as t
from apps.language import types, values
from apps.language.checking import calls, operators
from apps.language.checking.findings import Findings, closest, guess, listing
from apps.language.checking.places import Call, Place, unknown
from apps.language.diagnostics import Span
from apps.language.functions.conversion import (
    INT_MAX,
    INT_MIN,
    common_type,
    convert,
    is_unknown,
    type_of_decimal,
    type_of_value,
)
from apps.language.types import MAX_PRECISION, Kind, Type

MAX_DEPTH = 200  # of an expression as the engine gets it: parentheses do not count
MAX_EXPANSION = 50_000  # calls of fns, and uses of their arguments, in a whole flow

Task = tuple[t.Expr, Place]
Work = Generator[Task, p.Expression, p.Expression]


@dataclass
class Names:
    """What expressions may refer to beside columns."""

    params: Mapping[str, Type]
    functions: Mapping[str, t.Function]
    names_in_body: Mapping[str, frozenset[str]]  # of each fn
    broken: set[str] = field(default_factory=set)  # fns in error: their calls say nothing more
    timezone: str = "UTC"
    unsure: set[str] = field(default_factory=set)  # fns that could not be read
    used_params: set[str] = field(default_factory=set)
    used_functions: set[str] = field(default_factory=set)


class Expressions:
    """Types expressions of one flow. Findings go to `findings`."""

    def __init__(self, names: Names, findings: Findings) -> None:
        self.names = names
        self.findings = findings
        self._expanded = 0

    def check(self, expr: t.Expr, place: Place) -> p.Expression:
        """The typed expression; UNKNOWN in type where it is in error. Never raises."""
        pending: list[Work] = []
        task: Task | None = (expr, place)
        value: p.Expression | None = None
        while True:
            if task is not None:
                expr, place = task
                while isinstance(expr, t.Group):
                    expr = expr.inner
                value = self._leaf(expr, place)
                if value is None:
                    if len(pending) < MAX_DEPTH:
                        pending.append(self._compound(expr, place))
                    else:
                        value = self._too_deep(expr, place)
            if not pending:
                assert value is not None
                return value
            try:
                task = pending[-1].send(value)  # type: ignore[arg-type]  # None starts a generator
            except StopIteration as done:
                pending.pop()
                task, value = None, done.value

    def boolean(self, expr: t.Expr, place: Place) -> p.Expression:
        """An expression that has to be true or false."""
        return operators.boolean(self, self.check(expr, place), place)

    def error(self, place: Place, code: str, message: str, span: Span, hint: str = "") -> p.Const:
        """Records an error and answers with an unknown value. In a fn that is used, the call is marked."""
        if place.call is not None:
            message = f"{message} (in fn '{place.function}', line {span.line})"
            self.findings.error(code, message, place.call.span, hint)
        else:
            self.findings.error(code, message, span, hint)
        return unknown(span)

    # --- leaves ------------------------------------------------------------------------------

    def _leaf(self, expr: t.Expr, place: Place) -> p.Expression | None:
        """The value of an expression that has no parts; None for the others."""
        match expr:
            case t.Name():
                return None if place.arguments and place.arguments.get(expr.name) else self._name(expr, place)
            case t.Text(value=text):
                return p.Const(types.TEXT, text, span=expr.span)
            case t.Number():
                return self._number(expr, place)
            case t.ParamRef():
                return self._param(expr, place)
            case t.Null():
                return p.Const(types.NULL, None, span=expr.span)
            case t.Boolean(value=value):
                return p.Const(types.BOOL, value, span=expr.span)
            case t.Moment() | t.Duration():
                return self._moment(expr, place)
            case t.Unary(op="-", operand=t.Number() as number):
                return self._number(number, place, negative=True)
            case t.Field(base=t.Name(name=alias)) if alias in place.aliases:
                return self._brought(expr, alias, place)
        return None

    def _number(self, expr: t.Number, place: Place, *, negative: bool = False) -> p.Expression:
        value = values.number(expr.text)
        value = -value if negative else value
        if isinstance(value, int) and not INT_MIN <= value <= INT_MAX:
            hint = "an int has 64 bits; written with a point (`….0`) it is a decimal of up to 38 digits"
            return self.error(place, "E310", f"{values.shortened(expr.text)} is too large for an int", expr.span, hint)
        if isinstance(value, Decimal) and type_of_decimal(value).precision > MAX_PRECISION:
            hint = "written with an exponent (`1e40`) it is a double, which rounds"
            return self.error(place, "E310", f"{values.shortened(expr.text)} has more than 38 digits", expr.span, hint)
        if isinstance(value, float) and value in (float("inf"), float("-inf")):
            return self.error(place, "E310", f"{values.shortened(expr.text)} is too large for a double", expr.span)
        return p.Const(type_of_value(value), value, span=expr.span)

    def _moment(self, expr: t.Moment | t.Duration, place: Place) -> p.Expression:
        try:
            if isinstance(expr, t.Duration):
                return p.Const(types.DURATION, values.duration(expr.amount, expr.unit), span=expr.span)
            value = values.moment(expr.text)
        except values.LiteralError as problem:
            return self.error(place, "E310", problem.message, expr.span, problem.hint)
        return p.Const(type_of_value(value), value, span=expr.span)

    def _param(self, expr: t.ParamRef, place: Place) -> p.Expression:
        self.names.used_params.add(expr.name)
        if not place.params:
            return self.error(place, "E412", f"{place.constant}: parameter '@{expr.name}' cannot stand here", expr.span)
        type_ = self.names.params.get(expr.name)
        if type_ is None:
            hint = guess(expr.name, self.names.params, "parameters")
            return self.error(place, "E204", f"unknown parameter '@{expr.name}'", expr.span, hint)
        return p.ParamValue(type_, expr.name, span=expr.span)

    # --- names -------------------------------------------------------------------------------

    def _name(self, expr: t.Name, place: Place) -> p.Expression:
        if place.arguments is not None:
            return self._argument(expr, place)
        if place.constant:
            message = f"{place.constant}: column '{expr.name}' cannot stand here"
            return self.error(place, "E412", message, expr.span, self._param_hint(expr.name))
        if place.keys is not None and not place.inside:
            return self._key(expr, place)
        column = place.relation.get(expr.name)
        if column is None:
            return self._unknown_column(expr, place)
        return p.ColumnRef(column.type, column.name, span=expr.span)

    def _argument(self, expr: t.Name, place: Place) -> p.Expression:
        """A name in the body of a fn, which sees its arguments only. One with a value is no leaf."""
        assert place.arguments is not None
        if expr.name in place.arguments:
            return unknown(expr.span)
        hint = f"a fn sees its arguments and the parameters: {listing(place.arguments) or 'this one has no arguments'}"
        return self.error(place, "E203", f"unknown name '{expr.name}' in fn '{place.function}'", expr.span, hint)

    def _key(self, expr: t.Name, place: Place) -> p.Expression:
        """A bare name of a group or a table outside aggregates: it has to be a key."""
        assert place.keys is not None
        column = place.keys.get(place.key_of.get(expr.name, expr.name))
        if column is not None:
            return p.ColumnRef(column.type, column.name, span=expr.span)
        if place.relation.get(expr.name) is None:
            return self._unknown_column(expr, place)
        name = expr.name
        if place.reach == "table":
            message = f"'{name}' has a value in each row, but this is said of the whole table"
            hint = f"put it into an aggregate: max({name})"
        else:
            message = f"'{name}' is neither a key of the group nor inside an aggregate"
            hint = f"add it to the keys (group by …, {name}) or aggregate it: max({name})"
        return self.error(place, "E309", message, expr.span, hint)

    def _unknown_column(self, expr: t.Name, place: Place) -> p.Expression:
        known = list(place.relation.names)
        hint = self._param_hint(expr.name) or guess(expr.name, known, "columns here")
        for alias, relation in place.aliases.items():
            if expr.name in relation.by_name and closest(expr.name, known) != expr.name:
                hint = f"write {alias}.{expr.name} for the column of '{alias}'"
            elif expr.name == alias:
                hint = f"'{alias}' is a joined input: write {alias}.column; columns of '{alias}': {listing(relation.names)}"
        return self.error(place, "E203", f"unknown column '{expr.name}' in {place.what}", expr.span, hint)

    def _param_hint(self, name: str) -> str:
        return f"the parameter is written @{name}" if name in self.names.params else ""

    def _brought(self, expr: t.Field, alias: str, place: Place) -> p.Expression:
        """`c.segment`: a column of a joined input."""
        relation = place.aliases[alias]
        column = relation.get(expr.name)
        if column is None:
            hint = guess(expr.name, relation.names, f"columns of '{alias}'")
            return self.error(place, "E203", f"unknown column '{alias}.{expr.name}' in {place.what}", expr.span, hint)
        return p.ColumnRef(column.type, column.name, side=1, span=expr.span)

    # --- what has parts ----------------------------------------------------------------------

    def _compound(self, expr: t.Expr, place: Place) -> Work:
        if isinstance(expr, t.Name):
            return self._expand_argument(expr.name, place)
        return _RULES[type(expr)](self, expr, place)

    def _too_deep(self, expr: t.Expr, place: Place) -> p.Expression:
        message = f"this expression is nested more than {MAX_DEPTH} deep"
        return self.error(
            place, "E419", message, expr.span, "split it: derive parts of it first, or use `in` or `case`"
        )

    def _is_null(self, expr: t.IsNull, place: Place) -> Work:
        value = yield expr.value, place
        test: p.Expression = p.Apply(types.BOOL, "is_null", (value,), span=expr.span)
        return p.Apply(types.BOOL, "not", (test,), span=expr.span) if expr.negated else test

    def _list(self, expr: t.ListLiteral, place: Place) -> Work:
        items = yield from operators.each(expr.items, place)
        common = common_type(items)
        if common is None:
            kinds = listing(dict.fromkeys(str(item.type) for item in items))
            return self.error(place, "E311", f"the items of a list have one type; these are {kinds}", expr.span)
        if is_unknown(common):
            return unknown(expr.span)
        return p.Apply(types.list_of(common), "list", tuple(convert(item, common) for item in items), span=expr.span)

    def _struct(self, expr: t.StructLiteral, place: Place) -> Work:
        args: list[p.Expression] = []
        fields: dict[str, Type] = {}
        for name, value in expr.fields:
            if name in fields:
                self.error(place, "E208", f"the field '{name}' is given twice", value.span)
            typed = yield value, place
            fields[name] = typed.type
            args += [p.Const(types.TEXT, name, span=value.span), typed]
        if any(is_unknown(type_) for type_ in fields.values()):
            return unknown(expr.span)
        return p.Apply(types.struct(*fields.items()), "struct", tuple(args), span=expr.span)

    def _field(self, expr: t.Field, place: Place) -> Work:
        if isinstance(expr.base, t.Name) and self._is_no_alias(expr.base, place):
            base = expr.base.name
            known = listing(place.aliases)
            hint = f"joined here: {known}" if known else "a join brings columns under their own names: write them bare"
            return self.error(
                place, "E209", f"'{base}' is neither a joined input nor a struct here", expr.base.span, hint
            )
        value = yield expr.base, place
        if is_unknown(value.type) or value.type.kind is Kind.NULL:
            return unknown(expr.span)
        if value.type.kind is not Kind.STRUCT:
            message = f"{value.type} has no fields, so there is no '.{expr.name}'"
            return self.error(place, "E211", message, expr.span, "only a struct has fields")
        type_ = dict(value.type.fields).get(expr.name)
        if type_ is None:
            hint = guess(expr.name, [name for name, _ in value.type.fields], "its fields")
            return self.error(place, "E211", f"the struct has no field '{expr.name}'", expr.span, hint)
        return p.Apply(type_, "field", (value, p.Const(types.TEXT, expr.name, span=expr.span)), span=expr.span)

    def _is_no_alias(self, base: t.Name, place: Place) -> bool:
        """Whether the name before a dot means nothing here, so that it was probably meant as an input."""
        if place.arguments is not None:
            return False
        return place.relation.get(base.name) is None and not place.constant

    # --- fns ---------------------------------------------------------------------------------

    def _call(self, expr: t.Call, place: Place) -> Work:
        function = self.names.functions.get(expr.name)
        if function is None and expr.name in self.names.unsure:
            return self._unsure(expr, place)
        if function is None:
            return calls.call(self, expr, place)
        self.names.used_functions.add(expr.name)
        return self._expand(function, expr, place)

    def _unsure(self, expr: t.Call, place: Place) -> Work:
        """A call of a fn that could not be read: only its arguments say anything."""
        yield from operators.each(expr.args if place.over_rows else (), place)
        return unknown(expr.span)

    def _expand(self, function: t.Function, expr: t.Call, place: Place) -> Work:
        """A fn in its place: the body is typed with the call's arguments where its own names stand."""
        if len(expr.args) != len(function.args):
            takes = f"{len(function.args)} argument{'s' * (len(function.args) != 1)}"
            message = f"fn '{function.name}' takes {takes}, not {len(expr.args)}"
            return self.error(place, "E303", message, expr.span, f"{function.name}({', '.join(function.args)})")
        broken = function.name in self.names.broken
        used = self.names.names_in_body[function.name]
        for name, arg in zip(function.args, expr.args, strict=True):
            if place.over_rows and (broken or name not in used):
                yield arg, place  # nobody else looks at it
        if broken or not self._may_expand(expr.span):
            return unknown(expr.span)
        bound = dict(zip(function.args, ((arg, place) for arg in expr.args), strict=True))
        call = place.call or Call(expr.span)
        body = replace(place, arguments=bound, function=function.name, call=call, aliases={})
        value = yield function.body, body
        return replace(value, span=expr.span)

    def _expand_argument(self, name: str, place: Place) -> Work:
        assert place.arguments is not None
        bound = place.arguments[name]
        assert bound is not None
        expr, origin = bound
        if not self._may_expand(expr.span):
            return unknown(expr.span)
        return (yield expr, replace(origin, inside=place.inside))

    def _may_expand(self, span: Span) -> bool:
        """Counts what fns expand to: a few lines of fns that call each other twice would fill the memory."""
        self._expanded += 1
        if self._expanded == MAX_EXPANSION:
            hint = "fns that use an argument several times grow when they call each other: derive a column between"
            self.findings.error("E419", "the fns of this flow expand to too large an expression", span, hint)
        return self._expanded < MAX_EXPANSION


_RULES: dict[type, Callable[[Expressions, Any, Place], Work]] = {
    t.Binary: operators.binary,
    t.Unary: operators.unary,
    t.Call: Expressions._call,
    t.Between: operators.between,
    t.In: operators.within,
    t.IsNull: Expressions._is_null,
    t.Case: operators.case,
    t.Field: Expressions._field,
    t.ListLiteral: Expressions._list,
    t.StructLiteral: Expressions._struct,
}
