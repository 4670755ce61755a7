"""How each function of the language is spelled on an engine: the one table a new engine adds its own to.

A spelling takes the plan's node (for the types of its arguments and result) and the arguments, already emitted, and
answers with an expression of our meaning. `expressions.Emitter` casts the result to the plan's type, so a spelling
minds values, not widths. DuckDB is the only engine so far.
"""

from collections.abc import Callable

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
    is_there,
    strict,
    when,
)  # fmt: skip
from apps.engine.sql import (
    FALSE,
    STAR,
    TRUE,
    Array,
    Between,
    Call,
    Case,
    Cast,
    In,
    IsNull,
    Not,
    Number,
    Operator,
    Raw,
    Sql,
    Struct,
    Text,
)  # fmt: skip
from apps.engine.types import cast, try_cast
from apps.language import types
from apps.language.plan import Apply, ColumnRef, Const, ParamValue, WindowCall
from apps.language.types import Kind, Type

_MICROSECONDS = {"seconds_between": 1_000_000, "minutes_between": 60_000_000, "hours_between": 3_600_000_000}


def named(name: str) -> Spelling:
    return lambda node, args: call(name, *args)


def operator(sign: str) -> Spelling:
    return lambda node, args: binary(sign, args[0], args[1])


def _round(node: Node, args: Args) -> Sql:
    digits = [Cast(args[1], "INTEGER")] if len(args) > 1 else []
    return call("round", args[0], *digits)


# --- logic, null, choice ------------------------------------------------------------------------


def connect(sign: str) -> Spelling:
    return lambda node, args: Operator(sign, tuple(args)) if len(args) > 1 else args[0]


def _case(node: Node, args: Args) -> Sql:
    """(test, value, test, value, …, else); without else it is null."""
    branches = tuple(zip(args[0::2], args[1::2], strict=False))
    return Case(branches, args[-1] if len(args) % 2 else None)


def _in(node: Node, args: Args) -> Sql:
    if len(args) == 1:
        return strict(FALSE, args[0])
    return In(args[0], tuple(args[1:]))


def _between(node: Node, args: Args) -> Sql:
    return Between(args[0], args[1], args[2])


def _extreme(name: str, order: str) -> Spelling:
    """`greatest` and `least`. DuckDB's skip a null, ours answer with null."""

    def spell(node: Node, args: Args) -> Sql:
        if all(isinstance(arg, Const | ColumnRef | ParamValue) for arg in node.args):
            return strict(call(name, *args), *args)
        # Slower, but names each argument once: a dozen of them nested would be a statement of megabytes.
        ranked = call("list_sort", Array(tuple(args)), Text(order), Text("NULLS FIRST"))
        return call("list_extract", ranked, Number(1))

    return spell


def _field(node: Node, args: Args) -> Sql:
    return call("struct_extract", args[0], Text(constant(node, 1)))


def _list(node: Node, args: Args) -> Sql:
    return Array(tuple(args))


def _struct(node: Node, args: Args) -> Sql:
    names = [constant(node, position) for position in range(0, len(args), 2)]
    return Struct(tuple(zip(names, args[1::2], strict=True)))


# --- casts -----------------------------------------------------------------------------------


def convert(value: Sql, source: Type, target: Type, *, tolerant: bool) -> Sql:
    """A cast by the language's rules: a fraction is cut off on the way to int, a zone is UTC."""
    to = try_cast if tolerant else cast
    match source.kind, target.kind:
        case ((Kind.DOUBLE | Kind.DECIMAL), Kind.INT):
            return to(call("trunc", value), target)
        case Kind.TEXT, (Kind.INT | Kind.DOUBLE | Kind.DECIMAL | Kind.DATE | Kind.TIME):
            return to(_marked_unless_ours(value, target.kind), target)
        case Kind.TEXT, Kind.BOOL:
            return _to_bool(value, tolerant=tolerant)
        case Kind.TIMESTAMPTZ, (Kind.DATE | Kind.TIME | Kind.TIMESTAMP):
            return to(_in_utc(value), target)
        case ((Kind.DATE | Kind.TIMESTAMP), Kind.TIMESTAMPTZ):
            return _in_utc(cast(value, types.TIMESTAMP))
        case _:
            return to(value, target)


