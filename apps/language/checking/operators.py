"""Typing of operators: arithmetic, comparisons, logic, `between`, `in` and `case`."""

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

from apps.language import plan as p
from apps.language import tree as t
from apps.language import types
from apps.language.checking.findings import a, listing
from apps.language.checking.places import Place, unknown
from apps.language.diagnostics import Span
from apps.language.functions.conversion import as_decimal, can_order, common_type, convert, is_unknown, wide_decimal
from apps.language.types import MAX_PRECISION, Kind, Type

if TYPE_CHECKING:
    from apps.language.checking.expressions import Expressions, Task, Work

ARITHMETIC = {"+": "add", "-": "subtract", "*": "multiply", "/": "divide", "%": "mod", "div": "div"}
COMPARISONS = {"==": "eq", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}
_CHAINED = ("and", "or", "??")
_MOMENTS = (Kind.DATE, Kind.TIMESTAMP, Kind.TIMESTAMPTZ)
_CANNOT = {
    "add": "{0} and {1} cannot be added", "subtract": "{1} cannot be subtracted from {0}",
    "multiply": "{0} cannot be multiplied by {1}", "divide": "{0} cannot be divided by {1}",
    "mod": "{0} cannot be taken modulo {1}", "div": "{0} cannot be divided by {1}",
}  # fmt: skip


def each(exprs: Sequence[t.Expr], place: Place) -> "Generator[Task, p.Expression, list[p.Expression]]":
    """Types several expressions of one place."""
    typed: list[p.Expression] = [unknown(expr.span) for expr in exprs]
    for position, expr in enumerate(exprs):
        typed[position] = yield expr, place
    return typed


def binary(checker: "Expressions", expr: t.Binary, place: Place) -> "Work":
    if expr.op in _CHAINED:
        return (yield from chain(checker, expr, place))
    left = yield expr.left, place
    right = yield expr.right, place
    if expr.op in COMPARISONS:
        if isinstance(expr.left, t.Null) or isinstance(expr.right, t.Null):
            _warn_of_null(checker, expr)
        return compare(checker, COMPARISONS[expr.op], (left, right), expr.span, place)
    return arithmetic(checker, ARITHMETIC[expr.op], left, right, expr.span, place)


def chain(checker: "Expressions", expr: t.Binary, place: Place) -> "Work":
    """`a or b or c`, however long: `??` becomes one coalesce, `and` and `or` a balanced tree, which stays flat."""
    links = _links(expr)
    args = yield from each(links, place)
    if expr.op == "??":
        return either(checker, "coalesce", args, expr.span, place)
    tests = [boolean(checker, arg, place) for arg in args]
    while len(tests) > 1:
        pairs = zip(tests[::2], tests[1::2], strict=False)
        joined: list[p.Expression] = [
            p.Apply(types.BOOL, expr.op, pair, span=pair[0].span.to(pair[1].span)) for pair in pairs
        ]
        tests = joined + tests[len(joined) * 2 :]
    return tests[0]


def _links(expr: t.Binary) -> list[t.Expr]:
    """What one operator holds together, from left to right, without the parentheses in between."""
    found: list[t.Expr] = []
    pending: list[t.Expr] = [expr]
    while pending:
        node = pending.pop()
        inner = node
        while isinstance(inner, t.Group):
            inner = inner.inner
        if isinstance(inner, t.Binary) and inner.op == expr.op:
            pending += (inner.right, inner.left)
        else:
            found.append(node)
    return found


def unary(checker: "Expressions", expr: t.Unary, place: Place) -> "Work":
    value = yield expr.operand, place
    if expr.op == "not":
        return p.Apply(types.BOOL, "not", (boolean(checker, value, place),), span=expr.span)
    if not (value.type.is_numeric or value.type.kind in (Kind.DURATION, Kind.NULL)):
        return checker.error(place, "E301", f"{a(value.type)} has no negative", expr.span, _number_hint(value.type))
    return p.Apply(value.type, "negate", (value,), span=expr.span)


