"""Text to tree. All mistakes of a text come at once: where the whole does not parse, each statement is tried alone."""

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import lark
from lark import Lark
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from apps.language import tree as t
from apps.language.builder import Builder
from apps.language.complaints import complain
from apps.language.diagnostics import Diagnostic, Span
from apps.language.source import LARGEST_BYTES, normalise, too_large

GRAMMAR = Path(__file__).with_name("grammar.lark")
STATEMENTS = ("flow", "param", "source", "fn", "step", "expect", "sink", "test")
DEEPEST = 200  # brackets in brackets
LONGEST_CHAIN = 2000  # operators in one expression
MOST_DIAGNOSTICS = 100

# What may hide a bracket or a keyword: comments, texts, quoted names.
_OPAQUE = re.compile(r'#[^\n]*|"""(?:.|\n)*?"""|"(?:\\.|[^"\\\n])*"|`[^`\n]*`')
_ROW = re.compile(r"(?<=[ \t\n])\|[^\n]*\|(?=[ \t]*(?:\n|$))")
_BEGINNING = re.compile(rf"^[ \t]*(?:{'|'.join(STATEMENTS)})\b(?=[ \t]*(?:[\w`\"]|$))", re.MULTILINE)
_DEFINES = re.compile(r"(?:\s|#[^\n]*\n)*(param|source|fn|step)\s+`?([^\W\d]\w*)")
_OPERATOR = re.compile(r"==|!=|<=|>=|\?\?|[-+*/%<>]|\b(?:and|or|div|not)\b")


@dataclass(frozen=True, slots=True)
class ParseResult:
    """`tree` is None where nothing could be read. With errors it holds the statements that could."""

    tree: t.FlowFile | None
    diagnostics: list[Diagnostic] = field(default_factory=list)


def parse(text: str, path: str = "") -> ParseResult:
    """Read a flow. Never raises, whatever the text; mistakes are diagnostics (E0xx, E1xx) in the order of the text."""
    if len(text) > LARGEST_BYTES:
        return ParseResult(None, [too_large(len(text.encode("utf-8", "replace"))).at(path)])
    text = normalise(text)
    if refused := _unreadable(text):
        return ParseResult(None, [refused.at(path)])
    tree, diagnostics = _whole(text) or _piecewise(text)
    diagnostics.sort(key=lambda each: each.span)
    return ParseResult(tree, [each.at(path) for each in diagnostics[:MOST_DIAGNOSTICS]])


def _whole(text: str) -> tuple[t.FlowFile | None, list[Diagnostic]] | None:
    """The usual way: one pass over all of it. None where it does not parse."""
    try:
        found = _lark().parse(text, start="flow")
    except UnexpectedInput:
        return None
    builder = Builder(0, 0)
    tree: t.FlowFile = builder.transform(found)
    return tree, builder.diagnostics


def _piecewise(text: str) -> tuple[t.FlowFile | None, list[Diagnostic]]:
    """Each statement alone, so that one mistake does not hide the next."""
    diagnostics: list[Diagnostic] = []
    header: t.FlowHeader | None = None
    statements: list[Any] = []
    broken: list[tuple[str, str]] = []
    for number, piece in enumerate(_pieces(text)):
        is_header = re.match(r"\s*flow\b", _bare(piece.text)) is not None
        if number == 0 and not is_header:
            diagnostics.append(
                Diagnostic("E101", "a flow begins with its name", piece.first, "write `flow my_flow` on the first line")
            )
            if not _BEGINNING.match(_bare(piece.text).lstrip("\n")):
                continue
        elif number and is_header:
            diagnostics.append(
                Diagnostic("E102", "a file holds one flow", piece.first, "put this one into a file of its own")
            )
            continue
        node, found = _one(piece, "header" if is_header else "statement")
        diagnostics += found
        if isinstance(node, t.FlowHeader):
            header = node
        elif node is not None:
            statements.append(node)
        elif defines := _DEFINES.match(piece.text):
            broken.append((defines[1], defines[2]))
    return (t.FlowFile(header, tuple(statements), tuple(broken)) if header else None), diagnostics


@dataclass(frozen=True, slots=True)
class Piece:
    """A statement's text from the start of its line, with what stands before it in the file."""

    text: str
    line: int  # lines before it
    start: int  # characters before it

    @property
    def first(self) -> Span:
        """Where its first word is."""
        found = re.search(r"\S+", _bare(self.text))
        at = found.start() if found else 0
        before = self.text[:at]
        line, column = self.line + before.count("\n") + 1, at - (before.rfind("\n") + 1) + 1
        width = len(found[0]) if found else 1
        return Span(line, column, line, column + width, self.start + at, self.start + at + width)


