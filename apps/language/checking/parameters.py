"""Parameters: their types, defaults, and what they allow."""

from collections.abc import Iterator
from decimal import Decimal

from apps.language import plan as p
from apps.language import tree as t
from apps.language.checking.expressions import Expressions
from apps.language.checking.findings import a
from apps.language.checking.places import NOTHING, Place, unknown
from apps.language.checking.walking import walk_plan
from apps.language.functions.conversion import UNKNOWN, convert, exact_decimal, fits
from apps.language.types import Kind, Type
from apps.language.values import show

_KINDS = (
    Kind.BOOL, Kind.INT, Kind.DOUBLE, Kind.DECIMAL, Kind.TEXT, Kind.DATE, Kind.TIME, Kind.TIMESTAMP,
    Kind.TIMESTAMPTZ, Kind.DURATION,
)  # fmt: skip
_EXACT = (Kind.INT, Kind.DECIMAL)


def param_type(param: t.Param, expressions: Expressions) -> Type:
    """The parameter's type; UNKNOWN if a parameter cannot have it."""
    if param.type.kind in _KINDS:
        return param.type
    message = f"a parameter cannot be {a(param.type)}"
    expressions.findings.error("E412", message, param.span, "it is one value: bool, int, decimal, text, date, …")
    return UNKNOWN


def parameter(param: t.Param, type_: Type, expressions: Expressions) -> p.Parameter:
    """The checked parameter. Its expressions see no columns and no parameters."""
    default = _value(param.default, param, type_, expressions, "the default of")
    allow = None
    if param.allow is not None:
        allow = tuple(item for value in param.allow if (item := _value(value, param, type_, expressions, "allow of")))
        if not allow:
            expressions.findings.error("E412", f"'{param.name}' allows nothing", param.span, 'allow ["EU", "US"]')
    low = _value(param.low, param, type_, expressions, "the lower bound of")
    high = _value(param.high, param, type_, expressions, "the higher bound of")
    checked = p.Parameter(param.name, type_, default, allow, low, high, span=param.span)
    if _bounds_agree(checked, expressions) and isinstance(default, p.Const) and default.value is not None:
        problem = refusal(checked, default)
        if problem:
            message = f"the default of '{param.name}' is not allowed: {problem}"
            expressions.findings.error("E411", message, default.span, "change the default or what is allowed")
    return checked


def _value(
    expr: t.Expr | None, param: t.Param, type_: Type, expressions: Expressions, what: str
) -> p.Expression | None:
    if expr is None:
        return None
    place = Place(NOTHING, f"parameter '{param.name}'", constant=f"{what} a parameter is a constant", params=False)
    return of_type(expressions.check(expr, place), type_, expressions, f"{what} '{param.name}'", place)


def of_type(value: p.Expression, type_: Type, expressions: Expressions, what: str, place: Place) -> p.Expression:
    """A value as a type that it has to take; it may be narrower, a literal must not lose digits."""
    if UNKNOWN in (value.type, type_):
        return unknown(value.span)
    if (
        isinstance(value, p.Const)
        and value.value is not None
        and type_.kind is Kind.DECIMAL
        and value.type.kind in _EXACT
    ):
        exact = exact_decimal(Decimal(value.value), type_)
        if exact is not None:
            return p.Const(type_, exact, span=value.span)
        message = f"{what}: {show(value.value)} does not fit {type_}"
        return expressions.error(place, "E412", message, value.span, "use fewer digits, or widen the type")
    if not fits(value, type_):
        hint = f"write {a(type_)}, or say how: to_{type_.kind}(…)"
        return expressions.error(place, "E412", f"{what} has to be {a(type_)}, not {a(value.type)}", value.span, hint)
    return convert(value, type_)


def _bounds_agree(checked: p.Parameter, expressions: Expressions) -> bool:
    low, high = checked.low, checked.high
    if not (isinstance(low, p.Const) and isinstance(high, p.Const)) or None in (low.value, high.value):
        return True
    if low.value <= high.value:
        return True
    message = f"nothing is between {show(low.value)} and {show(high.value)}"
    expressions.findings.error("E411", message, low.span, "write the lower bound first")
    return False


def refusal(parameter: p.Parameter, value: p.Const) -> str:
    """Why the parameter does not allow a value, empty if it does or only a run can say."""
    given = show(value.value)
    if parameter.allow is not None and all(_is_known(item) for item in parameter.allow):
        allowed = [item.value for item in parameter.allow if isinstance(item, p.Const)]
        if value.value not in allowed:
            return f"{given} is not one of {', '.join(map(show, allowed))}"
    for bound, is_low in ((parameter.low, True), (parameter.high, False)):
        if not isinstance(bound, p.Const) or bound.value is None:
            continue
        if value.value < bound.value if is_low else value.value > bound.value:
            return f"{given} is {'below' if is_low else 'above'} {show(bound.value)}"
    return ""


def _is_known(item: p.Expression) -> bool:
    return isinstance(item, p.Const) and item.type != UNKNOWN


def params_of(step: p.StepTable) -> Iterator[str]:
    """The names of the parameters that a step reads."""
    for operation in step.operations:
        for expression in expressions_of(operation):
            for node in walk_plan(expression):
                if isinstance(node, p.ParamValue):
                    yield node.name


def expressions_of(operation: p.Operation) -> list[p.Expression]:
    """All expressions of a lowered operation."""
    match operation:
        case p.Filter(test=test):
            return [test]
        case p.Project(columns=columns):
            return [value for _, value in columns]
        case p.JoinTo(test=test):
            return [] if test is None else [test]
        case p.GroupTo(keys=keys, columns=columns):
            return [value for _, value in (*keys, *columns)]
        case p.WindowTo(partition=partition, order=order, columns=columns):
            return [*partition, *(key.value for key in order), *(value for _, value in columns)]
        case p.SortBy(keys=keys):
            return [key.value for key in keys]
        case p.TakeRows(by=by, order=order) | p.DedupeRows(by=by, order=order):
            return [*by, *(key.value for key in order)]
        case p.UnionWith(columns=columns):
            return [value for _, left, right in columns for value in (left, right)]
        case _:
            return []