def between(checker: "Expressions", expr: t.Between, place: Place) -> "Work":
    value = yield expr.value, place
    low = yield expr.low, place
    high = yield expr.high, place
    test = compare(checker, "between", (value, low, high), expr.span, place)
    return _negated(test) if expr.negated else test


def within(checker: "Expressions", expr: t.In, place: Place) -> "Work":
    args = yield from each((expr.value, *expr.items), place)
    test = compare(checker, "in", args, expr.span, place)
    return _negated(test) if expr.negated else test


def case(checker: "Expressions", expr: t.Case, place: Place) -> "Work":
    tests, chosen = [], []
    for test, value in expr.branches:
        tests.append(boolean(checker, (yield test, place), place))
        chosen.append((yield value, place))
    if expr.otherwise is not None:
        chosen.append((yield expr.otherwise, place))
    return choose(checker, tests, chosen, expr.span, place)


# --- rules ---------------------------------------------------------------------------------


def boolean(checker: "Expressions", value: p.Expression, place: Place) -> p.Expression:
    """The value where true or false is needed; null counts as neither."""
    if value.type.kind is Kind.NULL:
        return convert(value, types.BOOL)
    if value.type.kind is not Kind.BOOL:
        hint = "compare it with something: `… == 1`, `… is not null`"
        return checker.error(place, "E305", f"true or false is needed here, not {a(value.type)}", value.span, hint)
    return value


def compare(
    checker: "Expressions", function: str, args: Sequence[p.Expression], span: Span, place: Place
) -> p.Expression:
    """A comparison of values of one type. Its own type is bool whatever is wrong: that silences echoes."""
    common = common_type(args)
    if common is None:
        left, right = _clash(args)
        message = f"{a(left)} cannot be compared with {a(right)}"
        checker.error(place, "E304", message, span, _cure(left, right))
    elif common.kind is Kind.JSON:
        checker.error(place, "E908", "comparing json is not supported yet", span, "compare a text or a number instead")
    elif not can_order(common) and function not in ("eq", "ne", "in"):
        checker.error(place, "E318", f"values of type {common} have no order", span, "only == and != compare them")
    else:
        args = [convert(arg, common) for arg in args]
    return p.Apply(types.BOOL, function, tuple(args), span=span)


def either(
    checker: "Expressions", function: str, args: Sequence[p.Expression], span: Span, place: Place
) -> p.Expression:
    """One of several values, which have to share a type."""
    common = _shared(checker, args, span, place)
    if common is None or is_unknown(common):
        return unknown(span)
    return p.Apply(common, function, tuple(convert(arg, common) for arg in args), span=span)


def choose(
    checker: "Expressions", tests: Sequence[p.Expression], chosen: Sequence[p.Expression], span: Span, place: Place
) -> p.Expression:
    """`case` and `if`: (test, value, …, else)."""
    common = _shared(checker, chosen, span, place)
    if common is None or is_unknown(common):
        return unknown(span)
    ready = [convert(value, common) for value in chosen]
    args = [part for pair in zip(tests, ready, strict=False) for part in pair]
    return p.Apply(common, "case", (*args, *ready[len(tests) :]), span=span)


def misfit(checker: "Expressions", args: Sequence[p.Expression], span: Span, place: Place) -> p.Expression:
    """Says of values that should share a type that they do not."""
    left, right = _clash(args)
    message = f"the values have to be of one type, but one is {a(left)} and one {a(right)}"
    return checker.error(place, "E311", message, span, _cure(left, right))


def _shared(checker: "Expressions", args: Sequence[p.Expression], span: Span, place: Place) -> Type | None:
    common = common_type(args)
    if common is None:
        misfit(checker, args, span, place)
    return common


