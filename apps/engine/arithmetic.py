"""Arithmetic by the language's rules: null where it is divided by zero, decimals exact, an overflow an error."""

from apps.engine.nodes import Args, Node, Spelling, argument_type, binary, call, null_if_zero
from apps.engine.sql import Cast, Negative, Number, Sql, Text
from apps.engine.types import cast
from apps.language import types
from apps.language.types import Kind

NARROW_DIGITS = 18  # of the decimals that DuckDB keeps in 64 bits, and does not leave by itself


def sum_of(sign: str) -> Spelling:
    def spell(node: Node, args: Args) -> Sql:
        left, right = args
        if node.type.kind is Kind.DECIMAL and node.type.precision > NARROW_DIGITS:
            # DuckDB would stay at 18 digits where both sides fit, and fail on a result that our type can hold.
            return binary(sign, cast(left, node.type), cast(right, node.type))
        if node.type.kind is Kind.DURATION and argument_type(node, 0).kind is Kind.DATE:
            return binary(sign, cast(left, types.TIMESTAMP), cast(right, types.TIMESTAMP))
        return binary(sign, left, right)

    return spell


def multiply(node: Node, args: Args) -> Sql:
    left, right = args
    left_type = argument_type(node, 0)
    if node.type.kind is Kind.DECIMAL and node.type.precision > NARROW_DIGITS:
        left = cast(left, types.decimal(node.type.precision, left_type.scale))
    return binary("*", left, right)


_NARROW: dict[str, str] = {"add": "+", "subtract": "-", "multiply": "*"}


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


def narrow(node: Node, args: Args) -> Sql:
    """A risky result in DuckDB's own, narrower type."""
    return binary(_NARROW[node.function], args[0], args[1])


def divide(node: Node, args: Args) -> Sql:
    if node.type.kind is Kind.DECIMAL:
        return _divide_decimals(node, args)
    return binary("/", args[0], null_if_zero(args[1]))


def _divide_decimals(node: Node, args: Args) -> Sql:
    """Exactly, where DuckDB would divide doubles: whole numbers are divided to one digit more than the result has,
    and the last cast rounds that digit away."""
    top, bottom = (argument_type(node, position) for position in (0, 1))
    digits = node.type.scale + 1
    dividend = binary("*", _unscaled(args[0], top.scale), huge(10 ** (digits - top.scale + bottom.scale)))
    quotient = binary("//", dividend, null_if_zero(_unscaled(args[1], bottom.scale)))
    unit = cast(Text(f"0.{'0' * node.type.scale}1"), types.decimal(digits, digits))
    return binary("*", cast(quotient, types.decimal(types.MAX_PRECISION, 0)), unit)


def _unscaled(value: Sql, scale: int) -> Sql:
    """A decimal without its point, as a whole number of 128 bits."""
    if scale:
        wide = cast(value, types.decimal(types.MAX_PRECISION, scale))
        value = binary("*", wide, cast(Number(10**scale), types.decimal(scale + 1, 0)))
    return Cast(value, "HUGEINT")


def huge(value: int) -> Sql:
    return Cast(Number(value), "HUGEINT")


def whole_divide(node: Node, args: Args) -> Sql:
    return binary("//", args[0], null_if_zero(args[1]))


def mod(node: Node, args: Args) -> Sql:
    return binary("%", args[0], null_if_zero(args[1]))


def negate(node: Node, args: Args) -> Sql:
    return Negative(args[0])


def positive(name: str, *outside: str) -> Spelling:
    """Null where the function has no value, for which DuckDB answers with one of `outside`."""

    def spell(node: Node, args: Args) -> Sql:
        value: Sql = call(name, args[0])
        for answer in outside:
            value = call("nullif", value, cast(Text(answer), types.DOUBLE))
        return value

    return spell
