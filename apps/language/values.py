"""Texts → Python values, by the language's rules for literals. Used for expressions, test cells and parameters."""

import json
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from apps.language.functions.conversion import INT_MAX, INT_MIN, exact_decimal
from apps.language.types import Kind, Type


class LiteralError(ValueError):
    """A text is not a value of the type. `hint` shows how one is written."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


_HINTS = {
    Kind.BOOL: "a bool is true or false",
    Kind.INT: "an int is written like 1_000, without a point",
    Kind.DOUBLE: "a double is written like 1.5 or 1e3",
    Kind.DECIMAL: "a decimal is written like 1.50",
    Kind.DATE: "a date is written like 2026-01-31",
    Kind.TIME: "a time is written like 10:30 or 10:30:15",
    Kind.TIMESTAMP: "a timestamp is written like 2026-01-31 10:00",
    Kind.TIMESTAMPTZ: "a timestamptz is written like 2026-01-31 10:00+01:00; without a zone it is UTC",
    Kind.DURATION: "a duration is a whole number with a unit (ms, s, m, h, d, w), like 5m",
    Kind.LIST: 'a list is written like [1, 2] or ["a", "b"]',
    Kind.STRUCT: 'a struct is written like {"a": 1}',
    Kind.JSON: "JSON texts are in double quotes",
}

_INT = re.compile(r"[+-]?\d+(_\d+)*")
_DECIMAL = re.compile(r"[+-]?(\d+(_\d+)*(\.\d+(_\d+)*)?|\.\d+)")
_DOUBLE = re.compile(_DECIMAL.pattern + r"([eE][+-]?\d+)?")
_DATE = re.compile(r"(\d{4})-(\d{2})-(\d{2})")
_TIME = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d{1,6}))?)?")
_ZONE = re.compile(r"(Z|[+-]\d{2}(?::?\d{2})?)$")
_DURATION = re.compile(r"([+-]?\d+(?:_\d+)*)\s*(ms|s|m|h|d|w)")

UNITS = {
    "ms": timedelta(milliseconds=1), "s": timedelta(seconds=1), "m": timedelta(minutes=1),
    "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1),
}  # fmt: skip
_LONGEST = timedelta(days=365_000)


def number(text: str) -> int | Decimal | float:
    """A number literal: `1_000` an int of any size, `1.5` a decimal, `1e3` a double."""
    plain = text.replace("_", "")
    if "e" in plain.lower():
        return _double(plain)
    return Decimal(plain) if "." in plain else int(plain[:100])


def moment(text: str) -> date | datetime:
    """A date, or a date and a time. Raises LiteralError if the calendar or the clock has no such moment."""
    parts = text.replace("T", " ").split(maxsplit=1)
    if len(parts) == 1:
        return _date(parts[0])
    return datetime.combine(_date(parts[0]), _time(parts[1]))


def duration(amount: int, unit: str) -> timedelta:
    """Raises LiteralError for a duration of more than a thousand years."""
    try:
        result = UNITS[unit] * amount
    except OverflowError:
        result = timedelta.max
    if abs(result) > _LONGEST:
        raise LiteralError("a duration of more than a thousand years", "the longest duration is 365_000d")
    return result


def read(text: str, type_: Type) -> Any:
    """A text as a value of a type, as `Const.value` has it: a list is a tuple, a struct a dict.

    Raises LiteralError with what is wrong and how such a value is written.
    """
    reader = _READERS.get(type_.kind)
    if reader is None:
        raise LiteralError(f"a value of type {type_} cannot be written out")
    try:
        return reader(text.strip() if type_.kind is not Kind.TEXT else text, type_)
    except LiteralError:
        raise
    except (ValueError, OverflowError, InvalidOperation, RecursionError):
        raise _not(text, type_) from None


def show(value: Any) -> str:
    """A value as a person writes it, for messages."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case str():
            return json.dumps(value, ensure_ascii=False)
        case Decimal():
            return format(value, "f")
        case datetime():
            return value.isoformat(sep=" ", timespec="auto")
        case timedelta():
            return _show_duration(value)
        case tuple() | list():
            return "[" + ", ".join(map(show, value)) + "]"
        case _:
            return str(value)


def _show_duration(value: timedelta) -> str:
    for unit in ("w", "d", "h", "m", "s"):
        amount, rest = divmod(value, UNITS[unit])
        if not rest:
            return f"{amount}{unit}"
    return f"{value // UNITS['ms']}ms"


def shortened(text: str) -> str:
    """A text as a message can hold it."""
    return text if len(text) <= 40 else text[:40] + "…"


def _not(text: str, type_: Type) -> LiteralError:
    return LiteralError(f"'{shortened(text)}' is not a value of type {type_}", _HINTS.get(type_.kind, ""))


