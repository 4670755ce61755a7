"""Typing of calls: the shape that fits, the casts that it asks for, and what may be called where."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from apps.language import functions, types
from apps.language import plan as p
from apps.language import tree as t
from apps.language.checking import constants, operators
from apps.language.checking.findings import a, closest
from apps.language.checking.places import Place, unknown
from apps.language.functions import Match, Shape, Spec
from apps.language.functions.conversion import can_cast, common_type, convert, fits, is_unknown
from apps.language.types import Kind, Type

if TYPE_CHECKING:
    from apps.language.checking.expressions import Expressions, Work

# What people of other languages write, and what it is called here.
ELSEWHERE = {
    "avg": "mean", "average": "mean", "nvl": "coalesce", "ifnull": "coalesce", "isnull": "is null", "len": "length",
    "char_length": "length", "substring": "substr", "mid": "substr", "ceiling": "ceil", "pow": "power",
    "date_trunc": "trunc", "datetrunc": "trunc", "datediff": "days_between", "date_diff": "days_between",
    "lpad": "pad_left", "rpad": "pad_right", "strftime": "format_date", "to_char": "format_date",
    "strptime": "parse_date", "to_number": "to_decimal", "cast": "to_int, to_text, …", "try_cast": "try_int, …",
    "iff": "if", "iif": "if", "nullif": "null_if", "countif": "count_if", "count_distinct_if": "count_distinct",
    "current_date": "today", "current_timestamp": "now", "getdate": "today", "dayofweek": "weekday",
    "group_concat": "string_agg", "listagg": "string_agg", "array_agg": "list_agg", "collect_list": "list_agg",
    "bool_or": "any", "bool_and": "every", "all": "every", "regexp_matches": "regex_match",
    "regexp_replace": "regex_replace", "regexp_extract": "regex_extract", "max_by": "arg_max", "min_by": "arg_min",
    "first_value": "first", "last_value": "last", "stdev": "stddev", "std": "stddev", "var": "variance",
    "percentile": "quantile", "percentile_cont": "quantile", "log": "ln or log10", "instr": "contains",
    "startswith": "starts_with", "endswith": "ends_with", "strip": "trim", "str": "to_text", "int": "to_int",
}  # fmt: skip

_CAST_TARGETS = {
    "int": types.INT, "double": types.DOUBLE, "text": types.TEXT, "bool": types.BOOL, "date": types.DATE,
    "time": types.TIME, "timestamp": types.TIMESTAMP,
}  # fmt: skip
_WITH_ORDER_ONLY = ("first", "last")
_ORDERED = (*_WITH_ORDER_ONLY, "string_agg", "list_agg")


def call(checker: "Expressions", expr: t.Call, place: Place) -> "Work":
    spec = _find(expr.name, place)
    if spec is None:
        return _unknown(checker, expr, place)
    if not spec.supported:
        hint = "declare the fields as columns of the source, as text or numbers"
        return checker.error(place, "E907", f"the function '{spec.name}' is not supported yet", expr.name_span, hint)
    if spec.kind == "expectation":
        return (yield from _expectation(checker, spec, expr, place))
    over_rows = spec.kind in ("aggregate", "window")
    inner = place.within(spec.name) if over_rows else place
    args = yield from operators.each(expr.args, inner)
    if over_rows and not _may_stand(checker, spec, expr, place):
        return unknown(expr.span)
    return _typed(checker, spec, expr, args, place)


def _find(name: str, place: Place) -> Spec | None:
    """The function of that name here: `first` is an aggregate in a group and a window function in a window."""
    if name in functions.NOT_CALLED:
        return None
    if name in functions.CALLED_OPERATORS:
        return functions.OPERATORS[name]
    over_rows = (functions.AGGREGATES, functions.WINDOWS)
    for section in (functions.SCALARS, *(reversed(over_rows) if place.reach == "window" else over_rows)):
        if name in section:
            return section[name]
    return functions.EXPECTATIONS.get(name)


def _unknown(checker: "Expressions", expr: t.Call, place: Place) -> p.Expression:
    known = sorted({*functions.CALLABLE, *checker.names.functions})
    meant = ELSEWHERE.get(expr.name.lower()) or closest(expr.name, known)
    if expr.name in functions.NOT_CALLED:
        written = next(spec.written for spec in functions.SPECS if spec.name == expr.name and spec.written)
        hint = f"it is written `{written}`"
    else:
        hint = f"did you mean '{meant}'?" if meant else "docs/reference/functions.md lists all functions"
    span = expr.name_span if expr.name_span.end else expr.span
    return checker.error(place, "E205", f"unknown function '{expr.name}'", span, hint)


def _may_stand(checker: "Expressions", spec: Spec, expr: t.Call, place: Place) -> bool:
    """Whether an aggregate or a window function may stand here; if not, the error says where it may."""
    kind = "a window function" if spec.kind == "window" else "an aggregate"
    if place.inside:
        message = f"'{spec.name}' is {kind} and cannot stand inside '{place.inside}'"
        checker.error(place, "E308", message, expr.span, "compute the inner one in a step or operation before")
    elif place.constant:
        checker.error(place, "E412", f"{place.constant}: '{spec.name}' cannot stand here", expr.span)
    elif spec.kind == "window" and place.reach not in ("window", "any"):
        hint = "write it in `| window by … order … { name = " + spec.name + "(…) }`"
        checker.error(place, "E307", f"'{spec.name}' is a window function and stands in `window`", expr.span, hint)
    elif spec.kind == "aggregate" and place.reach == "row":
        hint = "write it in `| group by … { … }`, or in `| window by … { … }` to keep the rows"
        if spec.name in ("max", "min"):
            hint += f"; '{'greatest' if spec.name == 'max' else 'least'}' compares values of one row"
        checker.error(
            place, "E306", f"'{spec.name}' is an aggregate and cannot stand in {place.what} here", expr.span, hint
        )
    elif _lacks_order(spec, place):
        if place.reach == "window":
            hint = "give the window an order: `window by … order … { … }`"
        else:
            hint = "put a `| sort …` before the group, or use arg_min(value, by) or arg_max(value, by)"
        checker.error(place, "E315", f"'{spec.name}' needs an order of the rows", expr.span, hint)
    else:
        return True
    return False


def _lacks_order(spec: Spec, place: Place) -> bool:
    if place.reach == "window":
        return not place.window_order and (spec.kind == "window" or spec.name in _ORDERED)
    return place.reach in ("group", "table") and spec.name in _WITH_ORDER_ONLY and not place.row_order


def _typed(
    checker: "Expressions", spec: Spec, expr: t.Call, args: Sequence[p.Expression], place: Place
) -> p.Expression:
    shapes = [shape for shape in spec.shapes if shape.takes(len(args))]
    if not shapes:
        count = spec.counts()
        message = f"'{spec.name}' takes {count} argument{'s' * (count != '1')}, not {len(args)}"
        return checker.error(place, "E303", message, expr.span, _signatures(spec))
    if spec.name in functions.CALLED_OPERATORS:
        return operators.arithmetic(checker, spec.name, args[0], args[1], expr.span, place)
    if any(is_unknown(arg.type) for arg in args):
        return _guess(shapes, expr)
    for shape in shapes:
        match = shape.match(args)
        if match is not None:
            break
    else:
        return _misfit(checker, spec, shapes, expr, args, place)
    ready = [convert(arg, wanted) for arg, wanted in zip(args, match.arguments, strict=True)]
    if not constants.check(checker, spec, shape, ready, place):
        return _guess([shape], expr)
    return _lowered(checker, spec, match, ready, expr, place)


def _guess(shapes: Sequence[Shape], expr: t.Call) -> p.Expression:
    """The result where an argument is unknown: its type, if it is the same whatever the argument is."""
    plain = {shape.result for shape in shapes if shape.rule is None}
    if len(plain) == 1 and len(shapes) == sum(shape.rule is None for shape in shapes):
        (result,) = plain
        if result in {kind.value for kind in Kind}:
            return p.Const(Type(Kind(result)), None, span=expr.span)
    return unknown(expr.span)


def _lowered(
    checker: "Expressions", spec: Spec, match: Match, args: Sequence[p.Expression], expr: t.Call, place: Place
) -> p.Expression:
    """The call as the plan has it."""
    name, span = spec.name, expr.span
    if name == "if":
        return operators.choose(checker, args[:1], args[1:], span, place)
    if name.startswith(("to_", "try_")) and spec.kind == "scalar":
        return _cast(checker, name, match.result, args[0], expr, place)
    if spec.kind == "scalar":
        return p.Apply(match.result, spec.plan_name, tuple(args), span=span)
    if place.reach == "window":
        return p.WindowCall(match.result, spec.plan_name, tuple(args), span=span)
    order: tuple[p.OrderKey, ...] = ()
    if name in _ORDERED:
        order = place.row_order or (p.OrderKey(args[0]),)
    return p.Aggregate(match.result, spec.plan_name, tuple(args), order, span=span)


def _cast(
    checker: "Expressions", name: str, target: Type, value: p.Expression, expr: t.Call, place: Place
) -> p.Expression:
    if not can_cast(value.type, target):
        code = "E908" if value.type.kind is Kind.JSON else "E313"
        checker.error(
            place, code, f"{a(value.type)} cannot become {a(target)}", expr.span, cast_hint(value.type, target)
        )
        return p.Const(target, None, span=expr.span)
    function = "try_cast" if name.startswith("try_") else "cast"
    return p.Apply(target, function, (value,), span=expr.span)


def cast_hint(source: Type, target: Type) -> str:
    """How to get there all the same."""
    match source.kind, target.kind:
        case ((Kind.DATE | Kind.TIMESTAMP | Kind.TIMESTAMPTZ), (Kind.INT | Kind.DOUBLE | Kind.DECIMAL)):
            return "epoch(…) gives seconds; year(…), month(…), day(…) its parts; days_between(…) counts days"
        case ((Kind.INT | Kind.DOUBLE | Kind.DECIMAL), (Kind.DATE | Kind.TIMESTAMP)):
            return "add a duration to a moment: 1970-01-01 00:00 + 1s * seconds"
        case ((Kind.TIMESTAMP | Kind.DATE), Kind.TIMESTAMPTZ):
            return 'at_zone(…, "Europe/Zurich") says of which zone the time is'
        case Kind.DURATION, _:
            return "seconds_between(start, end) gives a number"
        case ((Kind.DOUBLE | Kind.DECIMAL), Kind.BOOL):
            return "compare it: `… != 0`"
        case Kind.JSON, _:
            return "json cannot be taken apart yet: declare the column as text"
        case _:
            return ""


def _misfit(
    checker: "Expressions",
    spec: Spec,
    shapes: Sequence[Shape],
    expr: t.Call,
    args: Sequence[p.Expression],
    place: Place,
) -> p.Expression:
    """Says which argument does not fit, as seen by the shape that comes furthest."""
    best = max(shapes, key=lambda shape: _fitting(shape, args))
    position = _fitting(best, args)
    if position >= len(args):  # each fits by itself, but not all together
        shared = [arg for index, arg in enumerate(args) if best.parameter(index).pattern in ("T", "O")]
        if len(shared) > 1 and common_type(shared) is None:
            return operators.misfit(checker, shared, expr.span, place)
        message = f"the arguments of '{spec.name}' do not fit each other"
        return checker.error(place, "E302", message, expr.span, _signatures(spec))
    patterns = [shape.parameter(position).pattern for shape in shapes if position < 1 or shape is best]
    takes = _either(dict.fromkeys(map(_described, patterns)))
    code = "E908" if args[position].type.kind is Kind.JSON else "E302"
    ordinal = ["first", "second", "third"][position] if position < 3 else f"{position + 1}th"
    which = "argument" if len(args) == 1 else f"{ordinal} argument"
    message = f"the {which} of '{spec.name}' is {takes}, not {a(args[position].type)}"
    checker.error(
        place, code, message, args[position].span, _cure(best.parameter(position).pattern, args[position].type)
    )
    return _guess(shapes, expr)


def _fitting(shape: Shape, args: Sequence[p.Expression]) -> int:
    """How many arguments fit, from the first on."""
    for position, arg in enumerate(args):
        if not _fits(shape.parameter(position).pattern, arg):
            return position
    return len(args)


def _fits(pattern: str, arg: p.Expression) -> bool:
    match pattern:
        case "any" | "T":
            return True
        case "O":
            return arg.type.kind not in (Kind.JSON, Kind.LIST, Kind.STRUCT)
        case "number":
            return arg.type.is_numeric or arg.type.kind is Kind.NULL
    if pattern.startswith("decimal("):
        return arg.type.kind in (Kind.DECIMAL, Kind.NULL)
    if pattern.startswith("list("):
        return arg.type.kind in (Kind.LIST, Kind.NULL)
    return fits(arg, Type(Kind(pattern)))


def _described(pattern: str) -> str:
    if pattern.startswith("decimal("):
        return "a decimal"
    if pattern.startswith("list("):
        return "a list"
    return {"O": "a value with an order", "number": "a number"}.get(pattern, a(pattern))


def _either(takes: Iterable[str]) -> str:
    """`a number`, `a date or a timestamp`."""
    words = list(takes)
    return "a number" if {"an int", "a decimal", "a double"} <= set(words) else " or ".join(words)


def _cure(patterns: Sequence[str], given: Type) -> str:
    """How a value of another type gets there."""
    if given.kind is Kind.JSON:
        return "json cannot be taken apart yet: declare the column as text"
    targets = [pattern for pattern in patterns if pattern in _CAST_TARGETS]
    if len(patterns) > 1 and given.kind is Kind.TEXT and "int" in targets:
        return "to_int(…), to_decimal(…) or to_double(…) makes a number of it"
    if targets and can_cast(given, _CAST_TARGETS[targets[0]]):
        return f"to_{targets[0]}(…) makes {a(targets[0])} of it"
    return cast_hint(given, _CAST_TARGETS[targets[0]]) if targets else ""


def _signatures(spec: Spec) -> str:
    shown = [shape.text.replace("!", "").replace("...", "…") for shape in spec.shapes[:3]]
    return "; ".join(shown)


def _expectation(checker: "Expressions", spec: Spec, expr: t.Call, place: Place) -> "Work":
    """`row_count()` and `freshness(ts)`, which stand in expressions of an expectation; the others stand alone."""
    if place.reach != "table" or spec.name not in ("row_count", "freshness"):
        message = f"'{spec.name}' is an expectation"
        alone = "" if spec.name in ("row_count", "freshness") else ", as a rule of its own"
        hint = f"it stands in `expect STEP {{ … }}`{alone}"
        return checker.error(place, "E414", message, expr.name_span if expr.name_span.end else expr.span, hint)
    args = yield from operators.each(expr.args, place.within(spec.name))
    if place.inside:
        message = f"'{spec.name}' counts the whole table and cannot stand inside '{place.inside}'"
        return checker.error(place, "E308", message, expr.span)
    typed = _typed(checker, spec, expr, args, place)
    if is_unknown(typed.type) or not isinstance(typed, p.Aggregate):
        return typed
    if spec.name == "row_count":
        return p.Aggregate(types.INT, "count", (), span=expr.span)
    return _age(checker, typed.args[0], expr)


def _age(checker: "Expressions", moment: p.Expression, expr: t.Call) -> p.Expression:
    """`freshness(ts)`: now() - max(ts), both in the flow's zone."""
    now: p.Expression = p.Apply(types.TIMESTAMP, "now", (), span=expr.span)
    if moment.type.kind is Kind.TIMESTAMPTZ:
        zone = p.Const(types.TEXT, checker.names.timezone, span=expr.span)
        now = p.Apply(types.TIMESTAMPTZ, "at_zone", (now, zone), span=expr.span)
    latest = p.Aggregate(moment.type, "max", (moment,), span=expr.span)
    return p.Apply(types.DURATION, "subtract", (now, latest), span=expr.span)
