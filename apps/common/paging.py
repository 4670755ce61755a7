"""Pages by key: the next page begins after the last row of this one, so a page costs the same however deep it is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode


@dataclass(frozen=True, slots=True)
class Page:
    """`earlier` and `later` are query strings of the neighbouring pages, "" where there is none."""

    rows: Sequence[Any]
    earlier: str = ""
    later: str = ""


def page(rows: Any, asked: Mapping[str, str], *, key: str, size: int = 50, descending: bool = True) -> Page:
    """One page of a queryset, ordered by the unique column `key`. `asked` (a request's GET) may hold `after` or
    `until`, the key beside which the page lies; a value that is no key of that kind gives the first page."""
    order, back = (f"-{key}", key) if descending else (key, f"-{key}")
    onward, backward = (f"{key}__lt", f"{key}__gt") if descending else (f"{key}__gt", f"{key}__lt")
    kept = {name: value for name, value in asked.items() if value and name not in ("after", "until")}
    try:
        if "until" in asked:
            found = list(rows.filter(**{backward: asked["until"]}).order_by(back)[: size + 1])
            more_before, more_after = len(found) > size, True
            found = found[:size][::-1]
        else:
            after = asked.get("after")
            found = list((rows.filter(**{onward: after}) if after else rows).order_by(order)[: size + 1])
            more_before, more_after = bool(after), len(found) > size
            found = found[:size]
    except (ValueError, OverflowError):
        return page(rows, kept, key=key, size=size, descending=descending)
    if not found:
        return Page(())
    return Page(
        found,
        urlencode({**kept, "until": getattr(found[0], key)}) if more_before else "",
        urlencode({**kept, "after": getattr(found[-1], key)}) if more_after else "",
    )
