"""Values of text files by the language's own rules: what does not fit its type is refused, never changed to fit.

DuckDB's readers would make 4 of a whole number `3.7`, cut the time off `2026-01-31 10:00`, round `1.239` to two places.
So values of these types are read as text and converted as `to_int`, `to_date` … convert, decimals besides with no more
places than they have. When that fails, misfits.py finds the place.
"""

from apps.engine.nodes import call, when
from apps.engine.spelling import convert, marked_unless
from apps.engine.sql import Name, Number, Operator, Sql
from apps.engine.types import cast, try_cast
from apps.language.plan import Column
from apps.language.types import TEXT, Kind, Type

CONVERTED = frozenset({Kind.INT, Kind.BOOL, Kind.DECIMAL, Kind.DATE, Kind.TIME})


def is_converted(type_: Type) -> bool:
    return type_.kind in CONVERTED


def read_as(type_: Type) -> Type:
    """The type in which the reader gives values of `type_`."""
    return TEXT if is_converted(type_) else type_


def value_of(column: Column, *, tolerant: bool = False) -> str:
    """The text in `column` in its type, as SQL; tolerant gives null for what does not fit."""
    value: Sql = Name(column.name)
    if (
        column.type.kind is Kind.DATE
    ):  # `2026-01-31` has no room for anything else, and is quicker to measure than to match
        usual = Operator("=", (call("strlen", value), Number(10)))
        return str(
            when(
                usual,
                (try_cast if tolerant else cast)(value, column.type),
                convert(value, TEXT, column.type, tolerant=tolerant),
            )
        )
    if column.type.kind is Kind.DECIMAL:
        fits = rf"\s*[+-]?[0-9]*(\.[0-9]{{0,{column.type.scale}}}0*)?\s*"
        return str(
            convert(marked_unless(value, fits, "more places than it has: "), TEXT, column.type, tolerant=tolerant)
        )
    return str(convert(value, TEXT, column.type, tolerant=tolerant))
