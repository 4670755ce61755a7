"""The syntax of a schedule: five fields, as cron has them."""

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")

# name, lowest, highest, names of the values from the lowest on
_FIELDS: tuple[tuple[str, int, int, tuple[str, ...]], ...] = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day", 1, 31, ()),
    ("month", 1, 12, _MONTHS),
    ("weekday", 0, 7, _DAYS),
)


def cron_problem(schedule: str) -> str:
    """What is wrong with a schedule, empty if nothing is."""
    given = schedule.split()
    if len(given) != len(_FIELDS):
        return f"a schedule has five fields, this one has {len(given)}"
    for field, (name, low, high, names) in zip(given, _FIELDS, strict=True):
        for item in field.split(","):
            problem = _item_problem(item, low, high, names)
            if problem:
                return f"the {name} '{field}' {problem}"
    return ""


def _item_problem(item: str, low: int, high: int, names: tuple[str, ...]) -> str:
    """One item of a list: `*`, `5`, `1-5`, any of them with `/2`."""
    span, slash, step = item.partition("/")
    if slash and not (step.isascii() and step.isdigit() and int(step[:9]) >= 1):
        return f"has a bad step '/{step}'"
    if span == "*":
        return ""
    first, dash, last = span.partition("-")
    bounds = [_number(first, low, names), _number(last, low, names)] if dash else [_number(first, low, names)]
    if any(bound is None for bound in bounds):
        return "is not one"
    numbers = [bound for bound in bounds if bound is not None]
    if not all(low <= bound <= high for bound in numbers):
        return f"is not between {low} and {high}"
    if len(numbers) > 1 and numbers[0] > numbers[1]:
        return "runs backwards"
    return ""


def _number(text: str, low: int, names: tuple[str, ...]) -> int | None:
    if text.lower() in names:
        return low + names.index(text.lower())
    return int(text[:9]) if text.isascii() and text.isdigit() else None