def arithmetic(
    checker: "Expressions", function: str, left: p.Expression, right: p.Expression, span: Span, place: Place
) -> p.Expression:
    if is_unknown(left.type) or is_unknown(right.type):
        return unknown(span)
    if left.type.kind is Kind.NULL and right.type.kind is Kind.NULL:
        return p.Const(types.NULL, None, span=span)
    if _is_number(left.type) and _is_number(right.type):
        return _numbers(checker, function, left, right, span, place)
    found = _moments(function, left.type, right.type)
    if found is None:
        message = _CANNOT[function].format(a(left.type), a(right.type))
        hint = _arithmetic_hint(function, left.type, right.type)
        return checker.error(place, "E301", message, span, hint)
    result, wanted = found
    if result.kind is Kind.DATE and isinstance(right, p.Const) and right.value is not None and _has_hours(right):
        hint = "use to_timestamp(…) for a result with hours, or whole days like 1d"
        return checker.error(place, "E301", "a date has no hours, minutes or seconds to add to", span, hint)
    args = (convert(left, wanted[0]), convert(right, wanted[1]))
    return p.Apply(result, function, args, span=span)


def _numbers(
    checker: "Expressions", function: str, left: p.Expression, right: p.Expression, span: Span, place: Place
) -> p.Expression:
    kinds = {left.type.kind, right.type.kind} - {Kind.NULL}
    if function == "div" and kinds != {Kind.INT}:
        return checker.error(place, "E301", "`div` divides ints", span, "write floor(a / b), or to_int(…) around both")
    if Kind.DOUBLE in kinds:
        return _apply(types.DOUBLE, function, convert(left, types.DOUBLE), convert(right, types.DOUBLE), span)
    if kinds == {Kind.INT}:
        result = types.DOUBLE if function == "divide" else types.INT
        return _apply(result, function, convert(left, types.INT), convert(right, types.INT), span)
    one, two = _decimal_of(left, right), _decimal_of(right, left)
    if function == "multiply" and one.scale + two.scale > MAX_PRECISION:
        message = f"the product would have {one.scale + two.scale} digits after the point; a decimal has at most 38"
        return checker.error(place, "E317", message, span, "round(…, 2) one of the two, or use to_double(…)")
    result = _decimal_result(function, one, two)
    return _apply(result, function, convert(left, one), convert(right, two), span)


def _decimal_of(value: p.Expression, other: p.Expression) -> Type:
    return as_decimal(other if value.type.kind is Kind.NULL else value)


def _decimal_result(function: str, one: Type, two: Type) -> Type:
    whole_one, whole_two = one.precision - one.scale, two.precision - two.scale
    scale = max(one.scale, two.scale)
    match function:
        case "multiply":
            return wide_decimal(whole_one + whole_two, one.scale + two.scale)
        case "divide":
            return wide_decimal(whole_one + two.scale, max(6, one.scale))
        case "mod":
            return wide_decimal(max(whole_one, whole_two), scale)
        case _:
            return wide_decimal(max(whole_one, whole_two) + 1, scale)


def _moments(function: str, left: Type, right: Type) -> tuple[Type, tuple[Type, Type]] | None:
    """Arithmetic with moments and durations: the result and what the arguments are cast to. Null stands for what
    fits beside the other."""
    one, two = left.kind, right.kind
    if function in ("add", "subtract") and one in _MOMENTS and two in (Kind.DURATION, Kind.NULL):
        return left, (left, types.DURATION)
    if function == "add" and two in _MOMENTS and one in (Kind.DURATION, Kind.NULL):
        return right, (types.DURATION, right)
    if function == "subtract" and one in _MOMENTS and two in _MOMENTS:
        common = common_type([left, right])
        return None if common is None else (types.DURATION, (common, common))
    if function == "subtract" and one is Kind.NULL and two in _MOMENTS:
        return types.DURATION, (right, right)
    if function in ("add", "subtract") and {one, two} <= {Kind.DURATION, Kind.NULL}:
        return types.DURATION, (types.DURATION, types.DURATION)
    if function == "multiply" and one is Kind.DURATION and two in (Kind.INT, Kind.NULL):
        return types.DURATION, (types.DURATION, types.INT)
    if function == "multiply" and two is Kind.DURATION and one in (Kind.INT, Kind.NULL):
        return types.DURATION, (types.INT, types.DURATION)
    return None


