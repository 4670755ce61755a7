"""How each function of the language is spelled on an engine: the one table a new engine adds its own to.

A spelling takes the plan's node (for the types of its arguments and result) and the arguments, already emitted, and
answers with an expression of our meaning. `expressions.emit` casts the result to the plan's type, so a spelling
minds values, not widths. DuckDB is the only engine so far.
"""

from collections.abc import Callable, Sequence

from sqlglot import exp

from apps.engine.types import cast, identifier, number, sql_type, text, try_cast
from apps.language import types
from apps.language.plan import Aggregate, Apply, Const, WindowCall
from apps.language.types import Kind, Type

Node = Apply | Aggregate | WindowCall
Args = Sequence[exp.Expression]
Spelling = Callable[[Node, Args], exp.Expression]

_MICROSECONDS = {"seconds_between": 1_000_000, "minutes_between": 60_000_000, "hours_between": 3_600_000_000}


# --- small tools -----------------------------------------------------------------------------


def call(name: str, *args: exp.Expression) -> exp.Expression:
    """A call written as it is: sqlglot neither renames nor rewrites it."""
    return exp.Anonymous(this=name, expressions=list(args))


def wrap(value: exp.Expression) -> exp.Expression:
    """Parentheses where an operator could read the value otherwise."""
    if isinstance(value, exp.Binary | exp.Unary | exp.Predicate | exp.Case) and not isinstance(value, exp.Paren):
        return exp.Paren(this=value)
    return value


def binary(kind: type[exp.Expression], left: exp.Expression, right: exp.Expression) -> exp.Expression:
    return kind(this=wrap(left), expression=wrap(right))


def when(test: exp.Expression, value: exp.Expression, otherwise: exp.Expression | None = None) -> exp.Expression:
    return exp.Case(ifs=[exp.If(this=test, true=value)], default=otherwise)


def null_if_zero(value: exp.Expression) -> exp.Expression:
    return call("nullif", value, number(0))


def strict(value: exp.Expression, *args: exp.Expression) -> exp.Expression:
    """`value`, or null when one of the arguments is."""
    tests = [is_null(arg.copy()) for arg in args]
    return when(_any_of(tests), exp.Null(), value)


def _any_of(tests: Sequence[exp.Expression]) -> exp.Expression:
    result = tests[0]
    for test in tests[1:]:
        result = exp.Or(this=result, expression=test)
    return result


def all_of(tests: Sequence[exp.Expression]) -> exp.Expression:
    result = tests[0]
    for test in tests[1:]:
        result = exp.And(this=result, expression=test)
    return result


def is_null(value: exp.Expression) -> exp.Expression:
    return exp.Is(this=wrap(value), expression=exp.Null())


def is_there(value: exp.Expression) -> exp.Expression:
    return exp.Not(this=is_null(value))


def named(name: str) -> Spelling:
    return lambda node, args: call(name, *args)


def operator(kind: type[exp.Expression]) -> Spelling:
    return lambda node, args: binary(kind, args[0], args[1])


def constant(node: Node, position: int) -> str:
    """The text of an argument that the checker requires to be written out."""
    value = node.args[position]
    assert isinstance(value, Const), f"{node.function}: argument {position + 1} must be constant"
    return str(value.value)


def argument_type(node: Node, position: int) -> Type:
    return node.args[position].type


# --- arithmetic ------------------------------------------------------------------------------


def _sum(kind: type[exp.Expression]) -> Spelling:
    def spell(node: Node, args: Args) -> exp.Expression:
        left, right = args
        if node.type.kind is Kind.DECIMAL:
            # DuckDB would stay at 18 digits where both sides fit, and fail on a result that our type can hold.
            return binary(kind, cast(left, node.type), cast(right, node.type))
        if node.type.kind is Kind.DURATION and argument_type(node, 0).kind is Kind.DATE:
            return binary(kind, cast(left, types.TIMESTAMP), cast(right, types.TIMESTAMP))
        return binary(kind, left, right)

    return spell


def _multiply(node: Node, args: Args) -> exp.Expression:
    left, right = args
    if node.type.kind is Kind.DECIMAL:
        left_type = argument_type(node, 0)
        if left_type.kind is Kind.DECIMAL and node.type.precision > 18:
            left = cast(left, types.decimal(node.type.precision, left_type.scale))
    return binary(exp.Mul, left, right)


def _divide(node: Node, args: Args) -> exp.Expression:
    return binary(exp.Div, args[0], null_if_zero(args[1]))


def _whole_divide(node: Node, args: Args) -> exp.Expression:
    if argument_type(node, 0).kind is Kind.INT and argument_type(node, 1).kind is Kind.INT:
        return call("divide", args[0], null_if_zero(args[1]))
    return call("trunc", binary(exp.Div, args[0], null_if_zero(args[1])))


