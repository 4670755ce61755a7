"""Text to tree. All mistakes of a text come at once: where the whole does not parse, each statement is tried alone."""

import hashlib
import os
import re
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import lark
from lark import Lark, Token
from lark.exceptions import UnexpectedInput

from apps.language import pieces
from apps.language import tree as t
from apps.language.builder import Builder
from apps.language.complaints import complain, next_statement
from apps.language.depth import DEEPEST, too_deep
from apps.language.diagnostics import Diagnostic, Span
from apps.language.pieces import Piece
from apps.language.source import LARGEST_BYTES, no_text, normalise, place_of, too_large

GRAMMAR = Path(__file__).with_name("grammar.lark")
STARTS = ["flow", "header", "statement", "operation", "rule", "option", "clause"]
MOST_DIAGNOSTICS = 100

_DEFINES = re.compile(r"(?:\s|#[^\n]*\n)*(param|source|fn|step)\s+`?([^\W\d]\w*)")


@dataclass(frozen=True, slots=True)
class ParseResult:
    """`tree` is None where nothing could be read. With errors it holds the statements that could."""

    tree: t.FlowFile | None
    diagnostics: list[Diagnostic] = field(default_factory=list)


def parse(text: str, path: str = "") -> ParseResult:
    """Read a flow. Never raises, whatever the text; mistakes are diagnostics (E0xx, E1xx) in the order of the text."""
    if len(text) > LARGEST_BYTES or len(encoded := text.encode("utf-8", "replace")) > LARGEST_BYTES:
        size = len(text) if len(text) > LARGEST_BYTES else len(encoded)
        return ParseResult(None, [too_large(size).at(path)])
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
    deep = [problem for each in (tree.header, *tree.statements) if (problem := too_deep(each))]
    if not deep:
        return tree, builder.diagnostics
    kept = tuple(each for each in tree.statements if not too_deep(each))
    broken = tuple(name for each in tree.statements if too_deep(each) and (name := _defined(each)))
    return t.FlowFile(tree.header, kept, broken, span=tree.span), builder.diagnostics + deep


def _defined(node: t.Statement) -> tuple[str, str] | None:
    word = {t.Param: "param", t.Source: "source", t.Function: "fn", t.Step: "step"}.get(type(node))
    return (word, node.name) if word and isinstance(node, t.Param | t.Source | t.Function | t.Step) else None


def tokens(text: str) -> list[Token]:
    """The tokens of a text that parses, as `parse` sees them: a word is a keyword or a name by where it stands."""
    reading = _lark().parse_interactive(normalise(text), start="flow")
    found = list(reading.iter_parse())
    reading.feed_eof()
    return found


# --- one statement after the other ---------------------------------------------------------


def _piecewise(text: str) -> tuple[t.FlowFile | None, list[Diagnostic]]:
    """Each statement alone, so that one mistake does not hide the next."""
    diagnostics: list[Diagnostic] = []
    header: t.FlowHeader | None = None
    statements: list[Any] = []
    broken: list[tuple[str, str]] = []
    for number, (piece, node, found) in enumerate(_read_all(text)):
        if not number and piece.word != "flow":
            diagnostics.append(_without_head(piece.first))
            if piece.word not in pieces.STATEMENTS:
                continue
        if number and piece.word == "flow":
            message, hint = "a file holds one flow", "put this one into a file of its own"
            diagnostics.append(Diagnostic("E102", message, piece.first, hint))
            continue
        diagnostics += found
        if isinstance(node, t.FlowHeader):
            header = node
        elif node is not None:
            statements.append(node)
        elif defines := _DEFINES.match(piece.text):
            broken.append((defines[1], defines[2]))
        if len(diagnostics) >= MOST_DIAGNOSTICS:
            break
    if not diagnostics:  # an empty text
        diagnostics.append(_without_head(Span()))
    return (t.FlowFile(header, tuple(statements), tuple(broken)) if header else None), diagnostics


