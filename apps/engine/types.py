"""The language's types and values in DuckDB's spelling: types, typed literals, and back."""

import math
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any

from apps.engine.sql import FALSE, NULL, TRUE, Array, Call, Cast, Name, Number, Sql, Struct, Text
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
def sql_type(type_: Type) -> str:
    """The type in DuckDB's spelling."""
    match type_.kind:
        case Kind.DECIMAL:
            return f"DECIMAL({type_.precision}, {type_.scale})"
        case Kind.LIST:
            assert type_.item is not None
            return f"{sql_type(type_.item)}[]"
        case Kind.STRUCT:
            return "STRUCT(" + ", ".join(f"{Name(name)} {sql_type(field)}" for name, field in type_.fields) + ")"
        case kind:
            return _PLAIN[kind]


def cast(value: Sql, type_: Type) -> Sql:
    """The value in the type, unless the type is not known: `null` and `[]` fit every type."""
    return value if _is_open(type_) else Cast(value, sql_type(type_))


def _is_open(type_: Type) -> bool:
    if type_.item is not None:
        return _is_open(type_.item)
    return type_.kind is Kind.NULL or any(_is_open(field) for _, field in type_.fields)


def try_cast(value: Sql, type_: Type) -> Sql:
    return Cast(value, sql_type(type_), tolerant=True)


def literal(value: Any, type_: Type) -> Sql:
    """A typed literal: nothing of the value is ever read as SQL.

    Without the cast a small number would be 32 bits wide in DuckDB and overflow early.
    """
    if value is None:
        return cast(NULL, type_)
    match type_.kind:
        case Kind.BOOL:
            return TRUE if value else FALSE
        case Kind.INT:
            return cast(Number(int(value)), type_)
        case Kind.TEXT:
            return Text(str(value))
        case Kind.LIST:
            assert type_.item is not None
            item = type_.item
            return cast(Array(tuple(literal(each, item) for each in value)), type_)
        case Kind.STRUCT:
            values = value if isinstance(value, dict) else dict(value)
            fields = tuple((name, literal(values.get(name), field)) for name, field in type_.fields)
            return cast(Struct(fields), type_)
        case Kind.DURATION:
            return microseconds(value)
        case _:
            return cast(Text(_written(value)), type_)


def microseconds(value: timedelta) -> Sql:
    """A duration as exact microseconds: a day is 24 hours, whatever the calendar says."""
    total = (value.days * 86_400 + value.seconds) * 1_000_000 + value.microseconds
    return Call("to_microseconds", (cast(Number(total), types.INT),))


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
