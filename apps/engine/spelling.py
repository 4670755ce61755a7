"""How each function of the language is spelled on an engine: the one table a new engine adds its own to.

A spelling takes the plan's node (for the types of its arguments and result) and the arguments, already emitted, and
answers with an expression of our meaning. `expressions.Emitter` casts the result to the plan's type, so a spelling
minds values, not widths. DuckDB is the only engine so far.
"""

from collections.abc import Callable

from sqlglot import exp

from apps.engine import arithmetic
from apps.engine.nodes import (
    Args,
    Node,
    Spelling,
    argument_type,
    binary,
    call,
    constant,
    count_where,
    is_null,
    is_there,
    strict,
    when,
    wrap,
)  # fmt: skip
from apps.engine.types import cast, identifier, number, text, try_cast
from apps.language import types
from apps.language.plan import Apply, ColumnRef, Const, ParamValue, WindowCall
from apps.language.types import Kind, Type

_MICROSECONDS = {"seconds_between": 1_000_000, "minutes_between": 60_000_000, "hours_between": 3_600_000_000}


def named(name: str) -> Spelling:
    return lambda node, args: call(name, *args)


def operator(kind: type[exp.Expression]) -> Spelling:
    return lambda node, args: binary(kind, args[0], args[1])


def _round(node: Node, args: Args) -> exp.Expression:
    digits = [exp.Cast(this=args[1], to=exp.DataType.build("INT"))] if len(args) > 1 else []
    return call("round", args[0], *digits)


# --- logic, null, choice ------------------------------------------------------------------------


def _connect(kind: type[exp.Expression]) -> Spelling:
    def spell(node: Node, args: Args) -> exp.Expression:
        result = wrap(args[0])
        for arg in args[1:]:
            result = kind(this=result, expression=wrap(arg))
        return result

    return spell


def _case(node: Node, args: Args) -> exp.Expression:
    """(test, value, test, value, …, else); without else it is null."""
    pairs = zip(args[0::2], args[1::2], strict=False)
    default = args[-1] if len(args) % 2 else None
    return exp.Case(ifs=[exp.If(this=test, true=value) for test, value in pairs], default=default)


def _in(node: Node, args: Args) -> exp.Expression:
    if len(args) == 1:
        return strict(exp.false(), args[0])
    return exp.In(this=wrap(args[0]), expressions=list(args[1:]))


def _between(node: Node, args: Args) -> exp.Expression:
    return exp.Between(this=wrap(args[0]), low=wrap(args[1]), high=wrap(args[2]))


def _extreme(name: str, order: str) -> Spelling:
    """`greatest` and `least`. DuckDB's skip a null, ours answer with null."""

    def spell(node: Node, args: Args) -> exp.Expression:
        if all(isinstance(arg, Const | ColumnRef | ParamValue) for arg in node.args):
            return strict(call(name, *args), *args)
        # Slower, but names each argument once: a dozen of them nested would be a statement of megabytes.
        ranked = call("list_sort", exp.Array(expressions=list(args)), text(order), text("NULLS FIRST"))
        return call("list_extract", ranked, number(1))

    return spell


def _field(node: Node, args: Args) -> exp.Expression:
    return call("struct_extract", args[0], text(constant(node, 1)))


def _list(node: Node, args: Args) -> exp.Expression:
    return exp.Array(expressions=list(args))


def _struct(node: Node, args: Args) -> exp.Expression:
    names = [constant(node, position) for position in range(0, len(args), 2)]
    pairs = zip(names, args[1::2], strict=True)
    return exp.Struct(expressions=[exp.PropertyEQ(this=identifier(name), expression=value) for name, value in pairs])


# --- casts -----------------------------------------------------------------------------------


def convert(value: exp.Expression, source: Type, target: Type, *, tolerant: bool) -> exp.Expression:
    """A cast by the language's rules: a fraction is cut off on the way to int, a zone is UTC."""
    to = try_cast if tolerant else cast
    match source.kind, target.kind:
        case ((Kind.DOUBLE | Kind.DECIMAL), Kind.INT):
            return to(call("trunc", value), target)
        case Kind.TEXT, Kind.INT:
            return to(_marked_unless_whole(value), target)
        case Kind.TEXT, Kind.BOOL:
            return _to_bool(value, tolerant=tolerant)
        case Kind.TIMESTAMPTZ, (Kind.DATE | Kind.TIME | Kind.TIMESTAMP):
            return to(_in_utc(value), target)
        case ((Kind.DATE | Kind.TIMESTAMP), Kind.TIMESTAMPTZ):
            return _in_utc(cast(value, types.TIMESTAMP))
        case _:
            return to(value, target)


