"""The one layout of a flow's text. It never changes the meaning, keeps every comment, and formatting twice is once.

Only white space is changed (and a comma before a closing bracket taken away): the tokens are laid out as they were
written, so no literal, quote or parenthesis can get lost. A comment stays before or behind the token it was written at.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from apps.common.errors import FlowControlError
from apps.language.diagnostics import Diagnostic, has_errors
from apps.language.layout import EMPTY, GLUE, HARD, LINE, Doc, Fill, Group, Nest, joined, render
from apps.language.parser import parse, tokens
from apps.language.phrases import OPENERS, Node, above, fold, glued, has_operators, is_broken, item, items, plain, split
from apps.language.source import LARGEST_BYTES, normalise, too_large
from apps.language.written import CLOSERS, Word, words

WIDTH = 100
WIDEST_CELL = 60  # a longer cell stands out of its column
STATEMENTS = {"FLOW", "PARAM", "SOURCE", "FN", "STEP", "EXPECT", "SINK", "TEST"}
A_LINE_EACH = {"DERIVE", "SELECT", "RENAME", "CAST"}
WITH_BODY = {"GROUP", "WINDOW", "PIVOT"}
CLAUSES = {"ON", "BRING", "BY", "ORDER", "KEEP", "ROWS", "VALUES", "INTO", "WITH", "FORWARD", "SEED"}


class FormatError(FlowControlError):
    """The text has mistakes, so it is left as it is."""

    code = "format"

    def __init__(self, diagnostics: list[Diagnostic]) -> None:
        super().__init__(hint="Mend them first: see the diagnostics.")
        self.diagnostics = diagnostics


def format_text(text: str) -> str:
    """The text in the one layout. Raises FormatError, with the diagnostics, where it does not parse."""
    result = parse(text)
    if result.tree is None or has_errors(result.diagnostics):
        raise FormatError(result.diagnostics)
    text = normalise(text)
    formatted = render(flow_doc(words(text, tokens(text))), WIDTH)
    if len(formatted.encode("utf-8", "replace")) > LARGEST_BYTES:  # its tables grew, and nobody could read it again
        raise FormatError([too_large(len(formatted.encode("utf-8", "replace")))])
    return formatted


def flow_doc(found: Sequence[Word]) -> Doc:
    statements: list[list[Word]] = []
    depth = 0
    for each in found:
        depth += (each.kind in OPENERS) - (each.kind in CLOSERS)
        if (each.kind in STATEMENTS and not depth) or each.kind == "END":
            statements.append([])
        statements[-1].append(each)
    parts: list[Doc] = []
    for number, statement in enumerate(statements):
        first = statement[0]
        apart: list[Doc] = [EMPTY] if number and first.apart and first.kind != "END" else []
        parts.append([*above(first, keep_empty=True), *apart, statement_doc(statement)])
    return joined(parts, HARD)


def statement_doc(found: Sequence[Word]) -> Doc:
    """A statement; the comments above it are laid out already."""
    first = replace(found[0], above=[])
    found = [first, *found[1:]]
    match first.kind:
        case "STEP":
            return step_doc(found)
        case "TEST":
            return test_doc(found)
        case "END":
            return ""
    return item(fold(found))


# --- steps -----------------------------------------------------------------------------------


def step_doc(found: Sequence[Word]) -> Doc:
    bars = [number for number, each in enumerate(found) if each.kind == "VBAR"]
    ends = [*bars, len(found)]
    operations: list[Doc] = []
    for start, end in pairwise(ends):
        bar = found[start]
        operations.append([HARD, *above(bar), "|", GLUE, operation_doc(fold(found[start + 1 : end]))])
    return [item(fold(found[: ends[0]])), Nest(2, operations)]


def operation_doc(nodes: Sequence[Node]) -> Doc:
    rest = nodes[1:]
    if nodes[0].kind in A_LINE_EACH and any(each.kind == "COMMA" for each in rest):
        return [glued(nodes[:1]), Group(Nest(4, [LINE, joined(items(rest), LINE)]), is_broken(nodes))]
    if nodes[0].kind in ("DERIVE", "SELECT"):
        return [glued(nodes[:1]), GLUE, Nest(2, item(rest)) if has_operators(rest) else item(rest)]
    body = next((number for number, each in enumerate(nodes) if each.kind == "LBRACE"), None)
    if nodes[0].kind in WITH_BODY and body is not None:
        behind: list[Doc] = [GLUE, clauses_doc(nodes[body + 1 :])] if nodes[body + 1 :] else []
        return [clauses_doc(nodes[:body]), GLUE, glued(nodes[body : body + 1]), *behind]
    return clauses_doc(nodes)


def clauses_doc(nodes: Sequence[Node]) -> Doc:
    """`lookup c on … bring …`: too long for a line, each of its clauses has one."""
    runs = [run for run in split(nodes, CLAUSES) if run]
    if len(runs) > 1 and len(runs[0]) == 1:  # the operation's word and what it is by
        runs[:2] = [[*runs[0], *runs[1]]]
    deeper = 4 if len(runs) > 1 else 2
    return Group(Nest(deeper, joined([clause_doc(run) for run in runs], LINE)), is_broken(nodes))


def clause_doc(nodes: Sequence[Node]) -> Doc:
    words_first = next((number for number, each in enumerate(nodes) if number and each.kind not in CLAUSES), len(nodes))
    head, rest = nodes[:words_first], nodes[words_first:]
    if not rest:
        return glued(head)
    parts = items(rest)
    body = Nest(2, Fill(tuple(parts))) if len(parts) > 1 else parts[0]
    return Group([glued(head), GLUE, body], is_broken(nodes))


# --- tests -----------------------------------------------------------------------------------


def test_doc(found: Sequence[Word]) -> Doc:
    opening = next(number for number, each in enumerate(found) if each.kind == "LBRACE")
    runs: list[list[Word]] = []
    depth = 0
    for each in found[opening + 1 : -1]:
        depth += (each.kind in OPENERS) - (each.kind in CLOSERS)
        if each.kind in ("WITH", "GIVEN", "THEN") and not depth:
            runs.append([])
        runs[-1].append(each)
    clauses: list[Doc] = []
    for number, run in enumerate(runs):
        apart: list[Doc] = [EMPTY] if number and run[0].apart else []
        clauses.append([HARD, *above(run[0], keep_empty=number > 0), *apart, test_clause_doc(run)])
    closing = found[-1]
    return [glued(found[: opening + 1]), Nest(2, [*clauses, HARD, *above(closing)]), HARD, *plain(closing)]


def test_clause_doc(found: Sequence[Word]) -> Doc:
    found = [replace(found[0], above=[]), *found[1:]]
    rows = [each for each in found if each.kind == "ROW"]
    if not rows:
        return item(fold(found))
    lines = zip(rows, aligned([each.cells() for each in rows]), strict=True)
    table: list[Doc] = [[HARD, *above(row), *plain(replace(row, text=line))] for row, line in lines]
    return [glued(found[: -len(rows)]), Nest(2, table)]


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table whose columns stand below one another, as far as its cells are not too long for that."""
    widths = [min(max(map(shown_width, column)), WIDEST_CELL) for column in zip(*rows, strict=True)]
    return [
        "| "
        + " | ".join(cell + " " * (width - shown_width(cell)) for cell, width in zip(row, widths, strict=True))
        + " |"
        for row in rows
    ]


def shown_width(text: str) -> int:
    """In columns of a terminal: wide characters take two, marks above a letter none."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(each) else 1 + (unicodedata.east_asian_width(each) in "WF") for each in text)
