"""The one place that takes secrets out of what people and machines read: logs, events, messages, errors.

A `Masker` knows a set of values and finds each also as JSON, Python, HTML, a URL and base64 spell it. `text`, `data` and
`stream` use the masker of the running portal, which a room above provides (`install`); without one nothing is masked.

Not found: a value that was compressed, encrypted, cut into pieces, or wrapped over several lines of base64.
"""

import base64
import html
import json
import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

MASK = "•••"
SHORTEST = 4  # characters; a shorter value is found in every text, so that masking it would tear holes in all of them
SHORTEST_PART = 8  # characters of a piece of base64 that is sought in the middle of longer base64
SHORTEST_LINE = 16  # characters; such a line of a value of many lines is sought by itself, since logs come by the line
DEEPEST = 50
_HEAD = 4

Span = tuple[int, int]


class Masker:
    """Replaces the values it was made with, in all their spellings, by MASK.

    Overlapping values are masked together, so that the rest of one does not stay behind another. The time that a text
    takes hardly grows with the number of values: they are sought all at once. Values shorter than SHORTEST are ignored.
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        forms = {form for value in values if len(value) >= SHORTEST for form in spellings(value)}
        self._forms = sorted(forms)
        self._longest = max(map(len, forms), default=0)
        self._heads = {form[:size] for form in forms for size in range(1, _HEAD + 1)}
        self._pattern = re.compile(_alternatives(self._forms)) if forms else None

    def __repr__(self) -> str:
        return f"<Masker of {len(self._forms)} spellings>"

    def text(self, text: str) -> str:
        """`text` with MASK in place of each value."""
        return _replaced(text, self.spans(text)) if self._pattern else text

    def data(self, data: Any) -> Any:
        """The same for all texts in nested mappings and lists, keys too. A number that is a value becomes MASK."""
        if self._pattern is None or data is None or isinstance(data, bool):
            return data
        if isinstance(data, str):
            return self.text(data)
        if isinstance(data, int | float):
            return MASK if self._pattern.fullmatch(str(data)) else data
        if isinstance(data, Mapping):
            return {self.data(key) if isinstance(key, str) else key: self.data(each) for key, each in data.items()}
        if isinstance(data, list | tuple | set | frozenset):
            return type(data)(self.data(each) for each in data) if type(data) in _PLAIN else [*map(self.data, data)]
        return data

    def stream(self) -> "Stream":
        """A masker for a text that comes in chunks."""
        return Stream(self)

    def spans(self, text: str) -> list[Span]:
        """Where the values stand, merged where they overlap."""
        return _merged(self._matches(text))

    def unfinished(self, text: str) -> int:
        """Where the longest end of `text` begins that may be the beginning of a value; its length where none does."""
        for start in range(max(0, len(text) - self._longest + 1), len(text)):
            if text[start : start + _HEAD] in self._heads and self._begins(text[start:]):
                return start
        return len(text)

    def _matches(self, text: str) -> Iterator[Span]:
        assert self._pattern is not None
        found = self._pattern.search(text)
        while found:
            yield found.span()
            found = self._pattern.search(text, found.start() + 1)

    def _begins(self, end: str) -> bool:
        """Whether some spelling goes on where `end` ends. Those that begin with it stand together, itself first."""
        at = bisect_left(self._forms, end)
        longer = self._forms[at + 1 : at + 2] if self._forms[at : at + 1] == [end] else self._forms[at : at + 1]
        return any(form.startswith(end) for form in longer)


class Stream:
    """Masks a text that comes in chunks: `feed` each, `flush` at the end. Only what may begin a value is held back."""

    def __init__(self, masker: Masker) -> None:
        self._masker = masker
        self._held = ""
        self._covered = 0  # so many characters of what is held belong to a value whose MASK has been given out

    def feed(self, chunk: str) -> str:
        """What can be said by now."""
        self._held += chunk
        return self._give(self._masker.unfinished(self._held))

    def flush(self) -> str:
        """The rest."""
        return self._give(len(self._held))

    def _give(self, end: int) -> str:
        if self._masker._pattern is None:
            given, self._held = self._held, ""
            return given
        spans = self._masker.spans(self._held)
        if self._covered:
            spans = _merged(sorted([(0, self._covered), *spans]))
        ready = [(start, min(stop, end)) for start, stop in spans if start < end]
        given = _replaced(self._held[:end], ready)
        if self._covered and given.startswith(MASK):
            given = given[len(MASK) :]
        crossing = next((stop for start, stop in spans if start < end < stop), 0)
        still = self._covered - end if self._covered > end else 0
        self._held, self._covered = self._held[end:], max(crossing - end if crossing else 0, still)
        return given


def spellings(value: str) -> set[str]:
    """`value` as it is, and as JSON, Python, HTML, URLs and base64 spell it; its long lines too."""
    raw = value.encode("utf-8", "surrogatepass")
    quoted = {quote(value, safe=safe, errors="replace") for safe in ("", "/")} | {quote_plus(value, errors="replace")}
    found = {
        value,
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        repr(value)[1:-1],
        html.escape(value),
        html.escape(repr(value)[1:-1]),
        html.escape(json.dumps(value)[1:-1]),
        *quoted,
        *(re.sub(r"%..", lambda code: code[0].lower(), each) for each in quoted),
    }
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        found.add(encode(raw).decode().rstrip("="))
        found |= set(_inside_base64(raw, encode))
    if "\n" in value:
        found |= {
            line for each in value.splitlines() if len(line := each.strip()) >= SHORTEST_LINE and line[:5] != "-----"
        }
    return {each for each in found if len(each) >= SHORTEST}


def _inside_base64(raw: bytes, encode: Callable[[bytes], bytes]) -> Iterator[str]:
    """The characters that `raw` alone decides wherever it stands in a longer text, as in `Basic base64(user:password)`."""
    for before, shared in ((0, 0), (1, 2), (2, 3)):
        whole = (before + len(raw)) * 8 // 6
        part = encode(b"\0" * before + raw).decode()[shared:whole]
        if len(part) >= SHORTEST_PART:
            yield part


def _alternatives(forms: list[str], depth: int = 0) -> str:
    """A pattern of sorted texts that finds the longest: beginnings that they share are written once.

    Deeper than DEEPEST (so many values, each the beginning of the next) they are written one after the other, longest
    first: Python's own compiler of patterns would give up.
    """
    if depth == DEEPEST:
        return "|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True))
    groups: dict[str, list[str]] = {}
    for form in forms:
        groups.setdefault(form[0], []).append(form)
    parts = []
    for group in groups.values():
        shared = _shared_beginning(group[0], group[-1])
        rests = [form[len(shared) :] for form in group if len(form) > len(shared)]
        tail = f"(?:{_alternatives(rests, depth + 1)})" + "?" * (len(rests) < len(group)) if rests else ""
        parts.append(re.escape(shared) + tail)
    return "|".join(parts)


def _shared_beginning(one: str, other: str) -> str:
    same = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return one[:same]


def _merged(spans: Iterable[Span]) -> list[Span]:
    merged: list[Span] = []
    for start, stop in spans:
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        else:
            merged.append((start, stop))
    return merged


def _replaced(text: str, spans: list[Span]) -> str:
    pieces, at = [], 0
    for start, stop in spans:
        pieces += [text[at:start], MASK]
        at = stop
    return "".join([*pieces, text[at:]])


# --- the masker of the running portal -----------------------------------------------------------

_PLAIN = (list, tuple, set, frozenset)
_NOTHING = Masker()
_source: Callable[[], Masker] = lambda: _NOTHING  # noqa: E731
_latest: Callable[[], Masker] = lambda: _NOTHING  # noqa: E731


def install(current: Callable[[], Masker], latest: Callable[[], Masker]) -> None:
    """Say where the masker comes from: `current` may look for secrets that were changed elsewhere, `latest` only
    remembers and never asks anybody. Called once, from the AppConfig.ready of the room that keeps secrets."""
    global _source, _latest
    _source, _latest = current, latest


def current() -> Masker:
    """The masker of all secrets there are, at most a second old. Cheap: ask for it for every text."""
    return _source()


def latest() -> Masker:
    """The masker as this process last knew it, for where nothing may be asked: while an error is being made."""
    return _latest()


def text(text: str) -> str:
    """`text` without any secret of any environment."""
    return current().text(text)


def data(data: Any) -> Any:
    """Nested `data` without any secret of any environment."""
    return current().data(data)


def stream() -> Stream:
    """For a text in chunks, such as the output of a container: `feed` each chunk, `flush` at the end.

    It knows the secrets of the moment in which it was made.
    """
    return current().stream()
