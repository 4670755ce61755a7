"""How types meet: what fits where without being asked, the type that two values share, what a cast can do."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from apps.language import types
from apps.language.plan import Apply, Const, Expression
from apps.language.types import MAX_PRECISION, Kind, Type

INT_DIGITS = 19  # of the largest 64-bit number
INT_MIN, INT_MAX = -(2**63), 2**63 - 1

# An expression in error: it fits everything, and so silences what would only echo the error.
UNKNOWN = Type(Kind.NULL, precision=-1)


def is_unknown(type_: Type) -> bool:
    """Whether the type, or a part of it, comes from an expression in error."""
    if type_.kind is Kind.LIST and type_.item is not None:
        return is_unknown(type_.item)
    return type_ == UNKNOWN or any(is_unknown(field) for _, field in type_.fields)


_UNORDERED = (Kind.JSON, Kind.LIST, Kind.STRUCT)
_MOMENTS = (Kind.DATE, Kind.TIMESTAMP, Kind.TIMESTAMPTZ)


def can_order(type_: Type) -> bool:
    return type_.kind not in _UNORDERED


def as_decimal(value: Expression | Type) -> Type:
    """The decimal that holds an int or a decimal: a literal takes the digits that it has, an int column 19."""
    if isinstance(value, Type):
        return value if value.kind is Kind.DECIMAL else types.decimal(INT_DIGITS, 0)
    if isinstance(value, Const) and value.type.kind is Kind.INT and value.value is not None:
        return types.decimal(len(str(abs(value.value))), 0)
    return as_decimal(value.type)


def wide_decimal(whole_digits: int, scale: int) -> Type:
    """A decimal with room for both, of at most 38 digits: the scale is kept, and a value that needs more is an
    error when the flow runs."""
    return types.decimal(min(MAX_PRECISION, max(1, whole_digits + scale)), scale)


def common_type(values: Sequence[Expression | Type]) -> Type | None:
    """The type to which all values can be cast without loss, None if there is none. Null fits every type."""
    given = [(value, value if isinstance(value, Type) else value.type) for value in values]
    known = [(value, type_) for value, type_ in given if type_.kind is not Kind.NULL]
    if not known:
        return UNKNOWN if any(type_ == UNKNOWN for _, type_ in given) else types.NULL
    first = known[0][1]
    if all(type_ == first for _, type_ in known):
        return first
    if all(type_.is_numeric for _, type_ in known):
        return _common_number(known)
    kinds = {type_.kind for _, type_ in known}
    if kinds == {Kind.DATE, Kind.TIMESTAMP}:
        return types.TIMESTAMP
    if kinds == {Kind.LIST}:
        item = common_type([type_.item or types.NULL for _, type_ in known])
        return None if item is None else types.list_of(item)
    if kinds == {Kind.STRUCT}:
        return _common_struct([type_ for _, type_ in known])
    return None


def _common_number(known: Sequence[tuple[Expression | Type, Type]]) -> Type:
    if any(type_.kind is Kind.DOUBLE for _, type_ in known):
        return types.DOUBLE
    decimals = [as_decimal(value) for value, _ in known]
    scale = max(each.scale for each in decimals)
    return wide_decimal(max(each.precision - each.scale for each in decimals), scale)


def _common_struct(structs: Sequence[Type]) -> Type | None:
    names = [name for name, _ in structs[0].fields]
    if any([name for name, _ in each.fields] != names for each in structs):
        return None
    fields = []
    for position, name in enumerate(names):
        common = common_type([each.fields[position][1] for each in structs])
        if common is None:
            return None
        fields.append((name, common))
    return types.struct(*fields)


def fits(value: Expression, target: Type) -> bool:
    """Whether a value becomes the target by itself: int → decimal → double, date → timestamp, null → anything."""
    return value.type.kind is Kind.NULL or common_type([value, target]) == target


_FROM_TEXT = (
    Kind.INT, Kind.DOUBLE, Kind.DECIMAL, Kind.BOOL, Kind.DATE, Kind.TIME, Kind.TIMESTAMP, Kind.TIMESTAMPTZ,
)  # fmt: skip
_NUMBERS = (Kind.INT, Kind.DOUBLE, Kind.DECIMAL)
_TO_TEXT = (*_FROM_TEXT, Kind.TEXT)

_CASTS: dict[Kind, tuple[Kind, ...]] = {
    Kind.BOOL: (Kind.BOOL, Kind.INT, Kind.TEXT),
    Kind.INT: (*_NUMBERS, Kind.BOOL, Kind.TEXT),
    Kind.DOUBLE: (*_NUMBERS, Kind.TEXT),
    Kind.DECIMAL: (*_NUMBERS, Kind.TEXT),
    Kind.TEXT: _TO_TEXT,
    Kind.DATE: (*_MOMENTS, Kind.TEXT),
    Kind.TIME: (Kind.TIME, Kind.TIMESTAMP, Kind.TEXT),
    Kind.TIMESTAMP: (*_MOMENTS, Kind.TEXT),
    Kind.TIMESTAMPTZ: (Kind.TIMESTAMPTZ, Kind.TEXT),
    Kind.DURATION: (Kind.DURATION,),
}


def can_cast(source: Type, target: Type) -> bool:
    """Whether `to_…` and `cast` lead from one type to the other."""
    if source.kind is Kind.NULL or source == target:
        return True
    if source.kind is Kind.LIST and target.kind is Kind.LIST:
        return can_cast(source.item or types.NULL, target.item or types.NULL)
    return source.kind in _CASTS.get(target.kind, ())


def convert(value: Expression, target: Type) -> Expression:
    """The value as the target type. A literal is converted here, so that the engine sees the value itself."""
    if value.type == target or UNKNOWN in (value.type, target):
        return value
    if isinstance(value, Apply) and value.function == "list" and target.item is not None:
        # A list that is written out gets the type with its items: one of nulls has none before.
        items = tuple(convert(item, target.item) for item in value.args)
        return replace(value, type=target, args=items)
    if isinstance(value, Const):
        converted = _constant(value.value, value.type, target)
        if converted is not _NOT_HERE:
            return replace(value, type=target, value=converted)
    return Apply(target, "cast", (value,), span=value.span)


_NOT_HERE = object()


def _constant(value: Any, source: Type, target: Type) -> Any:
    """A literal in another type, or `_NOT_HERE` where the engine has to do it."""
    if value is None:
        return None
    if target.kind is Kind.DOUBLE and source.is_numeric:
        return float(value)
    if target.kind is Kind.DECIMAL and source.kind in (Kind.INT, Kind.DECIMAL):
        exact = exact_decimal(Decimal(value), target)
        return _NOT_HERE if exact is None else exact
    if target.kind is Kind.TIMESTAMP and source.kind is Kind.DATE:
        return datetime.combine(value, time())
    return _NOT_HERE


def exact_decimal(value: Decimal, target: Type) -> Decimal | None:
    """The value with the target's scale, or None if digits would be lost on either side of the point."""
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        return None
    shift = exponent + target.scale
    whole = int("".join(map(str, digits)) or "0")
    if shift < 0:
        whole, lost = divmod(whole, 10**-shift)
        if lost:
            return None
    elif shift > MAX_PRECISION:
        return None
    else:
        whole *= 10**shift
    text = str(whole)
    if len(text) > target.precision and whole:
        return None
    return Decimal((sign, tuple(map(int, text)), -target.scale))


def type_of_value(value: Any) -> Type:
    """The narrowest type of a Python value."""
    match value:
        case None:
            return types.NULL
        case bool():
            return types.BOOL
        case int():
            return types.INT
        case float():
            return types.DOUBLE
        case Decimal():
            return type_of_decimal(value)
        case datetime():
            return types.TIMESTAMP if value.tzinfo is None else types.TIMESTAMPTZ
        case date():
            return types.DATE
        case time():
            return types.TIME
        case str():
            return types.TEXT
        case _:
            return types.DURATION


def type_of_decimal(value: Decimal) -> Type:
    """`1.50` is a decimal(3, 2)."""
    _, digits, exponent = value.as_tuple()
    scale = max(0, -exponent) if isinstance(exponent, int) else 0
    return types.decimal(max(len(digits), scale, 1), scale)
