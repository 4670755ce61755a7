"""The header's settings: what each may be, and what it is unless it is given."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from apps.language import plan as p
from apps.language import tree as t
from apps.language.checking.constants import zone_problem
from apps.language.checking.cron import cron_problem
from apps.language.checking.findings import Findings, closest, listing
from apps.language.checking.options import OptionError, one_of, plain, text, whole_number
from apps.language.values import LiteralError, duration

_MEMORY = re.compile(r"(\d+)\s*(KB|MB|GB|KiB|MiB|GiB)", re.IGNORECASE)
_BYTES = {"kb": 1000, "mb": 1000**2, "gb": 1000**3, "kib": 1024, "mib": 1024**2, "gib": 1024**3}
_LEAST_MEMORY = 64 * 1024**2


def settings(header: t.FlowHeader, findings: Findings) -> p.Settings:
    """The settings, those in error left at what they are by themselves."""
    values: dict[str, Any] = {}
    seen: set[str] = set()
    for option in header.options:
        reader = _READERS.get(option.key)
        span = option.key_span if option.key_span.end else option.span
        if reader is None:
            meant = closest(option.key, _READERS)
            hint = (f"did you mean '{meant}'? " if meant else "") + f"settings: {listing(_READERS)}"
            findings.error("E401", f"unknown setting '{option.key}'", span, hint)
            continue
        if option.key in seen:
            findings.error("E401", f"the setting '{option.key}' is given twice", span, "keep one of the two")
        seen.add(option.key)
        try:
            values[_FIELDS.get(option.key, option.key)] = reader(option.value)
        except OptionError as problem:
            findings.error(problem.code, f"{option.key}: {problem}", option.value.span, problem.hint)
    return replace(p.Settings(), **values)


def _tags(value: Any) -> tuple[str, ...]:
    items = value.items if isinstance(value, t.ListLiteral) else (value,)
    return tuple(text(item) for item in items)


def _schedule(value: Any) -> str:
    given = text(value)
    problem = cron_problem(given)
    if problem:
        hint = 'minute hour day month weekday, like "0 6 * * *" or "*/15 8-18 * * mon-fri"'
        raise OptionError(problem, hint, code="E408")
    return given


def _timezone(value: Any) -> str:
    given = text(value)
    problem = zone_problem(given)
    if problem:
        raise OptionError(*problem, code="E409")
    return given


def _duration(least: timedelta) -> Callable[[Any], timedelta]:
    def read(value: Any) -> timedelta:
        given = plain(value)
        if not isinstance(given, t.Duration):
            raise OptionError("a duration is needed", "a number with a unit: 30s, 5m, 2h, 1d")
        try:
            result = duration(given.amount, given.unit)
        except LiteralError as problem:
            raise OptionError(problem.message, problem.hint) from None
        if result < least:
            raise OptionError(f"at least {least.total_seconds():g}s", "30s, 5m, 2h, 1d")
        return result

    return read


def _engine(value: Any) -> str:
    given = one_of(value, ("auto", "duckdb", "spark"))
    if given == "spark":
        hint = "`engine: auto` takes the best one that there is"
        raise OptionError("the engine spark is not supported yet", hint, code="E906")
    return given


def _memory(value: Any) -> int:
    hint = 'a number with a unit in quotes: "512MB", "2GB"'
    found = _MEMORY.fullmatch(text(value).strip())
    if not found:
        raise OptionError("this is not an amount of memory", hint)
    amount = int(found[1][:12]) * _BYTES[found[2].lower()]
    if amount < _LEAST_MEMORY:
        raise OptionError("a flow needs at least 64MiB", hint)
    return amount


_READERS: dict[str, Callable[[Any], Any]] = {
    "description": text,
    "owner": text,
    "tags": _tags,
    "schedule": _schedule,
    "timezone": _timezone,
    "retries": whole_number(0, 100),
    "retry_delay": _duration(timedelta(0)),
    "timeout": _duration(timedelta(seconds=1)),
    "concurrency": whole_number(1, 1000),
    "engine": _engine,
    "memory": _memory,
}
_FIELDS = {"memory": "memory_bytes"}
