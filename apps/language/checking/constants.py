"""Arguments that are written out, and what has to be true of them: units, formats, zones, shares, patterns."""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from apps.language import plan as p
from apps.language.checking.findings import closest
from apps.language.checking.places import Place
from apps.language.functions import Shape, Spec
from apps.language.functions.moments import FORMAT_CODES, UNITS_OF_DATE, UNITS_OF_TIME
from apps.language.types import MAX_PRECISION, Kind

if TYPE_CHECKING:
    from apps.language.checking.expressions import Expressions

Problem = tuple[str, str]  # message and hint
Args = Sequence[p.Expression]


def check(checker: "Expressions", spec: Spec, shape: Shape, args: Args, place: Place) -> bool:
    """Whether the arguments that have to be literals are, and are good ones; what is wrong is recorded."""
    for position, arg in enumerate(args):
        parameter = shape.parameter(position)
        if parameter.constant and not (isinstance(arg, p.Const) and arg.value is not None):
            message = f"the {parameter.name} of '{spec.name}' has to be written out"
            checker.error(place, "E312", message, arg.span, "write a literal there, not a column or a parameter")
            return False
    rule = _RULES.get(spec.name)
    found = rule(args) if rule else None
    if found is None:
        return True
    position, (message, hint) = found
    checker.error(place, "E312", message, args[position].span, hint)
    return False


Found = tuple[int, Problem] | None


def _value(args: Args, position: int) -> object:
    """A literal's value; None where the argument is missing or not written out."""
    arg = args[position] if position < len(args) else None
    return arg.value if isinstance(arg, p.Const) else None


def _unit(args: Args) -> Found:
    units = UNITS_OF_DATE if args[0].type.kind is Kind.DATE else UNITS_OF_TIME
    given = str(_value(args, 1))
    if given in units:
        return None
    meant = closest(given, units)
    hint = (f"did you mean '{meant}'? " if meant else "") + f"units: {', '.join(units)}"
    if args[0].type.kind is Kind.DATE and given in UNITS_OF_TIME:
        return 1, (f"a date has no {given}", hint)
    return 1, (f"unknown unit '{given}'", hint)


def _share(args: Args) -> Found:
    given = _value(args, 1)
    if isinstance(given, float) and 0 <= given <= 1:
        return None
    return 1, (f"a share of {given} is not between 0 and 1", "0.9 is the 90th percentile")


def _parts(args: Args) -> Found:
    given = _value(args, 0)
    return None if isinstance(given, int) and given >= 1 else (0, ("there has to be at least one part", "ntile(4)"))


def _rows(args: Args) -> Found:
    given = _value(args, 1)
    if len(args) < 2 or (isinstance(given, int) and given >= 0):
        return None
    return 1, ("the number of rows cannot be negative", "lag looks back, lead looks ahead")


def _digits(args: Args) -> Found:
    given = _value(args, 1)
    if len(args) < 2 or (isinstance(given, int) and abs(given) <= MAX_PRECISION):
        return None
    return 1, (f"{given} digits are too many", "at most 38")


def _group(args: Args) -> Found:
    bad = _pattern(args)
    if bad or len(args) < 3:
        return bad
    given, pattern = _value(args, 2), _value(args, 1)
    if not isinstance(pattern, str):
        return 1, (
            "the pattern has to be written out where one of its groups is asked for",
            "group 0 is all that it found",
        )
    groups = re.compile(_for_python(pattern)).groups
    if isinstance(given, int) and 0 <= given <= groups:
        return None
    return 2, (f"the pattern has no group {given}", f"it has {groups}; 0 is all that it found")


def _pattern(args: Args) -> Found:
    pattern = _value(args, 1)
    problem = pattern_problem(pattern) if isinstance(pattern, str) else None
    return (1, problem) if problem else None


def _fill(args: Args) -> Found:
    if _value(args, 2) == "":
        return 2, ("nothing cannot fill a text up", "leave the fill out for spaces")
    return None


def _sizes(args: Args) -> Found:
    precision, scale = _value(args, 1), _value(args, 2)
    if len(args) > 1 and not (isinstance(precision, int) and 1 <= precision <= MAX_PRECISION):
        return 1, (f"a decimal has 1 to 38 digits, not {precision}", "to_decimal(x, 12, 2)")
    if len(args) > 2 and not (isinstance(scale, int) and isinstance(precision, int) and 0 <= scale <= precision):
        return 2, (f"a decimal of {precision} digits cannot have {scale} after the point", "to_decimal(x, 12, 2)")
    return None


def _format(args: Args) -> Found:
    given = str(_value(args, 1))
    wrong = [code for code in re.findall(r"%(.?)", given, re.DOTALL) if not code or code not in FORMAT_CODES]
    if wrong:
        codes = " ".join(f"%{code}" for code in FORMAT_CODES)
        return 1, (f"the format has an unknown code '%{wrong[0]}'", f"codes: {codes}")
    return None


def _zone(args: Args) -> Found:
    problem = zone_problem(str(_value(args, 1)))
    return (1, problem) if problem else None


@lru_cache(maxsize=128)
def zone_problem(name: str) -> Problem | None:
    """What is wrong with the name of a time zone."""
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        return f"unknown time zone '{name}'", "zones are named like Europe/Zurich, America/New_York or UTC"
    return None


@lru_cache(maxsize=512)
def pattern_problem(pattern: str) -> Problem | None:
    """What is wrong with a pattern. Python's reader stands in for RE2's, which knows no look-around."""
    if re.search(r"(?<!\\)\(\?(=|!|<=|<!|>|P=)|(?<!\\)(\\\\)*\\[1-9]", pattern):
        return "patterns have no look-around and no back references", "they are those of RE2, which runs in linear time"
    try:
        re.compile(_for_python(pattern))
    except (re.error, OverflowError, RecursionError) as problem:
        return f"this is not a pattern: {problem}", "a backslash makes a sign stand for itself: \\."
    return None


def _for_python(pattern: str) -> str:
    r"""The pattern with what RE2 has and Python lacks replaced by something of the same shape: `\p{L}`, `[[:alpha:]]`."""
    plain = re.sub(r"\\[pP](\{\^?\w+\}|\w)", r"\\w", pattern)
    return re.sub(r"\[:\^?\w+:\]", r"\\w", plain).replace(r"\z", r"\Z")


_RULES: dict[str, Callable[[Args], Found]] = {
    "trunc": _unit, "quantile": _share, "ntile": _parts, "lag": _rows, "lead": _rows, "round": _digits,
    "pad_left": _fill, "pad_right": _fill, "regex_match": _pattern, "regex_replace": _pattern, "regex_extract": _group, "matches": _pattern,
    "to_decimal": _sizes, "try_decimal": _sizes, "format_date": _format, "parse_date": _format, "at_zone": _zone,
}  # fmt: skip
