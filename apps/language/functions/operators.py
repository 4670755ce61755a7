"""The operators, as the reference shows them. Their typing rules stand in checking/operators.py."""

from apps.language.functions.spec import ERROR, Section

operators = Section("operator", "Operators")

operators.add(
    [
        "add(a: int, b: int) -> int",
        "add(a: decimal(p, s), b: decimal(p, s)) -> decimal(p + 1, s)",
        "add(a: double, b: double) -> double",
        "add(a: date, b: duration) -> date",
        "add(a: timestamp, b: duration) -> timestamp",
        "add(a: timestamptz, b: duration) -> timestamptz",
        "add(a: duration, b: duration) -> duration",
    ],
    "The sum. Decimals keep the larger scale; a date stays a date, parts of a day being cut off. An int that overflows "
    "is an error.",
    [
        ("1 + 2", "3"),
        ("1 + 1.25", "2.25"),
        ("2026-01-31 + 1d", "2026-02-01"),
        ("2026-01-31 10:00 + 90m", "2026-01-31 11:30"),
        ("1 + null", ""),
        ("9223372036854775807 + 1", ERROR),
    ],
    written="a + b",
)
operators.add(
    [
        "subtract(a: int, b: int) -> int",
        "subtract(a: decimal(p, s), b: decimal(p, s)) -> decimal(p + 1, s)",
        "subtract(a: double, b: double) -> double",
        "subtract(a: date, b: duration) -> date",
        "subtract(a: timestamp, b: duration) -> timestamp",
        "subtract(a: timestamptz, b: duration) -> timestamptz",
        "subtract(a: date, b: date) -> duration",
        "subtract(a: timestamp, b: timestamp) -> duration",
        "subtract(a: timestamptz, b: timestamptz) -> duration",
        "subtract(a: duration, b: duration) -> duration",
    ],
    "The difference; of two moments the duration between them.",
    [
        ("5 - 7", "-2"),
        ("1.50 - 1", "0.50"),
        ("2026-03-01 - 1d", "2026-02-28"),
        ("2026-01-02 00:00 - 2026-01-01 22:00 == 2h", "true"),
    ],
    written="a - b",
)
operators.add(
    [
        "multiply(a: int, b: int) -> int",
        "multiply(a: decimal(p, s), b: decimal(q, t)) -> decimal(p + q, s + t)",
        "multiply(a: double, b: double) -> double",
        "multiply(a: duration, b: int) -> duration",
        "multiply(a: int, b: duration) -> duration",
    ],
    "The product. Decimals add their scales; more than 38 digits are an error.",
    [("6 * 7", "42"), ("1.5 * 1.5", "2.25"), ("2 * 1e0", "2"), ("3 * 20m == 1h", "true"),
     ("9223372036854775807 * 2", ERROR)],
    written="a * b",
)  # fmt: skip
operators.add(
    [
        "divide(a: int, b: int) -> double",
        "divide(a: decimal(p, s), b: decimal(q, t)) -> decimal(p - s + t + max(6, s), max(6, s))",
        "divide(a: double, b: double) -> double",
    ],
    "The quotient: of ints a double, of decimals a decimal with six digits after the point or as many as the first has. "
    "Null where the second is zero.",
    [("7 / 2", "3.5"), ("1.00 / 3", "0.333333"), ("1 / 0", ""), ("1.5 / 0", ""), ("1e0 / 0", "")],
    written="a / b",
)
operators.add(
    "div(a: int, b: int) -> int",
    "The whole quotient, cut off towards zero. Null where the second is zero.",
    [("7 div 2", "3"), ("-7 div 2", "-3"), ("7 div 0", ""), ("div(9, 2)", "4")],
    written="a div b",
)
operators.add(
    [
        "mod(a: int, b: int) -> int",
        "mod(a: decimal(p, s), b: decimal(p, s)) -> decimal(p, s)",
        "mod(a: double, b: double) -> double",
    ],
    "What is left of the first after the whole division by the second, with the sign of the first. Null where the second "
    "is zero.",
    [("7 % 3", "1"), ("-7 % 3", "-1"), ("7.5 % 2", "1.5"), ("7 % 0", ""), ("mod(9, 2)", "1")],
    written="a % b",
)
operators.add(
    [
        "negate(a: int) -> int",
        "negate(a: decimal(p, s)) -> decimal(p, s)",
        "negate(a: double) -> double",
        "negate(a: duration) -> duration",
    ],
    "With the other sign.",
    [("-(1 + 2)", "-3"), ("-null is null", "true")],
    written="-a",
)
for _name, _sign, _doc, _examples in (
    ("eq", "==", "Whether the two are equal.",
     [("1 == 1.0", "true"), ('"a" == "A"', "false"), ("null == null", ""), ("2026-01-01 == 2026-01-01 00:00", "true")]),
    ("ne", "!=", "Whether the two differ.", [("1 != 2", "true"), ("1 != null", "")]),
    ("lt", "<", "Whether the first is before the second.", [('"Z" < "a"', "true"), ("2026-01-01 < 2026-01-02", "true")]),
    ("le", "<=", "Whether the first is not after the second.", [("2 <= 2.0", "true"), ("1h <= 60m", "true")]),
    ("gt", ">", "Whether the first is after the second.", [("2 > 1", "true"), ("2 > null", "")]),
    ("ge", ">=", "Whether the first is not before the second.", [("1 >= 2", "false")]),
):  # fmt: skip
    operators.add(
        f"{_name}(a: {'T' if _name in ('eq', 'ne') else 'O'}, b: {'T' if _name in ('eq', 'ne') else 'O'}) -> bool",
        _doc,
        _examples,
        written=f"a {_sign} b",
    )
