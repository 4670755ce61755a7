"""The language's types and values in DuckDB's spelling: types, typed literals, and back."""

import math
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any

from sqlglot import exp

from apps.language import types
from apps.language.types import Kind, Type

_PLAIN = {
    Kind.NULL: "NULL",
    Kind.BOOL: "BOOLEAN",
    Kind.INT: "BIGINT",
    Kind.DOUBLE: "DOUBLE",
    Kind.TEXT: "TEXT",
    Kind.DATE: "DATE",
    Kind.TIME: "TIME",
    Kind.TIMESTAMP: "TIMESTAMP",
    Kind.TIMESTAMPTZ: "TIMESTAMPTZ",
    Kind.DURATION: "INTERVAL",
    Kind.JSON: "JSON",
}

# DuckDB's own names (the `id` of its type objects) that are one of our types without loss.
_FROM_DUCKDB = {
    "boolean": types.BOOL,
    "bigint": types.INT,
    "double": types.DOUBLE,
    "varchar": types.TEXT,
    "date": types.DATE,
    "time": types.TIME,
    "timestamp": types.TIMESTAMP,
    "timestamp with time zone": types.TIMESTAMPTZ,
    "interval": types.DURATION,
    "sqlnull": types.NULL,
    "null": types.NULL,
}


@lru_cache(maxsize=512)
def sql_type(type_: Type) -> exp.DataType:
    """The type as a node. Shared between trees, so callers copy it: `cast` does."""
    match type_.kind:
        case Kind.DECIMAL:
            parameters = [
                exp.DataTypeParam(this=exp.Literal.number(number)) for number in (type_.precision, type_.scale)
            ]
            return exp.DataType(this=exp.DataType.Type.DECIMAL, expressions=parameters)
        case Kind.LIST:
            assert type_.item is not None
            return exp.DataType(this=exp.DataType.Type.ARRAY, expressions=[sql_type(type_.item).copy()], nested=True)
        case Kind.STRUCT:
            fields = [exp.ColumnDef(this=identifier(name), kind=sql_type(field).copy()) for name, field in type_.fields]
            return exp.DataType(this=exp.DataType.Type.STRUCT, expressions=fields, nested=True)
        case kind:
            return exp.DataType(this=exp.DataType.Type[_PLAIN[kind]])


def identifier(name: str) -> exp.Identifier:
    """A name that is quoted whatever it holds."""
    return exp.Identifier(this=name, quoted=True)


def cast(value: exp.Expression, type_: Type) -> exp.Expression:
    """The value in the type, unless the type is not known: `null` and `[]` fit every type."""
    if _is_open(type_):
        return value
    return exp.Cast(this=value, to=sql_type(type_).copy())


def _is_open(type_: Type) -> bool:
    if type_.item is not None:
        return _is_open(type_.item)
    return type_.kind is Kind.NULL or any(_is_open(field) for _, field in type_.fields)


def try_cast(value: exp.Expression, type_: Type) -> exp.Expression:
    return exp.TryCast(this=value, to=sql_type(type_).copy())


def text(value: str) -> exp.Expression:
    return exp.Literal.string(value)


def number(value: int) -> exp.Expression:
    """A bare whole number, for places where the type does not matter."""
    literal = exp.Literal.number(abs(value))
    return exp.Paren(this=exp.Neg(this=literal)) if value < 0 else literal


def literal(value: Any, type_: Type) -> exp.Expression:
    """A typed literal: nothing of the value is ever read as SQL.

    Without the cast a small number would be 32 bits wide in DuckDB and overflow early.
    """
    if value is None:
        return cast(exp.Null(), type_)
    match type_.kind:
        case Kind.BOOL:
            return exp.Boolean(this=bool(value))
        case Kind.INT:
            return cast(number(int(value)), type_)
        case Kind.TEXT:
            return text(str(value))
        case Kind.LIST:
            assert type_.item is not None
            item = type_.item
            return cast(exp.Array(expressions=[literal(each, item) for each in value]), type_)
        case Kind.STRUCT:
            values = value if isinstance(value, dict) else dict(value)
            pairs = [
                exp.PropertyEQ(this=identifier(name), expression=literal(values.get(name), field))
                for name, field in type_.fields
            ]
            return cast(exp.Struct(expressions=pairs), type_)
        case Kind.DURATION:
            return microseconds(value)
        case _:
            return cast(text(_written(value)), type_)


def microseconds(value: timedelta) -> exp.Expression:
    """A duration as exact microseconds: a day is 24 hours, whatever the calendar says."""
    total = (value.days * 86_400 + value.seconds) * 1_000_000 + value.microseconds
    return exp.Anonymous(this="to_microseconds", expressions=[cast(number(total), types.INT)])


def _written(value: Any) -> str:
    """A value in the text form that DuckDB casts back to the same value."""
    match value:
        case float():
            if math.isnan(value):
                return "nan"
            return repr(value)
        case Decimal():
            return format(value, "f")
        case datetime():
            aware = value.astimezone(UTC) if value.tzinfo else value
            return aware.isoformat(sep=" ")
        case date() | time():
            return value.isoformat()
        case _:
            return str(value)


def from_duckdb(type_: Any) -> Type | None:
    """The language's type of a DuckDB type object (`relation.types`, `description[i][1]`); None if it has none.

    Exact: an INTEGER column is not an `int`, for a reader would have to widen it first.
    """
    name = str(type_.id)
    match name:
        case "decimal":
            sizes = dict(type_.children)
            return types.decimal(int(sizes["precision"]), int(sizes["scale"]))
        case "list":
            item = from_duckdb(dict(type_.children)["child"])
            return None if item is None else types.list_of(item)
        case "struct":
            fields = [(field, from_duckdb(child)) for field, child in type_.children]
            known = [(field, child) for field, child in fields if child is not None]
            return types.struct(*known) if len(known) == len(fields) else None
        case _:
            if str(type_) == "JSON":
                return types.JSON
            return _FROM_DUCKDB.get(name)