# What a text looks like that becomes a value. DuckDB also reads `3.7`, `1e3` and `0x10` as whole numbers, `1_000` as any
# number, `2026-01-31 10:00` and `epoch` as dates, `2026-1-5` as a time.
_LOOKS: dict[Kind, tuple[str, str]] = {
    Kind.INT: (r"\s*[+-]?[0-9]+\s*", "not a whole number: "),
    Kind.DOUBLE: ("[^_]*", "not a number: "),
    Kind.DECIMAL: ("[^_]*", "not a number: "),
    Kind.DATE: (r"\s*[0-9]{1,6}-[0-9]{1,2}-[0-9]{1,2}\s*", "not a date: "),
    Kind.TIME: (r"\s*[0-9]{1,2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?\s*", "not a time: "),
}
_SMALL = 200  # characters of an expression that may be written twice


def _marked_unless_ours(value: Sql, kind: Kind) -> Sql:
    pattern, words = _LOOKS[kind]
    return marked_unless(value, pattern, words)


def marked_unless(value: Sql, pattern: str, words: str) -> Sql:
    """The text, with words before it where the pattern does not match all of it: a cast of that is refused."""
    if len(str(value)) > _SMALL:  # slower, but names the value once
        inner = marked_unless(Raw("text"), pattern, words)
        return call("list_extract", Raw(f"list_transform([{value}], lambda text: {inner})"), Number(1))
    whole = call("regexp_full_match", value, Text(pattern))
    return when(whole, value, binary("||", Text(words), value))


def _to_bool(value: Sql, *, tolerant: bool) -> Sql:
    """`true` and `false` in any case; DuckDB would read `t`, `yes` and `1`, too."""
    known = ((Text("true"), TRUE), (Text("false"), FALSE))
    refusal = cast(binary("||", Text("not true or false: "), value), types.BOOL)
    return Case(known, None if tolerant else refusal, subject=call("lower", value))


def _cast(node: Node, args: Args) -> Sql:
    return convert(args[0], argument_type(node, 0), node.type, tolerant=False)


def _try_cast(node: Node, args: Args) -> Sql:
    return convert(args[0], argument_type(node, 0), node.type, tolerant=True)


def _in_utc(value: Sql) -> Sql:
    """A timestamptz as UTC's clock shows it, and a timestamp as the moment when UTC's clock shows it."""
    return call("timezone", Text("UTC"), value)


# --- text ------------------------------------------------------------------------------------


def _count_of(node: Node, args: Args, position: int) -> Sql:
    """A number of characters: not below 0. Null stays null, which DuckDB's `greatest` would not do."""
    given, value = node.args[position], args[position]
    if isinstance(given, Const) and given.value is not None:
        return Number(max(0, given.value))
    return when(binary("<", value, Number(0)), Number(0), value)


def _substr(node: Node, args: Args) -> Sql:
    given, start = node.args[1], args[1]
    if isinstance(given, Const) and given.value is not None:
        start = Number(given.value or 1)
    else:
        start = when(binary("=", start, Number(0)), Number(1), start)
    rest = [_count_of(node, args, 2)] if len(args) > 2 else []
    return call("substr", args[0], start, *rest)


def _end(name: str) -> Spelling:
    return lambda node, args: call(name, args[0], _count_of(node, args, 1))


def _pad(name: str) -> Spelling:
    def spell(node: Node, args: Args) -> Sql:
        fill = args[2] if len(args) > 2 else Text(" ")
        length = Cast(_count_of(node, args, 1), "INTEGER")
        return call(name, args[0], length, fill)

    return spell


def _reverse(node: Node, args: Args) -> Sql:
    """By characters: DuckDB's own `reverse` keeps clusters together."""
    return call("array_to_string", call("list_reverse", call("regexp_extract_all", args[0], Text("(?s)."))), Text(""))


def _regex_extract(node: Node, args: Args) -> Sql:
    """The match or the group; null where nothing matches (DuckDB gives the empty text)."""
    group = [Number(int(constant(node, 2)))] if len(args) > 2 else []
    return call("list_extract", call("regexp_extract_all", args[0], args[1], *group), Number(1))


def _regex_replace(node: Node, args: Args) -> Sql:
    return call("regexp_replace", *args, Text("g"))


# --- time ------------------------------------------------------------------------------------


def _clock(node: Node, args: Args, position: int = 0) -> Sql:
    """A moment whose parts can be read whatever time zone the connection has."""
    value = args[position]
    return _in_utc(value) if argument_type(node, position).kind is Kind.TIMESTAMPTZ else value