operators.add(
    "and(a: bool, b: bool) -> bool",
    "Whether both are true.",
    [("true and false", "false"), ("null and false", "false"), ("null and true", "")],
    nulls="false if one is false, else null if one is null",
    written="a and b",
)
operators.add(
    "or(a: bool, b: bool) -> bool",
    "Whether one is true.",
    [("true or false", "true"), ("null or true", "true"), ("null or false", "")],
    nulls="true if one is true, else null if one is null",
    written="a or b",
)
operators.add(
    "not(a: bool) -> bool", "Whether it is false.", [("not true", "false"), ("not null", "")], written="not a"
)
operators.add(
    "is_null(a: any) -> bool",
    "Whether there is no value.",
    [("null is null", "true"), ("0 is not null", "true"), ('"" is null', "false")],
    nulls="never null",
    written="a is null",
)
operators.add(
    "between(a: O, low: O, high: O) -> bool",
    "Whether the value is neither below the low nor above the high bound.",
    [("2 between 1 and 2", "true"), ("2 not between 1 and 2", "false"), ("null between 1 and 2", ""),
     ("3 between null and 2", "false")],
    nulls="as `a >= low and a <= high`",
    written="a between low and high",
)  # fmt: skip
operators.add(
    "in(a: T, items...: T) -> bool",
    "Whether the value equals one of the items.",
    [("2 in [1, 2]", "true"), ("2 not in [1, 2]", "false"), ("2 in [1, null]", ""), ("null in [1]", "")],
    nulls="null if the value is null, or equals no item and one of them is null",
    written="a in [b, c]",
)
operators.add(
    "case(test: bool, value: T, otherwise?: T) -> T",
    "The value after the first test that is true, else the last; null without `else`.",
    [
        ('case { 1 > 2 => "a", 2 > 1 => "b", else => "c" }', "b"),
        ("case { null => 1, else => 2 }", "2"),
        ("case { false => 1 }", ""),
    ],
    nulls="a test that is null is not true",
    written="case { test => a, else => b }",
)
operators.add(
    "cast(a: any) -> any",
    "A value in another type, an error where it cannot be; written as `to_…`, or as the operation `cast`.",
    [],
)
operators.add("try_cast(a: any) -> any", "The same, but null where it cannot be; written as `try_…`.", [])