def _bool(text: str, type_: Type) -> bool:
    if text.lower() not in ("true", "false"):
        raise _not(text, type_)
    return text.lower() == "true"


def _int(text: str, type_: Type) -> int:
    if not _INT.fullmatch(text):
        raise _not(text, type_)
    value = int(text.replace("_", "")[:100])
    if not INT_MIN <= value <= INT_MAX:
        raise LiteralError(
            f"'{shortened(text)}' is too large for an int", "an int has 64 bits; a decimal(38, 0) holds more"
        )
    return value


def _double(text: str, type_: Type | None = None) -> float:
    if text.lower() in ("nan", "inf", "-inf", "infinity", "-infinity"):
        return float(text)
    if not _DOUBLE.fullmatch(text):
        raise _not(text, type_ or Type(Kind.DOUBLE))
    return float(text.replace("_", ""))


def _decimal(text: str, type_: Type) -> Decimal:
    if not _DECIMAL.fullmatch(text):
        raise _not(text, type_)
    value = exact_decimal(Decimal(text.replace("_", "")), type_)
    if value is None:
        whole = type_.precision - type_.scale
        raise LiteralError(
            f"'{shortened(text)}' does not fit {type_}",
            f"{type_} has {whole} digit{'s' * (whole != 1)} before the point and {type_.scale} after it",
        )
    return value


def _text(text: str, type_: Type) -> str:
    return text


def _date(text: str, type_: Type | None = None) -> date:
    found = _DATE.fullmatch(text)
    if not found:
        raise _not(text, type_ or Type(Kind.DATE))
    try:
        return date(*map(int, found.groups()))
    except ValueError:
        raise LiteralError(
            f"there is no date {text}", "months count from 01 to 12; the day must be in its month"
        ) from None


def _time(text: str, type_: Type | None = None) -> time:
    found = _TIME.fullmatch(text)
    if not found:
        raise _not(text, type_ or Type(Kind.TIME))
    hour, minute, second, fraction = found.groups()
    try:
        return time(int(hour), int(minute), int(second or 0), int((fraction or "0").ljust(6, "0")))
    except ValueError:
        raise LiteralError(f"there is no time {text}", "a day has the hours 00 to 23") from None


def _timestamp(text: str, type_: Type) -> datetime:
    if not _DATE.match(text):
        raise _not(text, type_)
    value = moment(text)
    return value if isinstance(value, datetime) else datetime.combine(value, time())


def _timestamptz(text: str, type_: Type) -> datetime:
    if _DATE.fullmatch(text):
        return datetime.combine(_date(text), time(), UTC)
    zone = _ZONE.search(text)
    value = _timestamp(text[: zone.start()].strip() if zone else text, type_)
    if zone is None or zone[1] == "Z":
        return value.replace(tzinfo=UTC)
    return datetime.fromisoformat(f"{value.isoformat()}{zone[1]}").astimezone(UTC)


def _duration_text(text: str, type_: Type) -> timedelta:
    found = _DURATION.fullmatch(text)
    if not found:
        raise _not(text, type_)
    return duration(int(found[1].replace("_", "")[:30]), found[2])


def _json(text: str, type_: Type) -> str:
    json.loads(text)
    return text


def _list(text: str, type_: Type) -> Any:
    return _from_json(json.loads(text, parse_float=str, parse_int=str), type_)


def _from_json(value: Any, type_: Type) -> Any:
    """A JSON value as a value of the type. Numbers arrive as their text, so that no digit is lost."""
    if value is None:
        return None
    if type_.kind is Kind.LIST and isinstance(value, list) and type_.item is not None:
        return tuple(_from_json(item, type_.item) for item in value)
    if type_.kind is Kind.STRUCT and isinstance(value, dict):
        unknown = [name for name in value if name not in dict(type_.fields)]
        if unknown:
            raise LiteralError(f"{type_} has no field '{unknown[0]}'", _HINTS[Kind.STRUCT])
        return {name: _from_json(value.get(name), field) for name, field in type_.fields}
    if isinstance(value, list | dict):
        raise _not(json.dumps(value), type_)
    return read(str(value).lower() if isinstance(value, bool) else value, type_)


_READERS: dict[Kind, Callable[[str, Type], Any]] = {
    Kind.BOOL: _bool, Kind.INT: _int, Kind.DOUBLE: _double, Kind.DECIMAL: _decimal, Kind.TEXT: _text,
    Kind.DATE: _date, Kind.TIME: _time, Kind.TIMESTAMP: _timestamp, Kind.TIMESTAMPTZ: _timestamptz,
    Kind.DURATION: _duration_text, Kind.JSON: _json, Kind.LIST: _list, Kind.STRUCT: _list,
}  # fmt: skip
