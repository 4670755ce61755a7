"""A text that parses, as its tokens with their comments: what the formatter lays out."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

from lark import Token

OPERANDS = {"NAME", "QUOTED", "STRING", "NUMBER", "MOMENT", "DURATION", "NULL", "TRUE", "FALSE", "TRIPLE"}
CLOSERS = {"RPAR", "RSQB", "RBRACE"}
_COMMENT = re.compile(r"#[^\n]*")
_BAR = re.compile(r"(?<!\\)\|")


@dataclass(slots=True)
class Comment:
    text: str
    apart: bool = False  # an empty line stands before it


@dataclass(slots=True)
class Word:
    """One token. `above` are the comments on lines of their own before it, `behind` is the one on its line."""

    kind: str
    text: str
    above: list[Comment] = field(default_factory=list)
    behind: str = ""
    apart: bool = False  # an empty line stands before it

    def cells(self) -> list[str]:
        """Of a table's row: what stands between its bars, as written."""
        return [each.strip() for each in _BAR.split(self.text)[1:-1]]


def words(text: str, tokens: Iterable[Token]) -> list[Word]:
    """The tokens of a text, and last an empty word that carries the comments at its end."""
    found: list[Word] = []
    at = 0
    for token in [*tokens, None]:
        start: int = len(text) if token is None else token.start_pos or 0
        end: int = len(text) if token is None else token.end_pos or 0
        word = Word(token.type, str(token)) if token is not None else Word("END", "")
        _take_comments(text[at:start], found[-1] if found else None, word)
        if word.kind == "ROW":
            word.text, word.behind = _row(word.text)
        found.append(word)
        at = end
    return _settled(found)


def _take_comments(gap: str, before: Word | None, after: Word) -> None:
    at = 0
    for comment in _COMMENT.finditer(gap):
        blank = gap[at : comment.start()]
        text = comment[0].rstrip()
        if before is not None and not at and "\n" not in blank and before.kind != "ROW":
            before.behind = text
        else:
            after.above.append(Comment(text, blank.count("\n") > 1))
        at = comment.end()
    after.apart = gap[at:].count("\n") > 1


def _row(text: str) -> tuple[str, str]:
    """A row and the comment behind its last bar."""
    end = [found.end() for found in _BAR.finditer(text)][-1]
    return text[:end], text[end:].strip()


def _settled(found: list[Word]) -> list[Word]:
    """Without commas before a closing bracket; comments stand where a line can end. A `-` that is a sign and a `%` that
    is a share get kinds of their own."""
    kept: list[Word] = []
    for number, word in enumerate(found):
        if word.kind == "COMMA" and found[number + 1].kind in CLOSERS:
            _give_up(word, kept[-1], found[number + 1])
            continue
        if word.kind == "COMMA" and kept[-1].behind and not word.above and not word.behind:
            word.behind, kept[-1].behind = kept[-1].behind, ""
        kept.append(word)
    for before, after in pairwise(kept):
        if before.kind == "VBAR":
            behind = [Comment(before.behind)] if before.behind else []
            before.above += [*behind, *after.above]
            before.behind, after.above = "", []
        if after.kind == "MINUS" and before.kind not in OPERANDS | CLOSERS:
            after.kind = "SIGN"
    for before, amount, sign in zip(kept, kept[1:], kept[2:], strict=False):
        if sign.kind == "PERCENT" and amount.kind == "NUMBER" and before.kind in ("MAX", "SAMPLE"):
            sign.kind = "SHARE"
    return kept


def _give_up(comma: Word, before: Word, after: Word) -> None:
    if comma.behind and not comma.above and not before.behind:
        before.behind = comma.behind
    elif comma.behind:
        after.above.insert(0, Comment(comma.behind))
    after.above[:0] = comma.above
