"""Arithmetic by the language's rules: null where it is divided by zero, decimals exact, an overflow an error."""

from sqlglot import exp

from apps.engine.nodes import Args, Node, Spelling, argument_type, binary, call, null_if_zero, wrap
from apps.engine.types import cast, number, text
from apps.language import types
from apps.language.types import Kind

NARROW_DIGITS = 18  # of the decimals that DuckDB keeps in 64 bits, and does not leave by itself


def sum_of(kind: type[exp.Expression]) -> Spelling:
    def spell(node: Node, args: Args) -> exp.Expression:
        left, right = args
        if node.type.kind is Kind.DECIMAL and node.type.precision > NARROW_DIGITS:
            # DuckDB would stay at 18 digits where both sides fit, and fail on a result that our type can hold.
            return binary(kind, cast(left, node.type), cast(right, node.type))
        if node.type.kind is Kind.DURATION and argument_type(node, 0).kind is Kind.DATE:
            return binary(kind, cast(left, types.TIMESTAMP), cast(right, types.TIMESTAMP))
        return binary(kind, left, right)

    return spell


def multiply(node: Node, args: Args) -> exp.Expression:
    left, right = args
    left_type = argument_type(node, 0)
    if node.type.kind is Kind.DECIMAL and node.type.precision > NARROW_DIGITS:
        left = cast(left, types.decimal(node.type.precision, left_type.scale))
    return binary(exp.Mul, left, right)


_NARROW: dict[str, type[exp.Expression]] = {"add": exp.Add, "subtract": exp.Sub, "multiply": exp.Mul}


def is_risky(node: Node) -> bool:
    """Whether a result is wider than 64 bits by its type but hardly ever by its values: `price * (1 - discount)`.

    DuckDB computes it in 64 bits if left alone, which is faster, and refuses the statement when a value does not fit.
    Twelve digits before the point are left.
    """
    return (
        node.function in _NARROW
        and node.type.kind is Kind.DECIMAL
        and node.type.precision > NARROW_DIGITS
        and node.type.scale <= NARROW_DIGITS - 12
    )


def narrow(node: Node, args: Args) -> exp.Expression:
    """A risky result in DuckDB's own, narrower type."""
    return binary(_NARROW[node.function], args[0], args[1])


def divide(node: Node, args: Args) -> exp.Expression:
    if node.type.kind is Kind.DECIMAL:
        return _divide_decimals(node, args)
    return binary(exp.Div, args[0], null_if_zero(args[1]))


def _divide_decimals(node: Node, args: Args) -> exp.Expression:
    """Exactly, where DuckDB would divide doubles: whole numbers are divided to one digit more than the result has,
    and the last cast rounds that digit away."""
    top, bottom = (argument_type(node, position) for position in (0, 1))
    digits = node.type.scale + 1
    dividend = binary(exp.Mul, _unscaled(args[0], top.scale), huge(10 ** (digits - top.scale + bottom.scale)))
    quotient = binary(exp.IntDiv, dividend, null_if_zero(_unscaled(args[1], bottom.scale)))
    unit = cast(text(f"0.{'0' * node.type.scale}1"), types.decimal(digits, digits))
    return binary(exp.Mul, cast(quotient, types.decimal(types.MAX_PRECISION, 0)), unit)


def _unscaled(value: exp.Expression, scale: int) -> exp.Expression:
    """A decimal without its point, as a whole number of 128 bits."""
    if scale:
        wide = cast(value, types.decimal(types.MAX_PRECISION, scale))
        value = binary(exp.Mul, wide, cast(number(10**scale), types.decimal(scale + 1, 0)))
    return exp.Cast(this=value, to=exp.DataType.build("HUGEINT", dialect="duckdb"))


def huge(value: int) -> exp.Expression:
    return exp.Cast(this=number(value), to=exp.DataType.build("HUGEINT", dialect="duckdb"))


def whole_divide(node: Node, args: Args) -> exp.Expression:
    return binary(exp.IntDiv, args[0], null_if_zero(args[1]))


def mod(node: Node, args: Args) -> exp.Expression:
    return binary(exp.Mod, args[0], null_if_zero(args[1]))


def negate(node: Node, args: Args) -> exp.Expression:
    return exp.Neg(this=wrap(args[0]))


def positive(name: str, *outside: str) -> Spelling:
    """Null where the function has no value, for which DuckDB answers with one of `outside`."""

    def spell(node: Node, args: Args) -> exp.Expression:
        value = call(name, args[0])
        for answer in outside:
            value = call("nullif", value, cast(text(answer), types.DOUBLE))
        return value

    return spell