_NO_INT = "not a whole number: "
_SMALL = 20  # nodes of an expression that may be written twice


def _marked_unless_whole(value: exp.Expression) -> exp.Expression:
    """DuckDB reads `3.7`, `1e3`, `0x10` and `1_000` as whole numbers, the language does not: such a text gets words
    before it, so that the cast refuses it."""
    if sum(1 for _ in value.walk()) > _SMALL:  # four times slower, but names the value once
        return call("regexp_replace", value, text(r"(?s)^(.*[^0-9+\s-].*)$"), text(_NO_INT + r"\1"))
    whole = call("regexp_full_match", value.copy(), text(r"\s*[+-]?[0-9]+\s*"))
    return when(whole, value, exp.DPipe(this=text(_NO_INT), expression=wrap(value.copy())))


def _to_bool(value: exp.Expression, *, tolerant: bool) -> exp.Expression:
    """`true` and `false` in any case; DuckDB would read `t`, `yes` and `1`, too."""
    known = [exp.If(this=text(word), true=exp.Boolean(this=word == "true")) for word in ("true", "false")]
    refusal = cast(exp.DPipe(this=text("not true or false: "), expression=wrap(value.copy())), types.BOOL)
    return exp.Case(this=call("lower", value), ifs=known, default=None if tolerant else refusal)


def _cast(node: Node, args: Args) -> exp.Expression:
    return convert(args[0], argument_type(node, 0), node.type, tolerant=False)


def _try_cast(node: Node, args: Args) -> exp.Expression:
    return convert(args[0], argument_type(node, 0), node.type, tolerant=True)


def _in_utc(value: exp.Expression) -> exp.Expression:
    """A timestamptz as UTC's clock shows it, and a timestamp as the moment when UTC's clock shows it."""
    return call("timezone", text("UTC"), value)


# --- text ------------------------------------------------------------------------------------


def _join(node: Node, args: Args) -> exp.Expression:
    """`concat` with null is null, so `||` and not DuckDB's `concat`, which skips nulls."""
    result = wrap(args[0])
    for arg in args[1:]:
        result = exp.DPipe(this=result, expression=wrap(arg))
    return result


def _count_of(node: Node, args: Args, position: int) -> exp.Expression:
    """A number of characters: not below 0. Null stays null, which DuckDB's `greatest` would not do."""
    given, value = node.args[position], args[position]
    if isinstance(given, Const) and given.value is not None:
        return number(max(0, given.value))
    return when(binary(exp.LT, value.copy(), number(0)), number(0), value)


def _substr(node: Node, args: Args) -> exp.Expression:
    given, start = node.args[1], args[1]
    if isinstance(given, Const) and given.value is not None:
        start = number(given.value or 1)
    else:
        start = when(binary(exp.EQ, start.copy(), number(0)), number(1), start)
    rest = [_count_of(node, args, 2)] if len(args) > 2 else []
    return call("substr", args[0], start, *rest)


def _end(name: str) -> Spelling:
    return lambda node, args: call(name, args[0], _count_of(node, args, 1))


def _pad(name: str) -> Spelling:
    def spell(node: Node, args: Args) -> exp.Expression:
        fill = args[2] if len(args) > 2 else text(" ")
        length = exp.Cast(this=_count_of(node, args, 1), to=exp.DataType.build("INT"))
        return call(name, args[0], length, fill)

    return spell


def _reverse(node: Node, args: Args) -> exp.Expression:
    """By characters: DuckDB's own `reverse` keeps clusters together."""
    return call("array_to_string", call("list_reverse", call("regexp_extract_all", args[0], text("(?s)."))), text(""))


def _regex_extract(node: Node, args: Args) -> exp.Expression:
    """The match or the group; null where nothing matches (DuckDB gives the empty text)."""
    group = [exp.Literal.number(constant(node, 2))] if len(args) > 2 else []
    return call("list_extract", call("regexp_extract_all", args[0], args[1], *group), number(1))


def _regex_replace(node: Node, args: Args) -> exp.Expression:
    return call("regexp_replace", *args, text("g"))


# --- time ------------------------------------------------------------------------------------


