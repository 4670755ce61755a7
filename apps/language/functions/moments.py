"""Functions on dates and times. A timestamptz is read in UTC; `at_zone` gives another zone."""

from apps.language.functions.spec import ERROR, Section

time = Section("scalar", "Dates and times")

UNITS_OF_DATE = ("year", "quarter", "month", "week", "day")
UNITS_OF_TIME = (*UNITS_OF_DATE, "hour", "minute", "second")
FORMAT_CODES = "YymdjHMSfbBaA%"

time.add(
    "today() -> date",
    "The day of the run's logical time, in the flow's time zone: one value a run.",
    [("today() == today()", "true"), ("days_between(today(), today())", "0")],
    nulls="never null",
)
time.add(
    "now() -> timestamp",
    "The run's logical time, in the flow's time zone: one value a run.",
    [("now() == now()", "true"), ("to_date(now()) == today()", "true")],
    nulls="never null",
)


def _part(name: str, doc: str, examples: list[tuple[str, str]], kinds: tuple[str, ...]) -> None:
    time.add([f"{name}(value: {kind}) -> int" for kind in kinds], doc, examples)


_DAYS = ("date", "timestamp", "timestamptz")
_HOURS = ("time", "timestamp", "timestamptz")

_part("year", "The year.", [("year(2026-03-31)", "2026"), ("year(null)", "")], _DAYS)
_part("quarter", "The quarter, 1 to 4.", [("quarter(2026-03-31)", "1"), ("quarter(2026-10-01)", "4")], _DAYS)
_part("month", "The month, 1 to 12.", [("month(2026-03-31 23:59)", "3")], _DAYS)
_part("day", "The day of the month, 1 to 31.", [("day(2024-02-29)", "29")], _DAYS)
_part("hour", "The hour, 0 to 23.", [("hour(2026-01-01 23:59)", "23"), ('hour(to_time("07:30"))', "7")], _HOURS)
_part("minute", "The minute, 0 to 59.", [("minute(2026-01-01 23:59)", "59")], _HOURS)
_part("second", "The whole second, 0 to 59.", [("second(2026-01-01 10:00:59.9)", "59")], _HOURS)
_part(
    "weekday",
    "The day of the week, Monday 1 to Sunday 7.",
    [("weekday(2026-03-02)", "1"), ("weekday(2026-03-01)", "7")],
    _DAYS,
)
_part(
    "week",
    "The week of the year as ISO 8601 counts: the first days of January may be in week 52 or 53.",
    [("week(2026-01-05)", "2"), ("week(2027-01-01)", "53")],
    _DAYS,
)
time.add(
    [
        "trunc(value: date, unit!: text) -> date",
        "trunc(value: timestamp, unit!: text) -> timestamp",
        "trunc(value: timestamptz, unit!: text) -> timestamptz",
    ],
    "The start of the unit that the moment is in: `year`, `quarter`, `month`, `week` (from Monday), `day`, and for "
    "timestamps `hour`, `minute`, `second`.",
    [
        ('trunc(2026-03-31, "month")', "2026-03-01"),
        ('trunc(2026-03-01, "week")', "2026-02-23"),
        ('trunc(2026-03-31 10:59, "hour")', "2026-03-31 10:00"),
        ('trunc(2026-05-31 10:59, "quarter")', "2026-04-01 00:00"),
    ],
)

_PAIRS = ("date", "timestamp", "timestamptz")


def _between(unit: str, doc: str, examples: list[tuple[str, str]], pairs: tuple[str, ...]) -> None:
    time.add([f"{unit}_between(start: {kind}, end: {kind}) -> int" for kind in pairs], doc, examples)


_between(
    "days",
    "How often midnight lies between the two; negative if the end is before the start.",
    [
        ("days_between(2026-01-01, 2026-03-01)", "59"),
        ("days_between(2026-01-01 23:00, 2026-01-02 01:00)", "1"),
        ("days_between(2026-01-02, 2026-01-01)", "-1"),
        ("days_between(null, 2026-01-01)", ""),
    ],
    _PAIRS,
)
_between(
    "hours",
    "The whole hours that pass between the two, the rest being cut off.",
    [
        ("hours_between(2026-01-01 10:30, 2026-01-01 12:00)", "1"),
        ("hours_between(2026-01-01 12:00, 2026-01-01 10:30)", "-1"),
        ("hours_between(2026-01-01, 2026-01-02)", "24"),
    ],
    _PAIRS[1:],
)
_between(
    "minutes",
    "The whole minutes that pass between the two, the rest being cut off.",
    [("minutes_between(2026-01-01 10:00:30, 2026-01-01 10:05:00)", "4")],
    _PAIRS[1:],
)
_between(
    "seconds",
    "The whole seconds that pass between the two, the rest being cut off.",
    [
        ("seconds_between(2026-01-01 10:00, 2026-01-01 10:05)", "300"),
        ("seconds_between(2026-01-01 10:00:00.9, 2026-01-01 10:00:01.8)", "0"),
    ],
    _PAIRS[1:],
)
time.add(
    [f"format_date(value: {kind}, format!: text) -> text" for kind in _DAYS],
    "A moment as text. The format has `%Y %y %m %d %j %H %M %S %f`, English names `%b %B %a %A`, and `%%`.",
    [
        ('format_date(2026-03-01, "%d.%m.%Y")', "01.03.2026"),
        ('format_date(2026-03-01 09:05, "%H:%M %a %B")', "09:05 Sun March"),
    ],
)
time.add(
    "parse_date(value: text, format!: text) -> date",
    "A text that is written by the format as a date; another text is an error.",
    [
        ('parse_date("31.01.2026", "%d.%m.%Y")', "2026-01-31"),
        ('parse_date("2026-01-31", "%d.%m.%Y")', ERROR),
        ('parse_date(null, "%Y")', ""),
    ],
)
time.add(
    [
        "at_zone(value: timestamptz, zone!: text) -> timestamp",
        "at_zone(value: timestamp, zone!: text) -> timestamptz",
    ],
    "A timestamptz as the clock of a zone shows it; a timestamp as the moment at which that clock shows it.",
    [
        ('to_text(at_zone(2026-07-01 12:00, "Europe/Zurich"))', "2026-07-01 10:00:00+00"),
        ('at_zone(at_zone(2026-01-01 12:00, "UTC"), "Europe/Zurich")', "2026-01-01 13:00"),
    ],
)
time.add(
    ["epoch(value: timestamp) -> int", "epoch(value: timestamptz) -> int"],
    "Whole seconds since 1970-01-01 00:00 (for a timestamptz in UTC), towards the past for what lies before.",
    [
        ("epoch(1970-01-02)", "86400"),
        ("epoch(2026-01-01 00:00:01.9)", "1767225601"),
        ("epoch(1969-12-31 23:59:59.5)", "-1"),
    ],
)