def _part(name: str) -> Spelling:
    return lambda node, args: call("date_part", Text(name), _clock(node, args))


def _trunc(node: Node, args: Args) -> Sql:
    start = call("date_trunc", args[1], _clock(node, args))
    return _in_utc(start) if node.type.kind is Kind.TIMESTAMPTZ else start


def _days_between(node: Node, args: Args) -> Sql:
    """Midnights between the two."""
    return call("date_diff", Text("day"), _clock(node, args), _clock(node, args, 1))


def _units_between(node: Node, args: Args) -> Sql:
    """Whole units that have passed from the first to the second, cut off towards zero."""
    passed = binary("-", call("epoch_us", args[1]), call("epoch_us", args[0]))
    return binary("//", passed, Number(_MICROSECONDS[node.function]))


def _format_date(node: Node, args: Args) -> Sql:
    return call("strftime", _clock(node, args), args[1])


def _parse_date(node: Node, args: Args) -> Sql:
    return call("strptime", args[0], args[1])


def _at_zone(node: Node, args: Args) -> Sql:
    return call("timezone", args[1], args[0])


def _epoch(node: Node, args: Args) -> Sql:
    """Cut to the second first: half a second before 1970 is in second -1."""
    return call("epoch", call("date_trunc", Text("second"), _clock(node, args)))


# --- hashes, lists ---------------------------------------------------------------------------


def _hash64(node: Node, args: Args) -> Sql:
    """The first 8 bytes of the text's MD5 as a signed number: the same on every engine."""
    digits = call("substr", call("md5", args[0]), Number(1), Number(16))
    wide = Cast(Cast(binary("||", Text("0x"), digits), "UBIGINT"), "HUGEINT")
    # (v + 2**63) % 2**64 - 2**63 without naming the value twice.
    shifted = binary("%", binary("+", wide, arithmetic.huge(2**63)), arithmetic.huge(2**64))
    return binary("-", shifted, arithmetic.huge(2**63))


# --- aggregates ------------------------------------------------------------------------------


def _count(node: Node, args: Args) -> Sql:
    return Call("count", tuple(args) or (STAR,))


def _count_distinct(node: Node, args: Args) -> Sql:
    return Call("count", tuple(args), distinct=True)


def _mean(node: Node, args: Args) -> Sql:
    """Of ints and decimals DuckDB takes the exact sum: closer, and cheaper, than that of doubles."""
    given, value = node.args[0], args[0]
    if isinstance(given, Apply) and given.function == "cast" and isinstance(value, Cast):
        exact = given.args[0].type.kind in (Kind.INT, Kind.DECIMAL)
        return call("avg", value.value if exact else value)
    return call("avg", value)


def _quantile(node: Node, args: Args) -> Sql:
    """Between two values in proportion."""
    share = args[1] if len(args) > 1 else Raw("0.5")
    return call("quantile_cont", args[0], share)


def _pick(name: str) -> Spelling:
    """`first` and `last` skip nulls, as every aggregate does."""

    def spell(node: Node, args: Args) -> Sql:
        if isinstance(node, WindowCall):
            return Call(f"{name}_value", tuple(args), ignores_nulls=True)
        return Call(name, tuple(args), where=is_there(args[0]))

    return spell


def _list_agg(node: Node, args: Args) -> Sql:
    return Call("list", tuple(args), where=is_there(args[0]))


DUCKDB: dict[str, Spelling] = {
    # operators
    "add": arithmetic.sum_of("+"),
    "subtract": arithmetic.sum_of("-"),
    "multiply": arithmetic.multiply,
    "divide": arithmetic.divide,
    "div": arithmetic.whole_divide,
    "mod": arithmetic.mod,
    "negate": arithmetic.negate,
    "eq": operator("="),
    "ne": operator("<>"),
    "lt": operator("<"),
    "le": operator("<="),
    "gt": operator(">"),
    "ge": operator(">="),
    "and": connect("AND"),
    "or": connect("OR"),
    "not": lambda node, args: Not(args[0]),
    "is_null": lambda node, args: IsNull(args[0]),
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
    "concat": connect("||"),
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
AFTER: dict[str, Callable[[Sql], Sql]] = {
    "corr": lambda value: call("nullif", value, cast(Text("nan"), types.DOUBLE)),
}