def _read_all(text: str) -> Iterable[tuple[Piece, Any, list[Diagnostic]]]:
    """The statements of a text, each with its node, if it has one, and what is wrong in it."""
    for piece in pieces.statements(text):
        rest: Piece | None = piece
        while rest is not None:
            read = rest
            node, diagnostics, stopped = _read(read)
            rest = None
            at = next_statement(stopped, read) if stopped else None
            if at is not None:  # two on one line
                rest = read.cut(at, len(read.text))
                read = read.cut(0, at)
                node, diagnostics, _ = _read(read)
            yield read, node, diagnostics


def _without_head(span: Span) -> Diagnostic:
    return Diagnostic("E101", "a flow begins with its name", span, "write `flow my_flow` on the first line")


def _read(piece: Piece) -> tuple[Any, list[Diagnostic], UnexpectedInput | None]:
    """A statement, what is wrong in it, and what stopped the reading. The first is None for one that cannot be read."""
    try:
        found = _lark().parse(piece.text, start="header" if piece.word == "flow" else "statement")
    except UnexpectedInput as error:
        return None, _inside(piece, complain(error, piece)), error
    builder = Builder(piece.line, piece.start)
    node = builder.transform(found)
    deep = too_deep(node)
    return (None, [*builder.diagnostics, deep], None) if deep else (node, builder.diagnostics, None)


def _inside(piece: Piece, complaint: Diagnostic) -> list[Diagnostic]:
    """The mistakes of a statement that does not parse: those of its parts, as far as they can be told apart."""
    parts, start = _parts(piece)
    found: list[Diagnostic] = []
    first: Span | None = None
    for part in parts:
        first = first or part.first
        found += _read_part(part, start)
        if len(found) >= MOST_DIAGNOSTICS:
            break
    if not found or first is None:
        return [complaint]
    swallowed = complaint.code == "E117" and any(each.code == "E112" for each in found)  # its `}` is in a row
    return [complaint, *found] if complaint.span < first and not swallowed else found


def _parts(piece: Piece) -> tuple[Iterable[Piece], str]:
    match piece.word:
        case "step":
            return pieces.operations(piece), "operation"
        case "expect":
            return pieces.in_braces(piece), "rule"
        case "flow" | "source" | "sink":
            return pieces.in_braces(piece), "option"
        case "test":
            return pieces.clauses(piece), "clause"
    return [], ""


def _read_part(part: Piece, start: str) -> Iterable[Diagnostic]:
    try:
        found = _lark().parse(part.text, start=start)
    except UnexpectedInput as error:
        return [complain(error, part, start)]
    builder = Builder(part.line, part.start)
    builder.transform(found)
    return builder.diagnostics


# --- before lark ---------------------------------------------------------------------------


def _unreadable(text: str) -> Diagnostic | None:
    """What must be refused before it is parsed, since it would only take time."""
    if wrong := no_text(text):
        return wrong
    depth = 0
    for found in re.finditer(r"[(\[{}\])]", pieces.bare(text)):
        depth = max(0, depth + (1 if found[0] in "([{" else -1))
        if depth > DEEPEST:
            message = f"brackets stand more than {DEEPEST} deep in each other"
            return Diagnostic(
                "E103", message, place_of(text, found.start()), "derive a column for an inner part and use it"
            )
    return None


# --- lark ----------------------------------------------------------------------------------


class _WholeWords:
    """Lets lark's lexer see a name everywhere: without it `wherea` would be read as `where a` where no name can stand."""

    always_accept = ("NAME",)

    @staticmethod
    def process(stream: Iterable[Token]) -> Iterable[Token]:
        return stream


@cache
def _lark() -> Lark:
    """The parser, from lark's cache where it can be kept. A cache that cannot be read or written costs half a second."""
    grammar = GRAMMAR.read_text(encoding="utf-8")
    options: dict[str, Any] = {
        "parser": "lalr",
        "start": STARTS,
        "propagate_positions": True,
        "maybe_placeholders": True,
    }
    digest = hashlib.sha256(f"{lark.__version__}{grammar}".encode()).hexdigest()[:16]
    return Lark(grammar, **options, postlex=_WholeWords(), cache=_cache_file(digest))


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