def _pieces(text: str) -> Iterator[Piece]:
    """Cut where a line begins with a statement's keyword outside of brackets, or at the first column in any case."""
    bare = _bare(text)
    cuts = [0]
    depth, at = 0, 0
    for match in _BEGINNING.finditer(bare):
        depth += _opened(bare, at, match.start())
        at = match.start()
        if depth <= 0 or not match[0][:1].isspace():
            depth = 0
            cuts.append(match.start())
    line = 0
    for start, end in zip(cuts, [*cuts[1:], len(text)], strict=True):
        if bare[start:end].strip() or len(cuts) == 1:
            yield Piece(text[start:end], line, start)
        line += text.count("\n", start, end)


def _opened(bare: str, start: int, end: int) -> int:
    part = bare[start:end]
    return sum(part.count(each) for each in "([{") - sum(part.count(each) for each in ")]}")


def _one(piece: Piece, start: str) -> tuple[Any, list[Diagnostic]]:
    try:
        found = _lark().parse(piece.text, start=start)
    except UnexpectedInput as error:
        return None, [_diagnostic(error, piece)]
    builder = Builder(piece.line, piece.start)
    return builder.transform(found), builder.diagnostics


def _diagnostic(error: UnexpectedInput, piece: Piece) -> Diagnostic:
    code, message, hint = complain(error, piece.text)
    if isinstance(error, UnexpectedToken) and error.token.type != "$END":
        token = error.token
        line, column, start, width = token.line, token.column, token.start_pos, len(str(token).split("\n")[0])
    elif isinstance(error, UnexpectedCharacters):
        line, column, start, width = error.line, error.column, error.pos_in_stream, 1
    else:
        body = piece.text.rstrip()
        bare = _bare(piece.text).rstrip()
        body = body[: len(bare)]
        start = max(0, len(body) - 1)
        line, column, width = body.count("\n") + 1, len(body) - (body.rfind("\n") + 1), 1
        column = max(1, column)
    line += piece.line
    return Diagnostic(
        code, message, Span(line, column, line, column + width, piece.start + start, piece.start + start + width), hint
    )


# --- before lark ---------------------------------------------------------------------------


def _bare(text: str) -> str:
    """The text with table rows, comments, texts and quoted names blanked out; all else stays where it is.

    A line between two bars is taken for a row; that an operation may look the same does no harm here.
    """
    text = _ROW.sub(lambda found: "|" + "_" * (len(found[0]) - 2) + "|", text)
    return _OPAQUE.sub(lambda found: re.sub(r"[^\n]", "_" if found[0][0] != "#" else " ", found[0]), text)


def _unreadable(text: str) -> Diagnostic | None:
    """What must be refused before it is parsed, since it would take all memory or the stack of what comes after."""
    if "\0" in text:
        at = text.index("\0")
        return Diagnostic("E003", "a NUL character does not belong into a flow", _place(text, at), "remove it")
    bare = _bare(text)
    depth = 0
    for found in re.finditer(r"[(\[{]|[)\]}]", bare):
        depth = max(0, depth + (1 if found[0] in "([{" else -1))
        if depth > DEEPEST:
            return Diagnostic(
                "E103",
                f"brackets stand more than {DEEPEST} deep in each other",
                _place(text, found.start()),
                "derive a column for an inner part and use it",
            )
    for piece in re.split(r"[,|{};=](?!=)", bare):
        if len(piece) > LONGEST_CHAIN and len(_OPERATOR.findall(piece)) > LONGEST_CHAIN:
            at = bare.index(piece)
            return Diagnostic(
                "E104",
                f"one expression has more than {LONGEST_CHAIN} operators",
                _place(text, at),
                "derive columns for parts of it",
            )
    return None


def _place(text: str, at: int) -> Span:
    line, column = text.count("\n", 0, at) + 1, at - (text.rfind("\n", 0, at) + 1) + 1
    return Span(line, column, line, column + 1, at, at + 1)


# --- lark ----------------------------------------------------------------------------------


@cache
def _lark() -> Lark:
    """The parser, from lark's cache where it can be kept. A cache that cannot be read or written costs half a second."""
    grammar = GRAMMAR.read_text(encoding="utf-8")
    options: dict[str, Any] = {
        "parser": "lalr",
        "start": ["flow", "header", "statement"],
        "propagate_positions": True,
        "maybe_placeholders": True,
    }
    digest = hashlib.sha256(f"{lark.__version__}{grammar}".encode()).hexdigest()[:16]
    return Lark(grammar, **options, cache=_cache_file(digest))


def _cache_file(digest: str) -> Any:
    """A file that only this account can have written: lark unpickles it."""
    folder = Path(tempfile.gettempdir()) / f"flowcontrol-grammar-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError:
        return False
    if status.st_uid != os.getuid() or status.st_mode & 0o077 or folder.is_symlink():
        return False
    return str(folder / f"{digest}.pickle")
