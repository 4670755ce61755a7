"""Lays out a document on lines of a width: the half of a formatter that knows nothing of the language.

After Wadler's "A prettier printer", with fills and comments as in the formatter Prettier. Nothing here recurses.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum


class Break(Enum):
    """Where a line may end: else it is a space, or nothing; or always. Empty asks for an empty line in any case.
    Glue is a space where no line ends."""

    GLUE = "glue"
    SPACE = "space"
    NOTHING = "nothing"
    ALWAYS = "always"
    EMPTY = "empty"


GLUE, LINE, SOFT, HARD, EMPTY = Break.GLUE, Break.SPACE, Break.NOTHING, Break.ALWAYS, Break.EMPTY


@dataclass(frozen=True, slots=True)
class Nest:
    """What stands `by` deeper where its lines break."""

    by: int
    doc: "Doc"


@dataclass(frozen=True, slots=True)
class Group:
    """On one line if it fits, else all of its own breaks are taken. `broken`: it never fits, a comment is inside."""

    doc: "Doc"
    broken: bool = False


@dataclass(frozen=True, slots=True)
class Fill:
    """Items with a space between them; a line takes as many as fit. Up to `at` they are written."""

    items: tuple["Doc", ...]
    at: int = 0


@dataclass(frozen=True, slots=True)
class Above:
    """A comment on a line of its own, after an empty line if `apart`."""

    text: str
    apart: bool = False


@dataclass(frozen=True, slots=True)
class Behind:
    """A comment behind what was just written. Whatever comes next begins a line."""

    text: str


Doc = str | Break | Nest | Group | Fill | Above | Behind | Sequence["Doc"]


def joined(docs: Sequence[Doc], between: Doc) -> list[Doc]:
    found: list[Doc] = []
    for number, doc in enumerate(docs):
        if number:
            found.append(between)
        found.append(doc)
    return found


def render(doc: Doc, width: int) -> str:
    """The document as text, with one line end at its end."""
    return _Printer(width).render(doc)


class _Printer:
    def __init__(self, width: int) -> None:
        self.width = width
        self.pieces: list[str] = []
        self.column = 0
        self.at_start = True  # of a line, whose indent is written only before something else
        self.indent = 0
        self.line_is_over = False  # a comment ended it
        self.space = False  # to be written before the next text of the line
        self.waiting: list[tuple[int, bool, Doc]] = []  # indent, on one line, document; the last is next

    def render(self, doc: Doc) -> str:
        self.waiting.append((0, False, doc))
        while self.waiting:
            self.step(*self.waiting.pop())
        return "".join(self.pieces).rstrip("\n") + "\n"

    def step(self, indent: int, flat: bool, doc: Doc) -> None:
        match doc:
            case str():
                self.write(doc, indent)
            case Break():
                self.end(doc, indent, flat)
            case Nest(by, inner):
                self.waiting.append((indent + by, flat, inner))
            case Group(inner, broken):
                self.waiting.append((indent, not broken and (flat or self.fits(inner)), inner))
            case Fill():
                self.fill(doc, indent, flat)
            case Above(text, apart):
                if not self.at_start:
                    self.new_line(indent)
                if apart:
                    self.empty_line()
                self.indent = indent
                self.write(text, indent)
                self.line_is_over = True
            case Behind(text):
                self.write("  " + text, indent)
                self.line_is_over = True
            case _:
                self.waiting += ((indent, flat, each) for each in reversed(doc))

    def fill(self, doc: Fill, indent: int, flat: bool) -> None:
        if doc.at >= len(doc.items):
            return
        item = doc.items[doc.at]
        self.waiting.append((indent, flat, Fill(doc.items, doc.at + 1)))
        if not doc.at:
            self.waiting.append((indent, flat, Group(item)))
        elif flat or self.fits([LINE, item]):
            self.end(LINE, indent, flat=True)
            self.waiting.append((indent, True, item))
        else:
            self.new_line(indent)
            self.waiting.append((indent, False, Group(item)))

    def write(self, text: str, indent: int) -> None:
        if not text:
            return
        if self.line_is_over:
            self.new_line(indent)
        if self.at_start:
            text = " " * self.indent + text
        elif self.space:
            text = " " + text
        self.at_start = self.space = False
        self.pieces.append(text)
        _, broken, last = text.rpartition("\n")
        self.column = len(last) if broken else self.column + len(text)

    def end(self, kind: Break, indent: int, flat: bool) -> None:
        if kind is EMPTY:
            if not self.at_start:
                self.new_line(indent)
            self.empty_line()
        elif self.line_is_over or kind is HARD or not (flat or kind is GLUE):
            self.new_line(indent)
        elif kind in (LINE, GLUE):
            self.space = True

    def new_line(self, indent: int) -> None:
        if not self.at_start:
            self.pieces.append("\n")
        self.at_start, self.line_is_over, self.space = True, False, False
        self.indent, self.column = indent, 0

    def empty_line(self) -> None:
        if self.pieces and self.pieces[-2:] != ["\n", "\n"]:
            self.pieces.append("\n")

    def fits(self, doc: Doc) -> bool:
        """Whether a document on one line, with all up to the next possible line end, leaves the width unbroken."""
        room = self.width - (self.indent if self.at_start else self.column) - self.space
        inside: list[tuple[bool, Doc]] = [(True, doc)]
        for flat, each in self.coming(inside):
            match each:
                case str():
                    room -= len(each.partition("\n")[0])
                    if room < 0 or "\n" in each:
                        return room >= 0
                case Break():
                    if each in (HARD, EMPTY) or not (flat or each is GLUE):
                        return True
                    room -= each is not SOFT
                case Group(inner, is_broken):
                    if flat and is_broken:
                        return False
                    inside.append((flat, inner))
                case Above() | Behind():
                    return True
                case _:
                    inside += ((flat, part) for part in reversed(_parts(each)))
        return True

    def coming(self, inside: list[tuple[bool, Doc]]) -> Iterator[tuple[bool, Doc]]:
        """What is inside, as long as there is something, and then what waits behind it."""
        rest = len(self.waiting)
        while inside or rest:
            if not inside:
                rest -= 1
                inside.append(self.waiting[rest][1:])
            yield inside.pop()


def _parts(doc: Nest | Fill | Sequence[Doc]) -> Sequence[Doc]:
    match doc:
        case Nest(_, inner):
            return [inner]
        case Fill(items, at):
            left = joined(items[at:], LINE)
            return [LINE, *left] if at and left else left
    return doc
