"""What changed between two texts, line by line, as rows that a template can show."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

CONTEXT = 4  # lines that are shown around a change
_FAST_FROM = 2000  # lines; beyond it difflib may treat common lines as junk, which is quick and a little less tidy
_MOST_LINES = 20_000  # beyond it the old text is shown as removed and the new one as added


@dataclass(frozen=True, slots=True)
class Part:
    text: str
    changed: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """One line. `kind` is same, added, removed or skipped (then `count` lines that are alike are left out).

    `old` and `new` are line numbers from 1, None on the side where the line is not.
    """

    kind: str
    old: int | None = None
    new: int | None = None
    parts: tuple[Part, ...] = ()
    count: int = 0

    @property
    def sign(self) -> str:
        return {"added": "+", "removed": "\N{MINUS SIGN}"}.get(self.kind, "")


def rows(old: str, new: str) -> list[Row]:
    """The rows from `old` to `new`; none where they are the same."""
    before, after = old.splitlines(), new.splitlines()
    if before == after:
        return []
    if max(len(before), len(after)) > _MOST_LINES:
        blocks = [[("replace", 0, len(before), 0, len(after))]]
    else:
        matcher = SequenceMatcher(None, before, after, autojunk=len(before) > _FAST_FROM)
        blocks = list(matcher.get_grouped_opcodes(CONTEXT))
    found: list[Row] = []
    shown = 0
    for block in blocks:
        if (skipped := block[0][1] - shown) > 0:
            found.append(Row("skipped", count=skipped))
        for tag, i1, i2, j1, j2 in block:
            found += _block(tag, before[i1:i2], after[j1:j2], i1, j1)
        shown = block[-1][2]
    if (skipped := len(before) - shown) > 0:
        found.append(Row("skipped", count=skipped))
    return found


def counts(found: Sequence[Row]) -> tuple[int, int]:
    """How many lines were added and removed."""
    return sum(row.kind == "added" for row in found), sum(row.kind == "removed" for row in found)


def _block(tag: str, before: Sequence[str], after: Sequence[str], i: int, j: int) -> Iterator[Row]:
    if tag == "equal":
        for index, line in enumerate(before):
            yield Row("same", i + index + 1, j + index + 1, (Part(line),))
        return
    marked_before, marked_after = _marked(before, after)
    for index, parts in enumerate(marked_before):
        yield Row("removed", i + index + 1, None, parts)
    for index, parts in enumerate(marked_after):
        yield Row("added", None, j + index + 1, parts)


def _marked(before: Sequence[str], after: Sequence[str]) -> tuple[list[tuple[Part, ...]], list[tuple[Part, ...]]]:
    """The lines with the changed words marked, where as many lines stand on either side and each pair is alike."""
    if len(before) != len(after) or len(before) > 200:
        return [(Part(line),) for line in before], [(Part(line),) for line in after]
    pairs = [_words(one, other) for one, other in zip(before, after, strict=True)]
    return [one for one, _ in pairs], [other for _, other in pairs]


def _words(one: str, other: str) -> tuple[tuple[Part, ...], tuple[Part, ...]]:
    if max(len(one), len(other)) > 1000:
        return (Part(one),), (Part(other),)
    first, second = re.findall(r"\w+|\s+|.", one), re.findall(r"\w+|\s+|.", other)
    matcher = SequenceMatcher(None, first, second, autojunk=False)
    if matcher.ratio() < 0.4:  # two other lines: marking nearly all of it says nothing
        return (Part(one),), (Part(other),)
    codes = matcher.get_opcodes()
    return (
        tuple(Part("".join(first[a:b]), tag != "equal") for tag, a, b, _, _ in codes if b > a),
        tuple(Part("".join(second[c:d]), tag != "equal") for tag, _, _, c, d in codes if d > c),
    )
