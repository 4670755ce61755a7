"""From lark's tree to ours: expressions. One method a rule of the grammar."""

import re
from typing import Any

from lark import Token, v_args
from lark import Transformer_NonRecursive as Transformer

from apps.language import tree as t
from apps.language.diagnostics import Diagnostic, Span

ESCAPES = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\"}


class ExpressionBuilder(Transformer):
    """Builds nodes; what it finds wrong on the way (a type that is none) it puts into `diagnostics`."""

    def __init__(self, line: int, start: int) -> None:
        super().__init__()
        self.line, self.start_offset = line, start
        self.diagnostics: list[Diagnostic] = []

    # --- places ----------------------------------------------------------------------------

    def span(self, meta: Any) -> Span:
        if meta.empty:
            return Span(self.line + 1, 1, self.line + 1, 1, self.start_offset, self.start_offset)
        return Span(
            meta.line + self.line, meta.column, meta.end_line + self.line, meta.end_column,
            meta.start_pos + self.start_offset, meta.end_pos + self.start_offset,
        )  # fmt: skip

    def of(self, token: Any) -> Span:
        return Span(
            token.line + self.line, token.column, token.end_line + self.line, token.end_column,
            token.start_pos + self.start_offset, token.end_pos + self.start_offset,
        )  # fmt: skip

    def wrong(self, code: str, message: str, span: Span, hint: str = "") -> None:
        self.diagnostics.append(Diagnostic(code, message, span, hint))

    # --- lists -----------------------------------------------------------------------------

    def assigns(self, items: list[Any]) -> tuple[Any, ...]:
        return tuple(items)

    def exprs(self, items: list[Any]) -> tuple[Any, ...]:
        return tuple(item for item in items if item is not None)

    names = assigns

    @v_args(meta=True)
    def named(self, meta: Any, items: list[Any]) -> t.Assign:
        return t.Assign(items[0].name, items[1], name_span=items[0].span, span=self.span(meta))

    @v_args(meta=True)
    def unnamed(self, meta: Any, items: list[Any]) -> t.Assign:
        return t.Assign(None, items[0], span=self.span(meta))

    # --- expressions -----------------------------------------------------------------------

    def _binary(self, meta: Any, op: Any, left: Any, right: Any) -> t.Binary:
        return t.Binary(op, left, right, span=self.span(meta))

    @v_args(meta=True)
    def or_(self, meta: Any, items: list[Any]) -> t.Binary:
        return self._binary(meta, "or", *items)

    @v_args(meta=True)
    def and_(self, meta: Any, items: list[Any]) -> t.Binary:
        return self._binary(meta, "and", *items)

    @v_args(meta=True)
    def not_(self, meta: Any, items: list[Any]) -> t.Unary:
        return t.Unary("not", items[0], span=self.span(meta))

    @v_args(meta=True)
    def compare(self, meta: Any, items: list[Any]) -> t.Binary:
        return self._binary(meta, str(items[1]), items[0], items[2])

    @v_args(meta=True)
    def between(self, meta: Any, items: list[Any]) -> t.Between:
        return t.Between(*items, span=self.span(meta))

    @v_args(meta=True)
    def not_between(self, meta: Any, items: list[Any]) -> t.Between:
        value, low, high = items
        return t.Between(value, low, high, negated=True, span=self.span(meta))

    @v_args(meta=True)
    def in_(self, meta: Any, items: list[Any]) -> t.In:
        return t.In(items[0], items[1] or (), span=self.span(meta))

    @v_args(meta=True)
    def not_in(self, meta: Any, items: list[Any]) -> t.In:
        return t.In(items[0], items[1] or (), negated=True, span=self.span(meta))

    @v_args(meta=True)
    def is_null(self, meta: Any, items: list[Any]) -> t.IsNull:
        return t.IsNull(items[0], span=self.span(meta))

    @v_args(meta=True)
    def is_not_null(self, meta: Any, items: list[Any]) -> t.IsNull:
        return t.IsNull(items[0], negated=True, span=self.span(meta))

    @v_args(meta=True)
    def coalesce(self, meta: Any, items: list[Any]) -> t.Binary:
        return self._binary(meta, "??", *items)

    @v_args(meta=True)
    def sum(self, meta: Any, items: list[Any]) -> t.Binary:
        return self._binary(meta, "+", items[0], items[2])

    @v_args(meta=True)
    def minus(self, meta: Any, items: list[Any]) -> t.Binary:
        return self._binary(meta, "-", *items)

    @v_args(meta=True)
    def product(self, meta: Any, items: list[Any]) -> t.Binary:
        return self._binary(meta, str(items[1]), items[0], items[2])

    @v_args(meta=True)
    def modulo(self, meta: Any, items: list[Any]) -> t.Binary:
        return self._binary(meta, "%", *items)

    @v_args(meta=True)
    def whole(self, meta: Any, items: list[Any]) -> t.Binary:
        return self._binary(meta, "div", *items)

    @v_args(meta=True)
    def negate(self, meta: Any, items: list[Any]) -> t.Unary:
        return t.Unary("-", items[0], span=self.span(meta))

    @v_args(meta=True)
    def field(self, meta: Any, items: list[Any]) -> t.Field:
        return t.Field(items[0], items[1].name, items[1].quoted, span=self.span(meta))

    @v_args(meta=True)
    def null(self, meta: Any, items: list[Any]) -> t.Null:
        return t.Null(span=self.span(meta))

    @v_args(meta=True)
    def true(self, meta: Any, items: list[Any]) -> t.Boolean:
        return t.Boolean(True, span=self.span(meta))

    @v_args(meta=True)
    def false(self, meta: Any, items: list[Any]) -> t.Boolean:
        return t.Boolean(False, span=self.span(meta))

    @v_args(meta=True)
    def number(self, meta: Any, items: list[Any]) -> t.Number:
        return t.Number(str(items[0]), span=self.span(meta))

    @v_args(meta=True)
    def text(self, meta: Any, items: list[Any]) -> t.Text:
        return t.Text(self.unquote(items[0]), span=self.span(meta))

    @v_args(meta=True)
    def moment(self, meta: Any, items: list[Any]) -> t.Moment:
        return t.Moment(str(items[0]), span=self.span(meta))

    @v_args(meta=True)
    def duration(self, meta: Any, items: list[Any]) -> t.Duration:
        found = re.fullmatch(r"(\d+)([a-z]+)", str(items[0]).replace("_", ""))
        assert found is not None
        if len(found[1]) > 15:
            self.wrong("E115", "this duration is too long", self.span(meta))
            return t.Duration(0, "s", span=self.span(meta))
        return t.Duration(int(found[1]), found[2], span=self.span(meta))  # type: ignore[arg-type]

    @v_args(meta=True)
    def param_ref(self, meta: Any, items: list[Any]) -> t.ParamRef:
        return t.ParamRef(str(items[0]), span=self.span(meta))

    @v_args(meta=True)
    def call(self, meta: Any, items: list[Any]) -> t.Call:
        return t.Call(str(items[0]), items[1] or (), name_span=self.of(items[0]), span=self.span(meta))

    @v_args(meta=True)
    def parenthesis(self, meta: Any, items: list[Any]) -> t.Group:
        return t.Group(items[0], span=self.span(meta))

    @v_args(meta=True)
    def list(self, meta: Any, items: Any) -> t.ListLiteral:
        return t.ListLiteral(items[0] or (), span=self.span(meta))

    @v_args(meta=True)
    def struct(self, meta: Any, items: Any) -> t.StructLiteral:
        return t.StructLiteral(tuple(item for item in items if item is not None), span=self.span(meta))

    def struct_field(self, items: Any) -> tuple[str, Any]:
        return str(items[0]), items[1]

    @v_args(meta=True)
    def case(self, meta: Any, items: Any) -> t.Case:
        branches = [item for item in items if item is not None]
        others = [value for test, value in branches if test is None]
        if len(others) > 1 or (others and branches[-1][0] is not None):
            self.wrong("E116", "`else` stands once in a case, and last", self.span(meta))
        tests = tuple((test, value) for test, value in branches if test is not None)
        return t.Case(tests, others[0] if others else None, span=self.span(meta))

    def branch(self, items: Any) -> tuple[Any, Any]:
        return items[0], items[1]

    def otherwise(self, items: Any) -> tuple[Any, Any]:
        return None, items[0]

    @v_args(meta=True)
    def name(self, meta: Any, items: Any) -> t.Name:
        token = items[0]
        quoted = token.type == "QUOTED"
        return t.Name(str(token)[1:-1] if quoted else str(token), quoted, span=self.of(token))

    table_name = name

    def unquote(self, token: Token) -> str:
        return unescape(str(token)[1:-1])


def unescape(body: str) -> str:
    """`\\n`, `\\t`, `\\r`, `\\"` and `\\\\` are what they look like; before any other character the stroke stays."""
    return re.sub(r"\\(.)", lambda found: ESCAPES.get(found[1], found[0]), body, flags=re.DOTALL)
