"""The one layout of a flow's text. It never changes the meaning, keeps every comment, and formatting twice is once.

Text is laid out chunk by chunk: a statement's head, an operation, an item in braces, a row. A comment on a line of its
own stays before the chunk it stands before; one behind a chunk stays behind it; one in the middle moves before it.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from apps.common.errors import FlowControlError
from apps.language import tree as t
from apps.language.diagnostics import Diagnostic, Span, has_errors
from apps.language.parser import parse
from apps.language.source import normalise
from apps.language.wording import assign_text, cell_text, expression_text, name_text, quote, rule_text, type_text

WIDTH = 100
INDENT = "  "
_COMMENT = re.compile(r'"""(?:.|\n)*?"""|"(?:\\.|[^"\\\n])*"|`[^`\n]*`|(#[^\n]*)')


class FormatError(FlowControlError):
    """The text has mistakes, so it is left as it is."""

    code = "format"

    def __init__(self, diagnostics: list[Diagnostic]) -> None:
        super().__init__(hint="Mend them first: see the diagnostics.")
        self.diagnostics = diagnostics


def format_text(text: str) -> str:
    """The text in the one layout. Raises FormatError, with the diagnostics, where it does not parse."""
    text = normalise(text)
    result = parse(text)
    if result.tree is None or has_errors(result.diagnostics):
        raise FormatError(result.diagnostics)
    return Layout(text, result.tree).render()


@dataclass(frozen=True, slots=True)
class Comment:
    start: int
    text: str


@dataclass(frozen=True, slots=True)
class Item:
    """One thing in braces: its place in the text, on one line, and over several where it does not fit."""

    span: Span
    line: str
    tall: Callable[[str], list[str]] | None = None


class Layout:
    """Walks the tree once, from the top of the text to its end, and takes the comments along."""

    def __init__(self, text: str, flow: t.FlowFile) -> None:
        self.text, self.flow = text, flow
        self.comments = comments_of(text, flow)
        self.lines: list[str] = []
        self.at = 0  # up to here the text has been laid out

    def render(self) -> str:
        header = self.flow.header
        self.braced("", f"flow {header.name}", [self.option(each) for each in header.options], header.span)
        for statement in self.flow.statements:
            self.statement(statement)
        self.take_comments(len(self.text) + 1, "")
        return "\n".join(self.lines).strip("\n") + "\n"

    # --- comments --------------------------------------------------------------------------

    def take_comments(self, before: int, indent: str) -> None:
        """Lay out the comments that stand before an offset, each on a line of its own."""
        while self.comments and self.comments[0].start < before:
            comment = self.comments.pop(0)
            self.keep_blank(comment.start, indent)
            self.lines.append(indent + comment.text)
            self.at = comment.start + len(comment.text)

    def keep_blank(self, start: int, indent: str) -> None:
        """One empty line where a person left some, between statements only."""
        if not indent and self.lines and self.text[self.at : start].count("\n") > 1:
            self.lines.append("")

    def put(self, indent: str, span: Span, lines: Sequence[str], after: str = "") -> None:
        """Lay out a chunk: comments before and inside it, itself, and the one behind it."""
        self.take_comments(span.end, indent)
        self.keep_blank(span.start, indent)
        self.lines += [indent + line if line else line for line in lines]
        self.lines[-1] += after
        self.at = span.end
        self.take_trailing()

    def take_trailing(self) -> None:
        """A comment behind what was just laid out, on the same line of the text, stays behind it."""
        if not self.comments:
            return
        between = self.text[self.at : self.comments[0].start]
        if re.fullmatch(r"[ \t,{]*", between):
            comment = self.comments.pop(0)
            self.lines[-1] += "  " + comment.text
            self.at = comment.start + len(comment.text)

    def has_comment(self, span: Span) -> bool:
        return any(span.start <= each.start < span.end for each in self.comments)

    # --- statements ------------------------------------------------------------------------

    def statement(self, node: t.Statement) -> None:
        match node:
            case t.Param():
                self.put("", node.span, [param_text(node)])
            case t.Function():
                self.put("", node.span, [f"fn {node.name}({', '.join(node.args)}) = {expression_text(node.body)}"])
            case t.Source():
                head = f"source {node.name} = {endpoint_text(node.endpoint)}"
                self.braced("", head, [self.option(each) for each in node.options], node.span)
            case t.Sink():
                head = f"sink {name_text(node.step)} -> {endpoint_text(node.endpoint)}"
                self.braced("", head, [self.option(each) for each in node.options], node.span)
            case t.Expect():
                items = [Item(each.span, rule_text(each)) for each in node.rules]
                self.braced("", f"expect {name_text(node.step)}", items, node.span, empty=" {}")
            case t.Step():
                self.step(node)
            case t.Test():
                self.test(node)

    def step(self, node: t.Step) -> None:
        head = Span(*_start(node.span), *_end(node.input.span), node.span.start, node.input.span.end)
        self.put("", head, [f"step {node.name} = {name_text(node.input)}"])
        for operation in node.operations:
            self.operation(operation)

    def operation(self, node: t.Operation) -> None:
        match node:
            case t.Derive() | t.Select():
                word = "derive" if isinstance(node, t.Derive) else "select"
                self.listed(f"| {word}", [self.assign(each) for each in node.columns], node.span)
            case t.GroupBy():
                by = ", ".join(assign_text(each) for each in node.keys)
                head = "| group" + (f" by {by}" if by else "")
                self.braced(INDENT, head, [self.assign(each) for each in node.columns], node.span)
            case t.WindowBy():
                self.braced(INDENT, window_text(node), [self.assign(each) for each in node.columns], node.span)
            case t.Sql():
                self.take_comments(node.span.end, INDENT)
                # Its own lines are text and stay as they are.
                self.lines += f'{INDENT}| sql """{node.text}"""'.split("\n")
                self.at = node.span.end
                self.take_trailing()
            case _:
                self.put(INDENT, node.span, ["| " + operation_text(node)])

    def test(self, node: t.Test) -> None:
        title = f"test {quote(node.title)} {{"
        first = node.clauses[0].span.start if node.clauses else node.span.end
        line_end = self.text.find("\n", node.span.start)
        head = Span(*_start(node.span), *_start(node.span), node.span.start, min(node.span.start + 1, first))
        self.take_comments(node.span.start, "")
        self.put("", head, [title])
        opening = self.text.find("{", node.span.start + len("test"), first)
        if self.comments and opening >= 0 and self.comments[0].start < first and self.comments[0].start < line_end:
            self.at = opening
            self.take_trailing()
        for clause in node.clauses:
            self.clause(clause)
        self.take_comments(node.span.end, INDENT)
        self.lines.append("}")
        self.at = node.span.end
        self.take_trailing()

    def clause(self, node: t.With | t.Given | t.Then) -> None:
        if isinstance(node, t.With):
            self.put(INDENT, node.span, [f"with {node.name} = {expression_text(node.value)}"])
            return
        word, name = ("given", node.source) if isinstance(node, t.Given) else ("then", node.step)
        head = Span(*_start(node.span), *_end(name.span), node.span.start, name.span.end)
        self.put(INDENT, head, [f"{word} {name_text(name)}"])
        header = [name_text(each) if each.quoted else each.name.replace("|", "\\|") for each in node.table.header]
        rows = [header, *([cell_text(cell) for cell in row] for row in node.table.rows)]
        places = [_line_of(node.table.header), *(_line_of(row) for row in node.table.rows)]
        widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
        for cells, place in zip(rows, places, strict=True):
            padded = " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
            self.take_comments(place.start, INDENT * 2)
            self.lines.append(f"{INDENT * 2}| {padded} |")
            self.at = place.end

    # --- lists in braces -------------------------------------------------------------------

    def braced(self, indent: str, head: str, items: list[Item], span: Span, empty: str = "") -> None:
        """`head { a, b }` on one line where it fits and no comment is inside; else an item a line."""
        if not items:
            self.put(indent, span, [head + empty])
            return
        flat = f"{head} {{ {', '.join(item.line for item in items)} }}"
        if len(indent + flat) <= WIDTH and "\n" not in flat and not self.has_comment(span):
            self.put(indent, span, [flat])
            return
        self.opened(indent, f"{head} {{", items, span)
        self.take_comments(span.end, indent + INDENT)
        self.lines.append(indent + "}")
        self.at = span.end
        self.take_trailing()

    def listed(self, head: str, items: list[Item], span: Span) -> None:
        """`| derive a, b` on one line where it fits; else an item a line below it."""
        flat = f"{head} {', '.join(item.line for item in items)}"
        if len(INDENT + flat) <= WIDTH and not self.has_comment(span):
            self.put(INDENT, span, [flat])
            return
        self.opened(INDENT, head, items, span, deeper=INDENT * 2)

    def opened(self, indent: str, head: str, items: list[Item], span: Span, deeper: str = INDENT) -> None:
        self.take_comments(span.start, indent)
        self.keep_blank(span.start, indent)
        self.lines.append(indent + head)
        self.at = span.start
        inner = indent + deeper
        for number, item in enumerate(items):
            lines = [item.line]
            if item.tall and (len(inner + item.line) + 1 > WIDTH):
                lines = item.tall(inner)
            self.put(inner, item.span, lines, "" if number == len(items) - 1 else ",")

    def option(self, node: t.Option) -> Item:
        if isinstance(node.value, t.ColumnsMap):
            pairs = [f"{name_text(t.Name(name))}: {type_text(type_)}" for name, type_, _ in node.value.columns]
            line = f"columns: {{ {', '.join(pairs)} }}" if pairs else "columns: {}"
            return Item(node.span, line, lambda indent: filled("columns: {", pairs, "}", indent))
        return Item(node.span, f"{node.key}: {expression_text(node.value)}", broken(f"{node.key}: ", node.value))

    def assign(self, node: t.Assign) -> Item:
        head = f"{name_text(t.Name(node.name))} = " if node.name is not None else ""
        return Item(node.span, assign_text(node), broken(head, node.value))


# --- pieces --------------------------------------------------------------------------------


def filled(head: str, items: list[str], tail: str, indent: str) -> list[str]:
    """Items wrapped to the width between a head line and a tail line."""
    lines, line = [head], ""
    for number, item in enumerate(items):
        piece = item + ("," if number < len(items) - 1 else "")
        if line and len(indent + INDENT + line) + 1 + len(piece) > WIDTH:
            lines.append(INDENT + line)
            line = piece
        else:
            line = f"{line} {piece}" if line else piece
    return [*lines, INDENT + line, tail]


def broken(head: str, value: Any) -> Callable[[str], list[str]] | None:
    """How a value too long for its line is broken: a case has a branch a line, a list is wrapped."""
    if isinstance(value, t.Case):
        branches = [f"{expression_text(test)} => {expression_text(result)}" for test, result in value.branches]
        if value.otherwise is not None:
            branches.append(f"else => {expression_text(value.otherwise)}")
        return lambda indent: [
            f"{head}case {{",
            *(INDENT + each + ("," if number < len(branches) - 1 else "") for number, each in enumerate(branches)),
            "}",
        ]
    if isinstance(value, t.ListLiteral) and value.items:
        return lambda indent: filled(f"{head}[", [expression_text(each) for each in value.items], "]", indent)
    return None


def param_text(node: t.Param) -> str:
    text = f"param {node.name}: {type_text(node.type)}"
    if node.default is not None:
        text += f" = {expression_text(node.default)}"
    if node.allow is not None:
        text += f" allow [{', '.join(expression_text(each) for each in node.allow)}]"
    if node.low is not None and node.high is not None:
        text += f" between {expression_text(node.low)} and {expression_text(node.high)}"
    return text


def endpoint_text(node: t.Endpoint) -> str:
    return f"{node.kind}({', '.join(expression_text(each) for each in node.args)})"


def keys_text(keys: Sequence[t.SortKey]) -> str:
    return ", ".join(("-" if key.descending else "") + expression_text(key.value) for key in keys)


def window_text(node: t.WindowBy) -> str:
    text = "| window"
    if node.partition:
        text += " by " + ", ".join(expression_text(each) for each in node.partition)
    if node.order:
        text += " order " + keys_text(node.order)
    if node.has_frame:
        text += f" rows {'' if node.low is None else node.low}..{'' if node.high is None else node.high}"
    return text


def join_text(node: t.Join) -> str:
    text = f"lookup {name_text(node.right)}" if node.kind == "lookup" else f"{node.kind} join {name_text(node.right)}"
    if node.alias is not None:
        text += f" as {name_text(node.alias)}"
    if node.on is not None:
        text += f" on {expression_text(node.on)}"
    if node.bring:
        text += " bring " + ", ".join(assign_text(each) for each in node.bring)
    return text


def names_text(names: Sequence[t.Name]) -> str:
    return ", ".join(name_text(each) for each in names)


def expressions_text(items: Sequence[t.Expr]) -> str:
    return ", ".join(expression_text(each) for each in items)


def operation_text(node: t.Operation) -> str:  # noqa: C901  one arm an operation
    """An operation that stands on one line."""
    match node:
        case t.Where():
            return f"where {expression_text(node.test)}"
        case t.Drop():
            return f"drop {names_text(node.columns)}"
        case t.Rename():
            return "rename " + ", ".join(f"{name_text(new)} = {name_text(old)}" for new, old in node.pairs)
        case t.CastColumns():
            return "cast " + ", ".join(f"{name_text(name)}: {type_text(type_)}" for name, type_ in node.columns)
        case t.Join():
            return join_text(node)
        case t.Sort():
            return f"sort {keys_text(node.keys)}"
        case t.Take():
            return f"take {node.count}" + (f" by {expressions_text(node.by)}" if node.by else "")
        case t.Distinct():
            return "distinct"
        case t.Dedupe():
            keep = f" keep {node.keep} {keys_text(node.order)}" if node.order else ""
            return f"dedupe by {expressions_text(node.by)}{keep}"
        case t.Union():
            return f"union {name_text(node.other)}"
        case t.Unnest():
            return f"unnest {expression_text(node.column)} as {name_text(node.alias)}"
        case t.Pivot():
            columns = ", ".join(assign_text(each) for each in node.columns)
            by = f" by {expressions_text(node.by)}" if node.by else ""
            return f"pivot on {expression_text(node.on)} values [{expressions_text(node.values)}] {{ {columns} }}{by}"
        case t.Unpivot():
            return f"unpivot [{names_text(node.columns)}] into {name_text(node.name)}, {name_text(node.value)}"
        case t.Sample():
            seed = f" seed {node.seed}" if node.seed is not None else ""
            return f"sample {node.amount}{'%' if node.percent else ' rows'}{seed}"
        case t.Fill() if node.value is not None:
            return f"fill {name_text(node.column)} with {expression_text(node.value)}"
        case t.Fill():
            by = f" by {expressions_text(node.by)}" if node.by else ""
            order = f" order {keys_text(node.order)}" if node.order else ""
            return f"fill {name_text(node.column)} forward{by}{order}"
    raise AssertionError(node)


# --- places --------------------------------------------------------------------------------


def comments_of(text: str, flow: t.FlowFile) -> list[Comment]:
    """Every comment of the text in order. A `#` in a table row is data."""
    rows = [
        (place.start, place.end)
        for statement in flow.statements
        if isinstance(statement, t.Test)
        for clause in statement.clauses
        if not isinstance(clause, t.With)
        for place in (_line_of(cells) for cells in (clause.table.header, *clause.table.rows))
    ]
    blank = list(text)
    for start, _ in rows:
        begin, end = text.rfind("\n", 0, start) + 1, text.find("\n", start)
        end = len(text) if end < 0 else end
        blank[begin:end] = " " * (end - begin)
    return [Comment(found.start(1), found[1].rstrip()) for found in _COMMENT.finditer("".join(blank)) if found[1]]


def _line_of(cells: Sequence[Any]) -> Span:
    """From the first cell of a row to its last."""
    return cells[0].span.to(cells[-1].span) if cells else Span()


def _start(span: Span) -> tuple[int, int]:
    return span.line, span.column


def _end(span: Span) -> tuple[int, int]:
    return span.end_line, span.end_column