def _has_hours(duration: p.Const) -> bool:
    return bool(duration.value.seconds or duration.value.microseconds)


def _is_number(type_: Type) -> bool:
    return type_.is_numeric or type_.kind is Kind.NULL


def _apply(result: Type, function: str, left: p.Expression, right: p.Expression, span: Span) -> p.Apply:
    return p.Apply(result, function, (left, right), span=span)


def _negated(test: p.Expression) -> p.Expression:
    return p.Apply(types.BOOL, "not", (test,), span=test.span)


# --- words ---------------------------------------------------------------------------------


def _clash(args: Sequence[p.Expression]) -> tuple[Type, Type]:
    """The first two types that do not meet."""
    for position, arg in enumerate(args):
        for other in args[:position]:
            if common_type([other, arg]) is None:
                return other.type, arg.type
    return args[0].type, args[-1].type


def _cure(left: Type, right: Type) -> str:
    """What makes two types comparable."""
    kinds = {left.kind, right.kind}
    if Kind.TEXT in kinds:
        other = right if left.kind is Kind.TEXT else left
        return _text_cure(other.kind)
    if Kind.TIMESTAMPTZ in kinds and kinds & {Kind.DATE, Kind.TIMESTAMP}:
        return 'at_zone(…, "Europe/Zurich") turns a timestamptz into that zone\'s timestamp, and back'
    if Kind.TIME in kinds and kinds & {Kind.TIMESTAMP}:
        return "to_time(…) takes the time of a timestamp"
    if Kind.BOOL in kinds and kinds & {Kind.INT}:
        return "a bool stands by itself: write `x` or `not x`"
    return f"types that meet here: numbers with numbers, dates with timestamps, else the same; not {listing(sorted(kinds))}"


def _text_cure(other: Kind) -> str:
    match other:
        case Kind.INT | Kind.DECIMAL | Kind.DOUBLE:
            return f"to_{other}(…) makes a number of the text; a number is written without quotes"
        case Kind.DATE | Kind.TIMESTAMP:
            return f"to_{other}(…) makes a {other} of the text; a literal is written without quotes: 2026-01-31"
        case Kind.BOOL:
            return "to_bool(…) makes a bool of the text; true and false are written without quotes"
        case Kind.TIME:
            return "to_time(…) makes a time of the text"
        case _:
            return f"a text cannot be read as {a(other)}"


def _number_hint(type_: Type) -> str:
    return "to_int(…), to_decimal(…) or to_double(…) makes a number of a text" if type_.kind is Kind.TEXT else ""


def _arithmetic_hint(function: str, left: Type, right: Type) -> str:
    kinds = {left.kind, right.kind}
    if kinds == {Kind.TEXT} and function == "add":
        return "`+` never joins texts: concat(a, b) does"
    if Kind.TEXT in kinds:
        if function == "add":
            return "concat(a, b) joins texts; to_int(…) or to_decimal(…) makes a number of a text"
        return _number_hint(types.TEXT)
    if kinds & set(_MOMENTS) and kinds & {Kind.INT, Kind.DECIMAL, Kind.DOUBLE}:
        return "a duration has a unit: 1d, 2h, 30m; a column of days is `1d * days`"
    if function == "add" and len(kinds & set(_MOMENTS)) == len(kinds):
        return "two moments are subtracted, or a duration is added to one"
    return ""


def _warn_of_null(checker: "Expressions", expr: t.Binary) -> None:
    message = f"a comparison with null is always null, so `{expr.op} null` never holds"
    cure = "is null" if expr.op == "==" else "is not null"
    checker.findings.warning("W607", message, expr.span, f"write `{cure}`")