def _clock(node: Node, args: Args, position: int = 0) -> exp.Expression:
    """A moment whose parts can be read whatever time zone the connection has."""
    value = args[position]
    return _in_utc(value) if argument_type(node, position).kind is Kind.TIMESTAMPTZ else value


def _part(name: str) -> Spelling:
    return lambda node, args: call("date_part", text(name), _clock(node, args))


def _trunc(node: Node, args: Args) -> exp.Expression:
    start = call("date_trunc", args[1], _clock(node, args))
    return _in_utc(start) if node.type.kind is Kind.TIMESTAMPTZ else start


def _days_between(node: Node, args: Args) -> exp.Expression:
    """Midnights between the two."""
    return call("date_diff", text("day"), _clock(node, args), _clock(node, args, 1))


def _units_between(node: Node, args: Args) -> exp.Expression:
    """Whole units that have passed from the first to the second, cut off towards zero."""
    passed = binary(exp.Sub, call("epoch_us", args[1]), call("epoch_us", args[0]))
    return binary(exp.IntDiv, passed, number(_MICROSECONDS[node.function]))


def _format_date(node: Node, args: Args) -> exp.Expression:
    return call("strftime", _clock(node, args), args[1])


def _parse_date(node: Node, args: Args) -> exp.Expression:
    return call("strptime", args[0], args[1])


def _at_zone(node: Node, args: Args) -> exp.Expression:
    return call("timezone", args[1], args[0])


def _epoch(node: Node, args: Args) -> exp.Expression:
    """Cut to the second first: half a second before 1970 is in second -1."""
    return call("epoch", call("date_trunc", text("second"), _clock(node, args)))


# --- hashes, lists ---------------------------------------------------------------------------


def _hash64(node: Node, args: Args) -> exp.Expression:
    """The first 8 bytes of the text's MD5 as a signed number: the same on every engine."""
    digits = call("substr", call("md5", args[0]), number(1), number(16))
    value = exp.Cast(
        this=exp.DPipe(this=text("0x"), expression=digits), to=exp.DataType.build("UBIGINT", dialect="duckdb")
    )
    wide = exp.Cast(this=value, to=exp.DataType.build("HUGEINT", dialect="duckdb"))
    # (v + 2**63) % 2**64 - 2**63 without naming the value twice.
    shifted = binary(exp.Mod, binary(exp.Add, wide, arithmetic.huge(2**63)), arithmetic.huge(2**64))
    return binary(exp.Sub, shifted, arithmetic.huge(2**63))


# --- aggregates ------------------------------------------------------------------------------


def _count(node: Node, args: Args) -> exp.Expression:
    return exp.Count(this=args[0] if args else exp.Star())


def _count_distinct(node: Node, args: Args) -> exp.Expression:
    return exp.Count(this=exp.Distinct(expressions=list(args)))


def _mean(node: Node, args: Args) -> exp.Expression:
    """Of ints and decimals DuckDB takes the exact sum: closer, and cheaper, than that of doubles."""
    given, value = node.args[0], args[0]
    if isinstance(given, Apply) and given.function == "cast" and isinstance(value, exp.Cast):
        exact = given.args[0].type.kind in (Kind.INT, Kind.DECIMAL)
        return call("avg", value.this if exact else value)
    return call("avg", value)


def _quantile(node: Node, args: Args) -> exp.Expression:
    """Between two values in proportion."""
    share = args[1] if len(args) > 1 else exp.Literal.number("0.5")
    return call("quantile_cont", args[0], share)


def _where_there(value: exp.Expression, tested: exp.Expression) -> exp.Expression:
    return exp.Filter(this=value, expression=exp.Where(this=is_there(tested.copy())))


def _pick(name: str) -> Spelling:
    """`first` and `last` skip nulls, as every aggregate does."""

    def spell(node: Node, args: Args) -> exp.Expression:
        if isinstance(node, WindowCall):
            chosen = exp.FirstValue if name == "first" else exp.LastValue
            return exp.IgnoreNulls(this=chosen(this=args[0]))
        return _where_there(call(name, args[0]), args[0])

    return spell


def _list_agg(node: Node, args: Args) -> exp.Expression:
    return _where_there(call("list", args[0]), args[0])


