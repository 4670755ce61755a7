"""Rows of DuckDB as Python values that can be compared, and as text that people read."""

import math
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from apps.engine.nodes import call
from apps.engine.sql import Sql, Text
from apps.language.types import Kind, Type

Row = tuple[Any, ...]

# Doubles are equal when they differ by less than this share of the larger: sums are added in any order.
TOLERANCE = 1e-9


def fetchable(value: Sql, type_: Type) -> Sql:
    """A timestamptz leaves DuckDB as UTC's clock shows it: the driver would want a library for zones."""
    return call("timezone", Text("UTC"), value) if type_.kind is Kind.TIMESTAMPTZ else value


def frozen(value: Any, type_: Type) -> Any:
    """A value that can be compared and hashed. Equal values of a type are equal here, whatever Python they came as."""
    if value is None:
        return None
    match type_.kind:
        case Kind.LIST:
            assert type_.item is not None
            return tuple(frozen(item, type_.item) for item in value)
        case Kind.STRUCT:
            fields = dict(value)
            return tuple(frozen(fields.get(name), field) for name, field in type_.fields)
        case Kind.TIMESTAMPTZ:
            return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
        case Kind.DOUBLE:
            return "nan" if math.isnan(value) else float(value)
        case Kind.DECIMAL:
            return Decimal(value)
        case _:
            return value


def differences(expected: Sequence[Row], actual: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """As multisets: the expected rows that are missing, and the actual ones that nobody expected, in their order."""
    missing, unexpected = _without(expected, actual), _without(actual, expected)
    for row in list(missing):
        near = next((other for other in unexpected if same(row, other)), None)
        if near is not None:
            missing.remove(row)
            unexpected.remove(near)
    return missing, unexpected


def _without(rows: Sequence[Row], taken: Sequence[Row]) -> list[Row]:
    left = Counter(taken)
    rest = []
    for row in rows:
        if left[row] > 0:
            left[row] -= 1
        else:
            rest.append(row)
    return rest


def same(one: Any, other: Any) -> bool:
    """Equal, doubles nearly so."""
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return one == other or math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=1e-12)
    return bool(one == other)


def cell(value: Any) -> str:
    """A value as a test's table shows it: empty for null, `""` for the empty text."""
    match value:
        case None:
            return ""
        case "":
            return '""'
        case bool():
            return str(value).lower()
        case str():
            return value.replace("|", "\\|").replace("\n", "\\n")
        case Decimal():
            return format(value, "f")
        case datetime():
            return value.isoformat(sep=" ").removesuffix(":00") if not value.second else value.isoformat(sep=" ")
        case date():
            return value.isoformat()
        case tuple() | list():
            return "[" + ", ".join(map(cell, value)) + "]"
        case _:
            return str(value)


def grid(names: Sequence[str], rows: Sequence[tuple[str, Row]]) -> str:
    """A table of rows with a mark before each, its columns aligned."""
    lines = [["", *names]] + [[mark, *map(cell, row)] for mark, row in rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(names) + 1)]
    shown = [[item.ljust(width) for item, width in zip(line, widths, strict=True)] for line in lines]
    return "\n".join(f"{line[0]} | {' | '.join(line[1:])} |" for line in shown)
