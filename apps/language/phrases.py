"""Words into documents: brackets, lists and expressions, with the places where their lines may break."""

from collections.abc import Sequence
from dataclasses import dataclass

from apps.language.layout import GLUE, LINE, SOFT, Above, Behind, Doc, Fill, Group, Nest, joined
from apps.language.written import CLOSERS, Word

OPENERS = {"LPAR", "LSQB", "LBRACE"}
# Loosest first: an expression too long for its line breaks before the loosest of its operators.
OPERATORS: list[set[str]] = [{"OR"}, {"AND"}, {"COMPARE"}, {"DEFAULT"}, {"PLUS", "MINUS"}, {"TIMES", "PERCENT", "DIV"}]


@dataclass(slots=True)
class Closed:
    """A bracket and all that is in it, laid out. `kind` is that of its opening sign."""

    kind: str
    doc: Doc
    first: Word
    last: Word
    is_broken: bool  # by a comment inside

    @property
    def above(self) -> bool:
        return bool(self.first.above)

    @property
    def behind(self) -> bool:
        return bool(self.last.behind)


Node = Word | Closed


def word(node: Word) -> list[Doc]:
    """A word with its comments."""
    return [*above(node), *plain(node)]


def above(node: Word, keep_empty: bool = False) -> list[Doc]:
    """The comments above a word, each after an empty line if there was one and it is to be kept."""
    return [Above(each.text, each.apart and keep_empty) for each in node.above]


def plain(node: Word) -> list[Doc]:
    return [node.text, Behind(node.behind)] if node.behind else [node.text]


def is_broken(nodes: Sequence[Node]) -> bool:
    """Whether a comment stands inside, so that the nodes cannot be on one line."""
    return (
        any(isinstance(each, Closed) and each.is_broken for each in nodes)
        or any(each.above for each in nodes[1:])
        or any(each.behind for each in nodes[:-1])
    )


def fold(words: Sequence[Word]) -> list[Node]:
    """Each bracket becomes one node; the inner ones first, so depth costs nothing."""
    levels: list[list[Node]] = [[]]
    open_words: list[Word] = []
    for each in words:
        if each.kind in OPENERS:
            open_words.append(each)
            levels.append([])
        elif each.kind in CLOSERS:
            inner, opening = levels.pop(), open_words.pop()
            levels[-1].append(_closed(opening, inner, each, levels[-1]))
        else:
            levels[-1].append(each)
    return levels[0]


def _closed(opening: Word, inner: list[Node], closing: Word, before: list[Node]) -> Closed:
    broken = bool(opening.behind or closing.above or is_broken(inner))
    broken = broken or bool(inner and (inner[0].above or inner[-1].behind))
    if not inner and not closing.above:
        return Closed(opening.kind, [*word(opening), *plain(closing)], opening, closing, broken)
    parts = items(inner)
    in_columns = len(before) > 1 and (before[-2].kind, before[-1].kind) == ("COLUMNS", "COLON")
    end: Doc = LINE if opening.kind == "LBRACE" else SOFT
    a_line_each = opening.kind == "LBRACE" and not in_columns
    body: Doc = joined(parts, LINE) if a_line_each else Fill(tuple(parts))
    content = [*word(opening), Nest(2, [end, body, *above(closing)]), end, *plain(closing)]
    return Closed(opening.kind, Group(content, broken), opening, closing, broken)


def split(nodes: Sequence[Node], kinds: set[str]) -> list[list[Node]]:
    """Runs of nodes, a new one before each node of the kinds."""
    runs: list[list[Node]] = [[]]
    for each in nodes:
        if each.kind in kinds and isinstance(each, Word):
            runs.append([])
        runs[-1].append(each)
    return runs


def items(nodes: Sequence[Node]) -> list[Doc]:
    """What stands between commas; each item has its comma."""
    found: list[Doc] = []
    run: list[Node] = []
    for each in nodes:
        if each.kind == "COMMA" and isinstance(each, Word):
            found.append([item(run), *word(each)])
            run = []
        else:
            run.append(each)
    return [*found, item(run)] if run else found


def item(nodes: Sequence[Node]) -> Doc:
    """`name = expression`, `key: value`, `test => value`, or an expression."""
    for number, each in enumerate(nodes):
        if each.kind in ("EQUAL", "COLON", "GIVES") and isinstance(each, Word):
            head: Doc = glued(nodes[:number])
            space: list[Doc] = [] if each.kind == "COLON" else [GLUE]
            return [head, *space, *word(each), GLUE, phrase(nodes[number + 1 :])]
    return phrase(nodes)


def phrase(nodes: Sequence[Node]) -> Doc:
    """An expression, which may break before its loosest operators."""
    for kinds in OPERATORS:
        places = _operators(nodes, kinds)
        if places:
            starts = [0, *places]
            runs = [nodes[start:end] for start, end in zip(starts, [*places, len(nodes)], strict=True)]
            rest = [[LINE, glued(run[:1]), GLUE, phrase(run[1:])] for run in runs[1:]]
            return Group([phrase(runs[0]), Nest(2, rest)], is_broken(nodes))
    return glued(nodes)


def has_operators(nodes: Sequence[Node]) -> bool:
    return any(_operators(nodes, kinds) for kinds in OPERATORS)


def _operators(nodes: Sequence[Node], kinds: set[str]) -> list[int]:
    """Where operators between two operands stand. The `and` of a `between` is none."""
    found: list[int] = []
    bounds = 0
    for number, each in enumerate(nodes):
        if isinstance(each, Closed):
            continue
        bounds += each.kind == "BETWEEN"
        if each.kind == "AND" and bounds:
            bounds -= 1
        elif each.kind in kinds and number:
            found.append(number)
    return found


def glued(nodes: Sequence[Node]) -> Doc:
    """Nodes on one line, with the spaces that a person would write."""
    found: list[Doc] = []
    for number, each in enumerate(nodes):
        if number and _spaced(nodes, number):
            found.append(GLUE)
        found += [each.doc] if isinstance(each, Closed) else word(each)
    return found


def _spaced(nodes: Sequence[Node], number: int) -> bool:
    before, kind = nodes[number - 1], nodes[number].kind
    if isinstance(before, Word):
        if before.kind in ("DOT", "AT", "SIGN") or (before.kind == "RANGE" and kind in ("NUMBER", "SIGN")):
            return False
        if kind == "LPAR" and before.kind == "NAME":
            return False  # a call, a type, an endpoint
    if kind == "RANGE":
        return before.kind == "ROWS"
    return kind not in ("DOT", "COLON", "COMMA", "SHARE")