DUCKDB: dict[str, Spelling] = {
    # operators
    "add": arithmetic.sum_of(exp.Add),
    "subtract": arithmetic.sum_of(exp.Sub),
    "multiply": arithmetic.multiply,
    "divide": arithmetic.divide,
    "div": arithmetic.whole_divide,
    "mod": arithmetic.mod,
    "negate": arithmetic.negate,
    "eq": operator(exp.EQ),
    "ne": operator(exp.NEQ),
    "lt": operator(exp.LT),
    "le": operator(exp.LTE),
    "gt": operator(exp.GT),
    "ge": operator(exp.GTE),
    "and": _connect(exp.And),
    "or": _connect(exp.Or),
    "not": lambda node, args: exp.Not(this=wrap(args[0])),
    "is_null": lambda node, args: is_null(args[0]),
    "in": _in,
    "between": _between,
    "case": _case,
    "field": _field,
    "list": _list,
    "struct": _struct,
    "cast": _cast,
    "try_cast": _try_cast,
    # null
    "coalesce": named("coalesce"),
    "null_if": named("nullif"),
    "greatest": _extreme("greatest", "DESC"),
    "least": _extreme("least", "ASC"),
    # text
    "lower": named("lower"),
    "upper": named("upper"),
    "trim": named("trim"),
    "ltrim": named("ltrim"),
    "rtrim": named("rtrim"),
    "length": named("length"),
    "substr": _substr,
    "left": _end("left"),
    "right": _end("right"),
    "replace": named("replace"),
    "contains": named("contains"),
    "starts_with": named("starts_with"),
    "ends_with": named("ends_with"),
    "split_part": named("split_part"),
    "concat": _join,
    "pad_left": _pad("lpad"),
    "pad_right": _pad("rpad"),
    "reverse": _reverse,
    "regex_match": named("regexp_matches"),
    "regex_extract": _regex_extract,
    "regex_replace": _regex_replace,
    # math
    "abs": named("abs"),
    "round": _round,
    "floor": named("floor"),
    "ceil": named("ceil"),
    "sqrt": arithmetic.positive("sqrt", "nan"),
    "exp": named("exp"),
    "ln": arithmetic.positive("ln", "nan", "-inf"),
    "log10": arithmetic.positive("log10", "nan", "-inf"),
    "power": named("pow"),
    "sign": named("sign"),
    # time
    "year": _part("year"),
    "quarter": _part("quarter"),
    "month": _part("month"),
    "day": _part("day"),
    "hour": _part("hour"),
    "minute": _part("minute"),
    "second": _part("second"),
    "weekday": _part("isodow"),
    "week": _part("week"),
    "trunc": _trunc,
    "days_between": _days_between,
    "hours_between": _units_between,
    "minutes_between": _units_between,
    "seconds_between": _units_between,
    "format_date": _format_date,
    "parse_date": _parse_date,
    "at_zone": _at_zone,
    "epoch": _epoch,
    # lists, hashes
    "list_length": named("len"),
    "list_contains": named("list_contains"),
    "list_get": named("list_extract"),
    "md5": named("md5"),
    "sha256": named("sha256"),
    "hash64": _hash64,
    # aggregates
    "count": _count,
    "count_if": lambda node, args: count_where(args[0]),
    "count_distinct": _count_distinct,
    "sum": named("sum"),
    "mean": _mean,
    "min": named("min"),
    "max": named("max"),
    "median": _quantile,
    "quantile": _quantile,
    "stddev": named("stddev_samp"),
    "variance": named("var_samp"),
    "corr": named("corr"),
    "first": _pick("first"),
    "last": _pick("last"),
    "arg_min": named("arg_min"),
    "arg_max": named("arg_max"),
    "string_agg": named("string_agg"),
    "list_agg": _list_agg,
    "any": named("bool_or"),
    "every": named("bool_and"),
    # windows
    "row_number": named("row_number"),
    "rank": named("rank"),
    "dense_rank": named("dense_rank"),
    "percent_rank": named("percent_rank"),
    "ntile": named("ntile"),
    "lag": named("lag"),
    "lead": named("lead"),
}

# Functions whose result DuckDB gives in our type already: a cast would only lengthen the text.
EXACT = frozenset({
    "eq", "ne", "lt", "le", "gt", "ge", "and", "or", "not", "is_null", "in", "between", "cast", "try_cast", "case",
    "coalesce", "null_if", "lower", "upper", "trim", "contains", "starts_with", "ends_with", "regex_match",
})  # fmt: skip

# What is done to a result that stands outside of its window: DuckDB says NaN where there is no correlation.
AFTER: dict[str, Callable[[exp.Expression], exp.Expression]] = {
    "corr": lambda value: call("nullif", value, cast(text("nan"), types.DOUBLE)),
}
