"""A text cut where a statement can start, so that each piece can be read alone and one mistake hides no other.

Only a text that does not parse is cut, so a cut in a wrong place costs a worse message and nothing else.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from apps.language.diagnostics import Span

STATEMENTS = ("param", "source", "fn", "step", "expect", "sink", "test")

# Words between two expressions: after one of them, and before one of them, no statement starts.
CONNECTING = frozenset(
    {
        "and", "or", "not", "in", "is", "between", "div", "as", "on", "bring", "by", "order", "keep", "first", "last", "rows",
        "with", "forward", "into", "values", "where", "max", "fail", "warn", "drop", "quarantine", "select", "derive", "sort",
        "union", "lookup", "join", "unnest", "fill", "pivot", "allow",
    }
)  # fmt: skip

# What may hide a bracket, a bar or a keyword: rows of a table, comments, texts, quoted names.
_OPAQUE = re.compile(
    r"(?P<lead>\b(?:given|then)\s+(?:`[^`\n]*`|[^\W\d]\w*)(?:\s++|\#[^\n]*+)*+)(?P<rows>(?:\|[^\n]*+(?:\s++|\#[^\n]*+)*+)++)"
    r'|\#[^\n]*|"""(?:.|\n)*?"""|"(?:\\.|[^"\\\n])*"|`[^`\n]*`'
)
_COMMENT = re.compile(r"#[^\n]*")
_KEYWORD = re.compile(rf"\b(?:flow|{'|'.join(STATEMENTS)})\b(?=\s*(?:(?P<next>[^\W\d]\w*)|(?P<odd>[^\s\"`])?))")
_CLIPPED = re.compile(r"(?:sink\s*->|(?:step|source)\s*=(?!=)|param\s*:|fn\s*\()")  # its name is missing
# A keyword, a name and what must follow it: that is a statement's start wherever it stands.
_SIGNATURE = re.compile(
    r"(?:param\s+\w+\s*:|(?:source|step)\s+\w+\s*=(?!=)|fn\s+\w+\s*\(|expect\s+[\w`]+\s*\{|sink\s+[\w`]+\s*->|test\s*\")"
)
_UNKNOWN = re.compile(r"^[^\W\d]\w*(?=[ \t]+(?P<next>[^\W\d]\w*)[ \t]*(?:[={(:]|->))", re.MULTILINE)
_CLAUSE = re.compile(r"(?<![^\s{])(?:with|given|then)\b(?=\s|$)")


def bare(text: str) -> str:
    """The text with table rows, comments, texts and quoted names blanked out; all else stays where it is."""
    return _OPAQUE.sub(_blanked, text)


def _blanked(found: re.Match[str]) -> str:
    if found["rows"] is not None:
        lead = _COMMENT.sub(lambda each: " " * len(each[0]), found["lead"])
        return lead + re.sub(r"[^\s]", "_", found["rows"])
    whole = found[0]
    if whole[0] == "#":
        return " " * len(whole)
    return whole[0] + re.sub(r"[^\n]", "_", whole[1:-1]) + whole[-1]


@dataclass(frozen=True)
class Piece:
    """Some of a text, from the start of its first line (what stands there before it is blanked).

    `bare` is the same with all that is opaque blanked; `line` and `start` count the lines and characters before it.
    """

    text: str
    bare: str
    line: int = 0
    start: int = 0
    pad: int = 0  # how much of its first line is blanked

    def cut(self, start: int, end: int) -> "Piece":
        return next(self.cuts([(start, end)]))

    def cuts(self, bounds: Iterable[tuple[int, int]]) -> Iterator["Piece"]:
        """Its parts between bounds, which ascend; lines are counted once, whatever the number of parts."""
        line, counted = self.line, 0
        for start, end in bounds:
            begin = self.bare.rfind("\n", 0, start) + 1
            if begin > counted:
                line += self.bare.count("\n", counted, begin)
                counted = begin
            pad = start - begin
            blank = " " * pad
            yield Piece(blank + self.text[start:end], blank + self.bare[start:end], line, self.start + begin, pad)

    def span(self, start: int, end: int) -> Span:
        """The place of some of its characters in the whole text; both on one line or `end` past it."""
        before = self.text[:start]
        line, column = before.count("\n"), start - (before.rfind("\n") + 1) + 1
        inside = self.text[start:end]
        breaks = inside.count("\n")
        end_column = column + len(inside) if not breaks else len(inside) - inside.rfind("\n")
        first = self.line + line + 1
        return Span(first, column, first + breaks, end_column, self.start + start, self.start + end)

    @property
    def word(self) -> str:
        """Its first word, empty if it holds none."""
        found = re.search(r"\S+", self.bare)
        return re.match(r"\w*", found[0])[0] if found else ""  # type: ignore[index]

    @property
    def first(self) -> Span:
        """Where its first word is."""
        found = re.search(r"\w+|\S", self.bare)
        return self.span(*found.span()) if found else self.span(0, 0)


def statements(text: str) -> Iterator[Piece]:
    """The statements of a text, the head of the flow first."""
    whole = Piece(text, bare(text))
    bounds = pairwise([0, *_starts(whole.bare), len(text)])
    return whole.cuts((start, end) for start, end in bounds if whole.bare[start:end].strip())


def _starts(text: str) -> Iterator[int]:
    depth, at = 0, 0
    candidates = [*_KEYWORD.finditer(text), *_UNKNOWN.finditer(text)]
    for found in sorted(candidates, key=lambda each: each.start()):
        start = found.start()
        if start < at or (start == at and at):
            continue
        depth += sum(map(text[at:start].count, "([{")) - sum(map(text[at:start].count, ")]}"))
        at = start
        if _can_start(text, found, depth):
            depth = 0
            yield start


def _can_start(text: str, found: re.Match[str], depth: int) -> bool:
    start = found.start()
    if (found["next"] or "") in CONNECTING and not _SIGNATURE.match(text, start):
        return False
    line_start = text.rfind("\n", 0, start) + 1
    if found.re is _KEYWORD and start == line_start and (not found["odd"] or _CLIPPED.match(text, start)):
        return True  # at the first column, whatever is still open before it
    if _goes_on(text[max(0, start - 200) : start]):
        return False
    if found.re is _UNKNOWN:
        return depth <= 0
    if not text[line_start:start].strip() and (start == line_start or not found["odd"]):
        return depth <= 0 or _SIGNATURE.match(text, start) is not None
    return depth <= 0 and _SIGNATURE.match(text, start) is not None


def _goes_on(before: str) -> bool:
    """Whether the text before a word still waits for something."""
    before = before.rstrip()
    if not before:
        return False
    word = re.search(r"[^\W\d]\w*$", before)
    return word[0] in CONNECTING if word else before[-1] in ",|+-*/%<>=([{:.@?!"


# --- inside a statement ----------------------------------------------------------------------


def operations(piece: Piece) -> Iterator[Piece]:
    """What stands behind each bar of a step. Outside of tables a bar is nothing else."""
    cuts = [*(found.start() for found in re.finditer(r"\|", piece.bare)), len(piece.text)]
    return piece.cuts((start + 1, end) for start, end in pairwise(cuts))


def in_braces(piece: Piece) -> Iterator[Piece]:
    """What stands between the commas of the outermost braces; nothing if they do not pair."""
    opening = _outermost(piece.bare)
    closing = piece.bare.rstrip().rfind("}")
    if opening is None or closing < opening:
        return iter(())
    depth, cuts = 0, [opening]
    for found in re.finditer(r"[(\[{,}\])]", piece.bare[opening + 1 : closing]):
        if found[0] == ",":
            if depth == 0:
                cuts.append(opening + 1 + found.start())
        else:
            depth += 1 if found[0] in "([{" else -1
    if depth:
        return iter(())
    bounds = pairwise([*cuts, closing])
    return piece.cuts((start + 1, end) for start, end in bounds if piece.bare[start + 1 : end].strip())


def _outermost(text: str) -> int | None:
    depth = 0
    for found in re.finditer(r"[(\[{}\])]", text):
        if found[0] == "{" and depth == 0:
            return found.start()
        depth += 1 if found[0] in "([{" else -1
    return None


def clauses(piece: Piece) -> Iterator[Piece]:
    """The clauses of a test."""
    closing = piece.bare.rstrip().rfind("}")
    end = closing if closing >= 0 else len(piece.text)
    cuts = [*(found.start() for found in _CLAUSE.finditer(piece.bare, 0, end)), end]
    return piece.cuts(pairwise(cuts))


def unpaired(piece: Piece) -> tuple[int, str] | None:
    """The first bracket that closes none, or the last that is never closed: its place and itself."""
    stack: list[tuple[int, str]] = []
    for found in re.finditer(r"[(\[{}\])]", piece.bare):
        if found[0] in "([{":
            stack.append((found.start(), found[0]))
        elif not stack or stack[-1][1] + found[0] not in ("()", "[]", "{}"):
            return found.start(), found[0]
        else:
            stack.pop()
    return stack[-1] if stack else None
