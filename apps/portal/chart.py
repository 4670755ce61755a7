"""Runs per day as bars: an SVG that the server draws, so that it is there without JavaScript."""

from collections.abc import Sequence

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from apps.runs.queries import DayCount

WIDTH, HEIGHT = 720, 210  # the box; it scales with its card
LEFT, RIGHT, TOP, BOTTOM = 38, 8, 10, 24


def bars(days: Sequence[DayCount]) -> SafeString:
    """The picture of the days, oldest first. Each bar says its numbers in its title."""
    top = _round_up(max((day.total for day in days), default=0))
    height = HEIGHT - TOP - BOTTOM
    slot = (WIDTH - LEFT - RIGHT) / max(len(days), 1)
    words = "; ".join(f"{day.day:%d %b}: {day.total}" for day in days)
    return format_html(
        '<svg class="day-bars" viewBox="0 0 {} {}" role="img" aria-label="Runs per day: {}">{}{}</svg>',
        WIDTH,
        HEIGHT,
        words,
        _grid(top, height),
        format_html_join(
            "", "{}", ((_bar(day, index, slot, top, height, len(days)),) for index, day in enumerate(days))
        ),
    )


def _grid(top: int, height: int) -> SafeString:
    lines = []
    for step in range(5 if top >= 4 else top + 1):
        value = top * step // (4 if top >= 4 else max(top, 1))
        y = round(TOP + height * (1 - value / max(top, 1)), 1)
        lines.append((LEFT, WIDTH - RIGHT, y, y, LEFT - 7, y + 4, value))
    row = '<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/><text x="{}" y="{}" text-anchor="end">{}</text>'
    return format_html_join("", row, lines)


def _bar(day: DayCount, index: int, slot: float, top: int, height: int, count: int) -> SafeString:
    other = day.total - day.succeeded - day.failed
    width = round(min(slot * 0.55, 34), 1)
    x = round(LEFT + slot * (index + 0.5) - width / 2, 1)
    y = float(TOP + height)
    pieces = []
    for name, value in (("ok", day.succeeded), ("bad", day.failed), ("other", other)):
        tall = height * value / max(top, 1)
        y -= tall
        if value:
            # A single failure among hundreds of runs must still be seen.
            pieces.append((name, x, round(min(y, y + tall - 2), 1), width, round(max(tall, 2), 1)))
    title = f"{day.day:%d %b}: {day.succeeded} succeeded, {day.failed} failed, {other} other"
    back = count - 1 - index
    label = f"{day.day:%d %b}" if count <= 7 or back % 2 == 0 else ""
    return format_html(
        '<g><title>{}</title>{}<text class="{}" x="{}" y="{}" text-anchor="middle">{}</text></g>',
        title,
        format_html_join("", '<rect class="bar-{}" x="{}" y="{}" width="{}" height="{}" rx="2"/>', pieces),
        "major" if back % 4 == 0 else "minor",  # on a phone there is room for every fourth
        round(x + width / 2, 1),
        HEIGHT - 7,
        label,
    )


def _round_up(value: int) -> int:
    """The next number that four grid lines divide well: 1, 2, 3, 4, 8, 12, 20, 40, 60, 80, 100, 200 …"""
    if value <= 4:
        return max(value, 1)
    scale = 1
    while True:
        for step in (4, 8, 12, 20, 40):
            if value <= step * scale:
                return step * scale
        scale *= 10
