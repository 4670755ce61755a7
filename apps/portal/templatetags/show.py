"""How things are shown on every page: states, times, durations, amounts."""

from datetime import datetime, timedelta
from typing import Any

from django import template
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from apps.common import clock

register = template.Library()

NONE = "\N{EN DASH}"
_ENVIRONMENTS = ("dev", "staging", "production")


@register.simple_tag
def state(value: str) -> SafeString:
    """A state as a dot and its word; colour is never the only sign."""
    return format_html('<span class="state state-{}">{}</span>', value, value)


@register.simple_tag
def environment(slug: str, name: str = "") -> SafeString:
    known = slug if slug in _ENVIRONMENTS else "other"
    return format_html('<span class="badge badge-{}">{}</span>', known, name or slug)


@register.simple_tag
def when(moment: datetime | None, style: str = "ago") -> SafeString | str:
    """`ago`: "4 min ago"; `clock`: "16:25:03 UTC"; `full`: with the date. The other forms stand in the title."""
    if moment is None:
        return NONE
    local = timezone.localtime(moment)
    full = f"{local:%d %b %Y, %H:%M:%S} {local:%Z}"
    text = {"ago": relative(moment), "clock": f"{local:%H:%M:%S} {local:%Z}", "full": full}[style]
    return format_html('<time datetime="{}" data-when="{}" title="{}">{}</time>', moment.isoformat(), style, full, text)


def relative(moment: datetime) -> str:
    """How long ago, in the largest unit that says enough; the future reads "in 5 min"."""
    seconds = (clock.now() - moment).total_seconds()
    amount = abs(seconds)
    if amount < 5:
        return "now"
    for limit, size, unit in ((60, 1, "s"), (3600, 60, "min"), (86400, 3600, "h"), (float("inf"), 86400, "days")):
        if amount < limit:
            count = int(amount // size)
            text = f"{count} {unit if (unit, count) != ('days', 1) else 'day'}"
            return f"{text} ago" if seconds > 0 else f"in {text}"
    raise AssertionError("the last limit is infinite")


@register.filter
def seconds(value: float | timedelta | None) -> str:
    """Seconds in words: `0.04s`, `3.1s`, `1m 04s`, `2h 05m`; a dash for none."""
    if value is None:
        return NONE
    amount = value.total_seconds() if isinstance(value, timedelta) else float(value)
    if amount < 0.995:
        return f"{amount:.2f}s"
    if amount < 9.95:
        return f"{amount:.1f}s"
    whole = round(amount)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    if whole < 172800:
        return f"{whole // 3600}h {whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d {whole % 86400 // 3600}h"


@register.filter
def amount(value: int | None) -> str:
    """A whole number with its thousands apart; a dash for none."""
    return NONE if value is None else f"{value:,}"


@register.filter
def plural(count: int, word: str) -> str:
    """`1 row`, `1,204 rows`. The word forms its plural with an s."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"


@register.filter
def size(value: int | None) -> str:
    """Bytes in words, by 1,024."""
    if value is None:
        return NONE
    number = float(value)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"


@register.filter
def percent(value: float | None) -> str:
    """A fraction 0..1 in per cent; never rounded up to 100."""
    if value is None:
        return NONE
    return "100" if value >= 1 else f"{min(value * 100, 99.9):.1f}"


@register.filter
def item(mapping: dict[Any, Any], key: Any) -> Any:
    """The value at a key that only the template knows; None when it is not there."""
    return mapping.get(key)


@register.filter
def duration(job: Any) -> str:
    """How long a job took, or has taken so far; a dash before it began."""
    if job.started_at is None:
        return NONE
    return seconds(((job.finished_at or clock.now()) - job.started_at).total_seconds())


@register.filter
def code(text: str) -> SafeString:
    """A sentence in which what stands between backticks is shown as code."""
    parts = enumerate(str(text).split("`"))
    return format_html_join(
        "", "{}", ((format_html("<code>{}</code>", part) if at % 2 else part,) for at, part in parts)
    )


@register.filter
def unlocalise(value: float) -> str:
    """A number for an attribute: with a point, whatever the language."""
    return repr(round(float(value), 4))