def _mod(node: Node, args: Args) -> exp.Expression:
    return binary(exp.Mod, args[0], null_if_zero(args[1]))


def _negate(node: Node, args: Args) -> exp.Expression:
    return exp.Neg(this=wrap(args[0]))


def _round(node: Node, args: Args) -> exp.Expression:
    if node.type.kind is Kind.INT and len(args) == 1:
        return args[0]
    return call("round", *([args[0], cast(args[1], types.INT)] if len(args) > 1 else args))


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
    pairs = list(zip(args[0::2], args[1::2], strict=False))
    default = args[-1] if len(args) % 2 else None
    return exp.Case(ifs=[exp.If(this=test, true=value) for test, value in pairs], default=default)


def _if(node: Node, args: Args) -> exp.Expression:
    return when(args[0], args[1], args[2] if len(args) > 2 else None)


def _in(node: Node, args: Args) -> exp.Expression:
    if len(args) == 1:
        return exp.false()
    return exp.In(this=wrap(args[0]), expressions=list(args[1:]))


def _extreme(name: str) -> Spelling:
    """`greatest` and `least` skip nulls in DuckDB; ours are strict."""
    return lambda node, args: strict(call(name, *args), *args)


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
    if target.kind is Kind.INT and source.kind in (Kind.DOUBLE, Kind.DECIMAL):
        return to(call("trunc", value), target)
    return to(value, target)


def _cast(node: Node, args: Args) -> exp.Expression:
    return convert(args[0], argument_type(node, 0), node.type, tolerant=False)


def _try_cast(node: Node, args: Args) -> exp.Expression:
    return convert(args[0], argument_type(node, 0), node.type, tolerant=True)


# --- text ------------------------------------------------------------------------------------


def _join(node: Node, args: Args) -> exp.Expression:
    """`concat` with null is null, so `||` and not DuckDB's `concat`, which skips nulls."""
    result = wrap(args[0])
    for arg in args[1:]:
        result = exp.DPipe(this=result, expression=wrap(arg))
    return result


def _pad(name: str) -> Spelling:
    def spell(node: Node, args: Args) -> exp.Expression:
        fill = args[2] if len(args) > 2 else text(" ")
        return call(name, args[0], exp.Cast(this=args[1], to=exp.DataType.build("INT")), fill)

    return spell


def _reverse(node: Node, args: Args) -> exp.Expression:
    """By characters: DuckDB's own `reverse` keeps clusters together."""
    return call("array_to_string", call("list_reverse", call("regexp_extract_all", args[0], text("(?s)."))), text(""))


def _regex_extract(node: Node, args: Args) -> exp.Expression:
    """The match or the group; null where nothing matches (DuckDB gives the empty text)."""
    found = call("regexp_extract", *args)
    return when(call("regexp_matches", args[0].copy(), args[1].copy()), found)


def _regex_replace(node: Node, args: Args) -> exp.Expression:
    return call("regexp_replace", *args, text("g"))


# --- time ------------------------------------------------------------------------------------


def _part(name: str) -> Spelling:
    return lambda node, args: call("date_part", text(name), args[0])


def _trunc(node: Node, args: Args) -> exp.Expression:
    return call("date_trunc", args[1], args[0])


def _days_between(node: Node, args: Args) -> exp.Expression:
    """Whole calendar days from the first to the second."""
    return call("date_diff", text("day"), args[0], args[1])


def _units_between(node: Node, args: Args) -> exp.Expression:
    """Whole units that have passed from the first to the second, cut off towards zero."""
    passed = binary(exp.Sub, call("epoch_us", args[1]), call("epoch_us", args[0]))
    return call("divide", exp.Paren(this=passed), number(_MICROSECONDS[node.function]))


def _format_date(node: Node, args: Args) -> exp.Expression:
    return call("strftime", args[0], args[1])


def _parse_date(node: Node, args: Args) -> exp.Expression:
    return call("strptime", args[0], args[1])


def _at_zone(node: Node, args: Args) -> exp.Expression:
    return call("timezone", args[1], args[0])


def _epoch(node: Node, args: Args) -> exp.Expression:
    if node.type.kind is Kind.INT:
        return call("divide", call("epoch_us", args[0]), number(1_000_000))
    return call("epoch", args[0])


# --- hashes, lists ---------------------------------------------------------------------------


