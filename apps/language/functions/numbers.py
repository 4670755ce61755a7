"""Functions on numbers, and casts."""

from collections.abc import Sequence

from apps.language import types
from apps.language.functions.conversion import wide_decimal
from apps.language.functions.spec import ERROR, Section, shape
from apps.language.plan import Const, Expression
from apps.language.types import Type

math = Section("scalar", "Numbers")


def _rounded(args: Sequence[Expression]) -> Type:
    """A decimal keeps the digits that are asked for, and one more in front: 9.9 becomes 10."""
    given = args[0].type
    digits = 0
    if len(args) > 1 and isinstance(args[1], Const) and isinstance(args[1].value, int):
        digits = args[1].value
    return wide_decimal(given.precision - given.scale + 1, max(0, min(digits, given.scale)))


math.add(
    ["abs(value: int) -> int", "abs(value: decimal(p, s)) -> decimal(p, s)", "abs(value: double) -> double"],
    "Without its sign.",
    [("abs(-3)", "3"), ("abs(-1.50)", "1.50"), ("abs(null)", ""), ("abs(-9223372036854775808)", ERROR)],
)
math.add(
    [
        "round(value: int, digits?!: int) -> int",
        shape("round(value: decimal(p, s), digits?!: int) -> decimal(p - s + digits + 1, digits)", _rounded),
        "round(value: double, digits?!: int) -> double",
    ],
    "Rounded to so many digits after the point, none if not given; halves go away from zero. Negative digits round "
    "in front of the point.",
    [("round(2.5)", "3"), ("round(-2.5)", "-3"), ("round(1.255, 2)", "1.26"), ("round(1250, -2)", "1300"),
     ("round(1e0 / 3, 2)", "0.33")],
)  # fmt: skip
math.add(
    [
        "floor(value: int) -> int",
        shape("floor(value: decimal(p, s)) -> decimal(p - s + 1, 0)", _rounded),
        "floor(value: double) -> double",
    ],
    "The next whole number below.",
    [("floor(2.7)", "2"), ("floor(-2.1)", "-3"), ("floor(5)", "5")],
)
math.add(
    [
        "ceil(value: int) -> int",
        shape("ceil(value: decimal(p, s)) -> decimal(p - s + 1, 0)", _rounded),
        "ceil(value: double) -> double",
    ],
    "The next whole number above.",
    [("ceil(2.1)", "3"), ("ceil(-2.7)", "-2"), ("ceil(5)", "5")],
)
math.add(
    "sqrt(value: double) -> double",
    "The square root; null for a negative number.",
    [("sqrt(9)", "3"), ("sqrt(-1)", "")],
)
math.add("exp(value: double) -> double", "e to the power of the value.", [("exp(0)", "1")])
math.add(
    "ln(value: double) -> double",
    "The natural logarithm; null for zero and below.",
    [("ln(1)", "0"), ("ln(0)", ""), ("ln(-1)", "")],
)
math.add(
    "log10(value: double) -> double",
    "The logarithm to the base 10; null for zero and below.",
    [("log10(1000)", "3"), ("log10(0)", "")],
)
math.add(
    "power(base: double, exponent: double) -> double",
    "The base to the power of the exponent.",
    [("power(2, 10)", "1024"), ("power(4, 0.5)", "2")],
)
math.add(
    "sign(value: number) -> int",
    "-1, 0 or 1.",
    [("sign(-2.5)", "-1"), ("sign(0)", "0"), ("sign(1e3)", "1")],
)

casts = Section("scalar", "Casts")

_CAN = "Null stays null."
_TRY = "As `{}`, but null where that is an error."


def _decimal_target(args: Sequence[Expression]) -> Type:
    """`to_decimal(x)` is a decimal(38, 9); `to_decimal(x, p, s)` says which; `to_decimal(x, p)` has no fraction."""
    sizes = [arg.value for arg in args[1:] if isinstance(arg, Const) and isinstance(arg.value, int)]
    if not sizes:
        return types.decimal(38, 9)
    return types.decimal(sizes[0], sizes[1] if len(sizes) > 1 else 0)


