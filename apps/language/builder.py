"""From lark's tree to ours: one method a rule of the grammar. Not recursive, so depth is no danger here."""

import re
from typing import Any

from lark import Token, v_args

from apps.language import tree as t
from apps.language import types
from apps.language.complaints import type_hint
from apps.language.diagnostics import Span
from apps.language.expression_builder import ExpressionBuilder, unescape

SIMPLE_TYPES = {
    str(each): each
    for each in (
        types.BOOL, types.INT, types.DOUBLE, types.TEXT, types.DATE, types.TIME, types.TIMESTAMP, types.TIMESTAMPTZ,
        types.DURATION, types.JSON,
    )
}  # fmt: skip
_QUOTED_CELL = re.compile(r'"(?:\\.|[^"\\])*"')


class Builder(ExpressionBuilder):
    """Builds nodes; what it finds wrong on the way (a type that is none) it puts into `diagnostics`."""

    # --- statements ------------------------------------------------------------------------

    @v_args(meta=True)
    def flow(self, meta: Any, items: list[Any]) -> t.FlowFile:
        return t.FlowFile(items[0], tuple(items[1:]), span=self.span(meta))

    @v_args(meta=True)
    def header(self, meta: Any, items: list[Any]) -> t.FlowHeader:
        return t.FlowHeader(str(items[0]), items[1] or (), span=self.span(meta))

    @v_args(meta=True)
    def param(self, meta: Any, items: list[Any]) -> t.Param:
        name, type_, default, limits = items
        kind, values = limits or ("", None)
        allow = values if kind == "allow" else None
        low, high = values if values and kind == "bounds" else (None, None)
        return t.Param(str(name), type_, default, allow, low, high, span=self.span(meta))

    def allow(self, items: list[Any]) -> tuple[str, Any]:
        return "allow", items[0]

    def bounds(self, items: list[Any]) -> tuple[str, Any]:
        return "bounds", tuple(items)

    @v_args(meta=True)
    def source(self, meta: Any, items: list[Any]) -> t.Source:
        name, endpoint, options = items
        return t.Source(str(name), endpoint, options or (), name_span=self.of(name), span=self.span(meta))

    @v_args(meta=True)
    def function(self, meta: Any, items: list[Any]) -> t.Function:
        name, args, body = items
        return t.Function(str(name), args or (), body, name_span=self.of(name), span=self.span(meta))

    def arg_names(self, items: list[Any]) -> tuple[str, ...]:
        return tuple(str(item) for item in items)

    @v_args(meta=True)
    def step(self, meta: Any, items: list[Any]) -> t.Step:
        name, input_, *operations = items
        return t.Step(str(name), input_, tuple(operations), name_span=self.of(name), span=self.span(meta))

    @v_args(meta=True)
    def expect(self, meta: Any, items: list[Any]) -> t.Expect:
        return t.Expect(items[0], items[1] or (), span=self.span(meta))

    def rules(self, items: list[Any]) -> tuple[Any, ...]:
        return tuple(item for item in items if item is not None)

    @v_args(meta=True)
    def rule(self, meta: Any, items: list[Any]) -> t.Rule:
        return t.Rule(*items, span=self.span(meta))

    def severity(self, items: list[Any]) -> str:
        return str(items[0])

    def limit(self, items: list[Any]) -> str:
        return str(items[0])

    @v_args(meta=True)
    def sink(self, meta: Any, items: list[Any]) -> t.Sink:
        step, endpoint, options = items
        return t.Sink(step, endpoint, options or (), span=self.span(meta))

    @v_args(meta=True)
    def test(self, meta: Any, items: list[Any]) -> t.Test:
        title, *clauses = items
        return t.Test(self.unquote(title), tuple(clauses), span=self.span(meta))

    @v_args(meta=True)
    def with_(self, meta: Any, items: list[Any]) -> t.With:
        return t.With(str(items[0]), items[1], span=self.span(meta))

    @v_args(meta=True)
    def given(self, meta: Any, items: list[Any]) -> t.Given:
        self.wants_header(items)
        return t.Given(*items, span=self.span(meta))

    @v_args(meta=True)
    def then(self, meta: Any, items: list[Any]) -> t.Then:
        self.wants_header(items)
        return t.Then(*items, span=self.span(meta))

    def wants_header(self, items: list[Any]) -> None:
        name, table = items
        if not table.header:
            self.wrong("E110", "this table has no header", name.span, "write a row of column names: | a | b |")

    @v_args(meta=True)
    def table(self, meta: Any, rows: list[Token]) -> t.Table:
        span = self.span(meta)
        if not rows:
            return t.Table((), (), span=span)
        lines = [self.cells(row) for row in rows]
        header = tuple(column_name(cell) for cell in lines[0])
        for line, row in zip(lines[1:], rows[1:], strict=True):
            if len(line) != len(header):
                message = f"this row has {counted(len(line), 'cell')}, the header has {len(header)}"
                self.wrong("E111", message, self.of(row))
        for name in header:
            if not name.name:
                self.wrong("E111", "a column of this table has no name", name.span)
        return t.Table(header, tuple(lines[1:]), span=span)

    def cells(self, row: Token) -> tuple[t.Cell, ...]:
        """The cells between the bars of one line; a `\\|` is a bar in the text. Behind the last bar a comment may stand."""
        place = self.of(row)
        *cells, rest = re.split(r"(?<!\\)\|", str(row)[1:])
        if rest.strip() == "}":
            self.wrong("E112", "the test's `}` stands in a row of its table", place, "write it on a line of its own")
        elif rest.strip() and not rest.strip().startswith("#"):
            self.wrong("E112", "this row does not end with a bar", place, "write `|` after the last cell")
            cells.append(rest)
        elif not cells:
            self.wrong("E111", "this row has no cells", place, "write `| a | b |`")
        found, at = [], 1
        for raw in cells:
            body = raw.strip()
            column = place.column + at + (len(raw) - len(raw.lstrip()) if body else 0)
            offset = place.start + column - place.column
            span = Span(place.line, column, place.line, column + len(body), offset, offset + len(body))
            found.append(read_cell(body, span))
            at += len(raw) + 1
        return tuple(found)

    # --- endpoints and options -------------------------------------------------------------

    @v_args(meta=True)
    def endpoint(self, meta: Any, items: list[Any]) -> t.Endpoint:
        return t.Endpoint(str(items[0]), items[1] or (), kind_span=self.of(items[0]), span=self.span(meta))

    def options(self, items: list[Any]) -> tuple[Any, ...]:
        return tuple(item for item in items if item is not None)

    @v_args(meta=True)
    def option(self, meta: Any, items: list[Any]) -> t.Option:
        return t.Option(str(items[0]), items[1], key_span=self.of(items[0]), span=self.span(meta))

    @v_args(meta=True)
    def columns_option(self, meta: Any, items: list[Any]) -> t.Option:
        span = self.span(meta)
        key = Span(span.line, span.column, span.line, span.column + 7, span.start, span.start + 7)
        return t.Option("columns", items[0], key_span=key, span=span)

    @v_args(meta=True)
    def columns(self, meta: Any, items: list[Any]) -> t.ColumnsMap:
        found = [item for item in items if item is not None]
        return t.ColumnsMap(tuple((name.name, type_, span) for name, type_, span in found), span=self.span(meta))

    @v_args(meta=True)
    def column(self, meta: Any, items: list[Any]) -> tuple[t.Name, types.Type, Span]:
        return items[0], items[1], self.span(meta)

    # --- types -----------------------------------------------------------------------------

    @v_args(meta=True)
    def type(self, meta: Any, items: list[Any]) -> types.Type:
        name, args = str(items[0]), [item for item in items[1:] if item is not None]
        kinds = [kind for kind, _ in args]
        if name in SIMPLE_TYPES and not args:
            return SIMPLE_TYPES[name]
        if name == "decimal" and kinds == ["size", "size"]:
            precision, scale = (value for _, value in args)
            if 1 <= precision <= types.MAX_PRECISION and 0 <= scale <= precision:
                return types.decimal(precision, scale)
        if name == "list" and kinds == ["item"]:
            return types.list_of(args[0][1])
        if name == "struct" and args and set(kinds) == {"field"}:
            return types.struct(*(value for _, value in args))
        self.wrong("E113", f"this is not a type: {name}", self.span(meta), type_hint(name))
        return types.TEXT

    def type_size(self, items: list[Any]) -> tuple[str, Any]:
        return "size", int(items[0]) if str(items[0]).isdigit() else -1

    def type_field(self, items: list[Any]) -> tuple[str, Any]:
        return "field", (str(items[0]), items[1])

    def type_item(self, items: list[Any]) -> tuple[str, Any]:
        return "item", items[0]

    # --- operations ------------------------------------------------------------------------

    @v_args(meta=True)
    def where(self, meta: Any, items: list[Any]) -> t.Where:
        return t.Where(items[0], span=self.span(meta))

    @v_args(meta=True)
    def derive(self, meta: Any, items: list[Any]) -> t.Derive:
        return t.Derive(self.all_named(items[0]), span=self.span(meta))

    def all_named(self, columns: tuple[t.Assign, ...]) -> tuple[t.Assign, ...]:
        for column in columns:
            if column.name is None:
                self.wrong("E114", "this column has no name", column.span, "write `name = …`")
        return columns

    @v_args(meta=True)
    def select(self, meta: Any, items: list[Any]) -> t.Select:
        return t.Select(items[0], span=self.span(meta))

    @v_args(meta=True)
    def drop(self, meta: Any, items: list[Any]) -> t.Drop:
        return t.Drop(items[0], span=self.span(meta))

    @v_args(meta=True)
    def rename(self, meta: Any, items: list[Any]) -> t.Rename:
        return t.Rename(tuple(items), span=self.span(meta))

    def rename_pair(self, items: list[Any]) -> tuple[t.Name, t.Name]:
        return items[0], items[1]

    @v_args(meta=True)
    def cast(self, meta: Any, items: list[Any]) -> t.CastColumns:
        return t.CastColumns(tuple((name, type_) for name, type_, _ in items), span=self.span(meta))

    @v_args(meta=True)
    def join(self, meta: Any, items: list[Any]) -> t.Join:
        kind, right, alias, on, bring = items
        return t.Join(kind, right, alias, on, bring or (), span=self.span(meta))

    def join_kind(self, items: list[Any]) -> str:
        return str(items[0])

    @v_args(meta=True)
    def lookup(self, meta: Any, items: list[Any]) -> t.Join:
        right, alias, on, bring = items
        return t.Join("lookup", right, alias, on, bring or (), span=self.span(meta))

    def as_(self, items: list[Any]) -> Any:
        return items[0]

    on = bring = as_

    @v_args(meta=True)
    def group(self, meta: Any, items: list[Any]) -> t.GroupBy:
        return t.GroupBy(items[0] or (), self.all_named(items[1]), span=self.span(meta))

    @v_args(meta=True)
    def window(self, meta: Any, items: list[Any]) -> t.WindowBy:
        by, order, frame, columns = items
        low, high = frame or (None, None)
        return t.WindowBy(
            by or (), order or (), frame is not None, low, high, self.all_named(columns), span=self.span(meta)
        )

    def frame(self, items: list[Any]) -> tuple[int | None, int | None]:
        return items[0], items[1]

    def after(self, items: list[Any]) -> int:
        return self.whole_number(items[0])

    def before(self, items: list[Any]) -> int:
        return -self.whole_number(items[0])

    @v_args(meta=True)
    def sort(self, meta: Any, items: list[Any]) -> t.Sort:
        return t.Sort(items[0], span=self.span(meta))

    def sort_keys(self, items: list[Any]) -> tuple[t.SortKey, ...]:
        return tuple(self.sort_key(item) for item in items)

    def sort_key(self, value: t.Expr) -> t.SortKey:
        """A leading `-` is the direction; before a larger expression nobody could tell what it belongs to."""
        if isinstance(value, t.Unary) and value.op == "-":
            return t.SortKey(value.operand, True, span=value.span)
        first: t.Expr = value
        while isinstance(first, t.Binary):
            first = first.left
        if isinstance(first, t.Unary) and first.op == "-":
            hint = "put the expression in parentheses: `-(a + b)` or `(-a + b)`"
            self.wrong("E118", "in a sort a leading `-` is the direction, here it is unclear of what", value.span, hint)
        return t.SortKey(value, span=value.span)

    @v_args(meta=True)
    def take(self, meta: Any, items: list[Any]) -> t.Take:
        return t.Take(self.whole_number(items[0]), items[1] or (), span=self.span(meta))

    @v_args(meta=True)
    def distinct(self, meta: Any, items: list[Any]) -> t.Distinct:
        return t.Distinct(span=self.span(meta))

    @v_args(meta=True)
    def dedupe(self, meta: Any, items: list[Any]) -> t.Dedupe:
        which: Any
        which, order = items[1] or ("first", ())
        return t.Dedupe(items[0], which, order, span=self.span(meta))

    def keep(self, items: list[Any]) -> tuple[str, Any]:
        return items[0], items[1]

    def keep_which(self, items: list[Any]) -> str:
        return str(items[0])

    @v_args(meta=True)
    def union(self, meta: Any, items: list[Any]) -> t.Union:
        return t.Union(items[0], span=self.span(meta))

    @v_args(meta=True)
    def unnest(self, meta: Any, items: list[Any]) -> t.Unnest:
        return t.Unnest(items[0], items[1], span=self.span(meta))

    @v_args(meta=True)
    def pivot(self, meta: Any, items: list[Any]) -> t.Pivot:
        on, values, columns, by = items
        return t.Pivot(on, values, columns, by or (), span=self.span(meta))

    @v_args(meta=True)
    def unpivot(self, meta: Any, items: list[Any]) -> t.Unpivot:
        return t.Unpivot(*items, span=self.span(meta))

    @v_args(meta=True)
    def sample_percent(self, meta: Any, items: list[Any]) -> t.Sample:
        return t.Sample(str(items[0]), True, items[1], span=self.span(meta))

    @v_args(meta=True)
    def sample_rows(self, meta: Any, items: list[Any]) -> t.Sample:
        return t.Sample(str(items[0]), False, items[1], span=self.span(meta))

    def seed(self, items: list[Any]) -> int:
        return self.whole_number(items[0])

    @v_args(meta=True)
    def fill_with(self, meta: Any, items: list[Any]) -> t.Fill:
        return t.Fill(items[0], items[1], span=self.span(meta))

    @v_args(meta=True)
    def fill_forward(self, meta: Any, items: list[Any]) -> t.Fill:
        return t.Fill(items[0], None, items[1] or (), items[2] or (), span=self.span(meta))

    @v_args(meta=True)
    def sql(self, meta: Any, items: list[Any]) -> t.Sql:
        return t.Sql(str(items[0])[3:-3], span=self.span(meta))

    def whole_number(self, token: Token) -> int:
        text = str(token).replace("_", "")
        if text.isdigit() and len(text) < 19:
            return int(text)
        self.wrong("E115", "a whole number belongs here", self.of(token))
        return 1


def read_cell(body: str, span: Span) -> t.Cell:
    if not body:
        return t.Cell(None, span=span)
    if _QUOTED_CELL.fullmatch(body):
        return t.Cell(unescape(body[1:-1].replace("\\|", "|")), True, span=span)
    return t.Cell(body.replace("\\|", "|"), span=span)


def column_name(cell: t.Cell) -> t.Name:
    text = cell.text or ""
    quoted = len(text) > 2 and text[0] == text[-1] == "`"
    return t.Name(text[1:-1] if quoted else text, quoted, span=cell.span)


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