def _hash64(node: Node, args: Args) -> exp.Expression:
    """The first 8 bytes of the MD5 of the text, as a signed number: the same on every engine."""
    digits = call("substr", call("md5", cast(args[0], types.TEXT)), number(1), number(16))
    unsigned = exp.Cast(this=call("concat", text("0x"), digits), to=exp.DataType.build("UBIGINT", dialect="duckdb"))
    high = binary(exp.GTE, unsigned, exp.Literal.number(2**63))
    wide = exp.Cast(this=unsigned.copy(), to=exp.DataType.build("HUGEINT", dialect="duckdb"))
    return strict(when(high, binary(exp.Sub, wide, exp.Literal.number(2**64)), wide.copy()), args[0])


def _list_get(node: Node, args: Args) -> exp.Expression:
    return call("list_extract", args[0], args[1])


# --- aggregates ------------------------------------------------------------------------------


def _count(node: Node, args: Args) -> exp.Expression:
    return exp.Count(this=args[0] if args else exp.Star())


def _count_if(node: Node, args: Args) -> exp.Expression:
    return call("count_if", args[0])


def _count_distinct(node: Node, args: Args) -> exp.Expression:
    return exp.Count(this=exp.Distinct(expressions=list(args)))


def _mean(node: Node, args: Args) -> exp.Expression:
    return call("avg", args[0])


def _quantile(node: Node, args: Args) -> exp.Expression:
    """Interpolated between the two nearest values, as a double."""
    share = args[1] if len(args) > 1 else exp.Literal.number("0.5")
    return call("quantile_cont", cast(args[0], types.DOUBLE), share)


def _ordered_pick(name: str) -> Spelling:
    return lambda node, args: call(name, args[0], args[1])


def _pick(name: str) -> Spelling:
    """`first` and `last` skip nulls, as every aggregate does."""

    def spell(node: Node, args: Args) -> exp.Expression:
        if isinstance(node, WindowCall):
            return exp.IgnoreNulls(this=call(f"{name}_value", *args))
        chosen = call(name, args[0])
        there = is_there(args[0].copy())
        return exp.Filter(this=chosen, expression=exp.Where(this=there))

    return spell


def _string_agg(node: Node, args: Args) -> exp.Expression:
    return call("string_agg", args[0], args[1] if len(args) > 1 else text(","))


def _list_agg(node: Node, args: Args) -> exp.Expression:
    there = is_there(args[0].copy())
    return exp.Filter(this=call("list", args[0]), expression=exp.Where(this=there))


DUCKDB: dict[str, Spelling] = {
    # operators
    "add": _sum(exp.Add),
    "subtract": _sum(exp.Sub),
    "multiply": _multiply,
    "divide": _divide,
    "div": _whole_divide,
    "mod": _mod,
    "negate": _negate,
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
    "case": _case,
    "if": _if,
    "field": _field,
    "list": _list,
    "struct": _struct,
    "cast": _cast,
    "try_cast": _try_cast,
    # null
    "coalesce": named("coalesce"),
    "null_if": named("nullif"),
    "greatest": _extreme("greatest"),
    "least": _extreme("least"),
    # text
    "lower": named("lower"),
    "upper": named("upper"),
    "trim": named("trim"),
    "ltrim": named("ltrim"),
    "rtrim": named("rtrim"),
    "length": named("length"),
    "substr": named("substr"),
    "left": named("left"),
    "right": named("right"),
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
    "sqrt": named("sqrt"),
    "exp": named("exp"),
    "ln": named("ln"),
    "log10": named("log10"),
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
    "list_get": _list_get,
    "md5": named("md5"),
    "sha256": named("sha256"),
    "hash64": _hash64,
    # aggregates
    "count": _count,
    "count_if": _count_if,
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
    "arg_min": _ordered_pick("arg_min"),
    "arg_max": _ordered_pick("arg_max"),
    "string_agg": _string_agg,
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
EXACT = frozenset(
    {
        "eq",
        "ne",
        "lt",
        "le",
        "gt",
        "ge",
        "and",
        "or",
        "not",
        "is_null",
        "in",
        "cast",
        "try_cast",
        "case",
        "if",
        "coalesce",
    }
)

for _kind, _target in (
    ("int", types.INT),
    ("double", types.DOUBLE),
    ("decimal", None),
    ("text", types.TEXT),
    ("bool", types.BOOL),
    ("date", types.DATE),
    ("time", types.TIME),
    ("timestamp", types.TIMESTAMP),
):
    DUCKDB[f"to_{_kind}"] = _cast
    DUCKDB[f"try_{_kind}"] = _try_cast

SPELLINGS: dict[str, dict[str, Spelling]] = {"duckdb": DUCKDB}

__all__ = ["DUCKDB", "EXACT", "SPELLINGS", "Spelling", "binary", "call", "convert", "sql_type", "wrap"]