def _cast(target: str, doc: str, strict: list[tuple[str, str]], tolerant: list[tuple[str, str]]) -> None:
    parameters, result, rule = "value: any", target, None
    if target == "decimal":
        parameters += ", precision?!: int, scale?!: int"
        result, rule = "decimal(38, 9)", _decimal_target
    casts.add(shape(f"to_{target}({parameters}) -> {result}", rule), doc, strict, plan="")
    if target != "text":
        casts.add(
            shape(f"try_{target}({parameters}) -> {result}", rule),
            _TRY.format(f"to_{target}"),
            tolerant,
            nulls="null if the argument is null or cannot be cast",
            plan="",
        )


_cast(
    "int",
    "From text (digits with a sign, spaces around them), from numbers (the fraction is cut off), from bool (1 and 0). "
    "What does not fit 64 bits is an error.",
    [('to_int(" -17 ")', "-17"), ("to_int(2.7)", "2"), ("to_int(-2.7)", "-2"), ("to_int(true)", "1"),
     ('to_int("3.7")', ERROR), ('to_int("")', ERROR), ("to_int(9223372036854775808.0)", ERROR)],
    [('try_int("x")', ""), ('try_int("3.7")', ""), ('try_int("12")', "12"), ("try_int(1e300)", "")],
)  # fmt: skip
_cast(
    "double",
    "From text and from numbers.",
    [('to_double("1.5e2")', "150"), ("to_double(1.25)", "1.25"), ('to_double("x")', ERROR)],
    [('try_double("n/a")', ""), ('try_double("4.5")', "4.5")],
)
_cast(
    "decimal",
    "From text and from numbers, to a precision and a scale of (38, 9) unless they are given; digits after the last "
    "are rounded, halves away from zero. What does not fit is an error.",
    [('to_decimal("1.5")', "1.500000000"), ("to_decimal(2.345, 10, 2)", "2.35"), ("to_decimal(7, 5)", "7"),
     ("to_decimal(1000, 4, 2)", ERROR)],
    [('try_decimal("x")', ""), ("try_decimal(1000, 4, 2)", ""), ('try_decimal("0.125", 4, 2)', "0.13")],
)  # fmt: skip
_cast(
    "text",
    "A value as a test's cell shows it: `true`, `1.50`, `2026-01-31`, `2026-01-31 10:00:00`, with a fraction only where "
    "there is one. A timestamptz is shown in UTC.",
    [("to_text(1_000)", "1000"), ("to_text(1.50)", "1.50"), ("to_text(1e0)", "1.0"), ("to_text(true)", "true"),
     ("to_text(2026-01-31 10:00)", "2026-01-31 10:00:00")],
    [],
)  # fmt: skip
_cast(
    "bool",
    "From the texts `true` and `false` in any case, from int (0 is false, all else true).",
    [('to_bool("TRUE")', "true"), ("to_bool(0)", "false"), ("to_bool(2)", "true"), ('to_bool("maybe")', ERROR)],
    [('try_bool("maybe")', ""), ('try_bool("false")', "false")],
)
_cast(
    "date",
    "From text (`2026-01-31`), from a timestamp its day, from a timestamptz its day in UTC.",
    [('to_date("2026-01-31")', "2026-01-31"), ("to_date(2026-01-31 23:59)", "2026-01-31"),
     ('to_date("2026-02-30")', ERROR)],
    [('try_date("2026-02-30")', ""), ('try_date("31.1.2026")', "")],
)  # fmt: skip
_cast(
    "time",
    "From text (`10:30`, `10:30:15`), from a timestamp its time of the day.",
    [('to_time("10:30:15")', "10:30:15"), ("to_time(2026-01-31 23:59)", "23:59:00"), ('to_time("25:00")', ERROR)],
    [('try_time("25:00")', ""), ('try_time("08:00:00")', "08:00:00")],
)
_cast(
    "timestamp",
    "From text (`2026-01-31 10:00`, with `T` or a space), from a date its midnight, from a timestamptz its time in UTC.",
    [('to_timestamp("2026-01-31 10:00:30")', "2026-01-31 10:00:30"), ("to_timestamp(2026-01-31)", "2026-01-31 00:00"),
     ('to_timestamp("2026-01-31T10:00:00")', "2026-01-31 10:00"), ('to_timestamp("soon")', ERROR)],
    [('try_timestamp("soon")', ""), ('try_timestamp("2026-01-31 10:00:00.5")', "2026-01-31 10:00:00.5")],
)  # fmt: skip
