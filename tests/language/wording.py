"""Expressions as text, the way the formatter writes them. Parentheses are those that a person wrote."""

import re

from apps.language import tree as t
from apps.language.types import Type

_PLAIN_NAME = re.compile(r"[^\W\d]\w*")


def expression_text(node: t.Expr | t.ColumnsMap) -> str:  # noqa: C901  one arm a node
    """An expression on one line. Chains of operators may be long, so their left side is walked, not recursed."""
    match node:
        case t.Binary():
            return _chain(node)
        case t.Unary():
            return ("not " if node.op == "not" else "-") + expression_text(node.operand)
        case t.Between():
            word = "not between" if node.negated else "between"
            return f"{expression_text(node.value)} {word} {expression_text(node.low)} and {expression_text(node.high)}"
        case t.In():
            return f"{expression_text(node.value)} {'not in' if node.negated else 'in'} [{_list(node.items)}]"
        case t.IsNull():
            return f"{expression_text(node.value)} is {'not ' if node.negated else ''}null"
        case t.Call():
            return f"{node.name}({_list(node.args)})"
        case t.Case():
            branches = [f"{expression_text(test)} => {expression_text(value)}" for test, value in node.branches]
            if node.otherwise is not None:
                branches.append(f"else => {expression_text(node.otherwise)}")
            return f"case {{ {', '.join(branches)} }}"
        case t.Group():
            return f"({expression_text(node.inner)})"
        case t.Field():
            return f"{expression_text(node.base)}.{_name(node.name, node.quoted)}"
        case t.ListLiteral():
            return f"[{_list(node.items)}]"
        case t.StructLiteral():
            fields = ", ".join(f"{name}: {expression_text(value)}" for name, value in node.fields)
            return f"{{ {fields} }}" if fields else "{}"
        case t.ColumnsMap():
            pairs = ", ".join(f"{_name(name)}: {type_text(type_)}" for name, type_, _ in node.columns)
            return f"{{ {pairs} }}" if pairs else "{}"
        case _:
            return _atom(node)


def _chain(node: t.Binary) -> str:
    parts: list[str] = []
    left: t.Expr = node
    while isinstance(left, t.Binary):
        parts.append(f" {left.op} {expression_text(left.right)}")
        left = left.left
    return expression_text(left) + "".join(reversed(parts))


def _atom(node: t.Expr) -> str:
    match node:
        case t.Null():
            return "null"
        case t.Boolean():
            return "true" if node.value else "false"
        case t.Number() | t.Moment():
            return node.text
        case t.Text():
            return quote(node.value)
        case t.Duration():
            return f"{node.amount}{node.unit}"
        case t.ParamRef():
            return f"@{node.name}"
        case t.Name():
            return name_text(node)
    raise AssertionError(node)


def _list(items: tuple[t.Expr, ...]) -> str:
    return ", ".join(expression_text(each) for each in items)


def name_text(node: t.Name) -> str:
    return _name(node.name, node.quoted)


def _name(name: str, quoted: bool = False) -> str:
    return f"`{name}`" if quoted or not _PLAIN_NAME.fullmatch(name) else name


def type_text(type_: Type) -> str:
    return str(type_)


def quote(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + escaped.replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r") + '"'


def cell_text(cell: t.Cell) -> str:
    if cell.text is None:
        return ""
    return (quote(cell.text) if cell.quoted else cell.text).replace("|", "\\|")


def assign_text(node: t.Assign) -> str:
    return (f"{_name(node.name)} = " if node.name is not None else "") + expression_text(node.value)


def rule_text(node: t.Rule) -> str:
    text = expression_text(node.test)
    if node.severity is not None:
        text += f" {node.severity}"
    return text + (f" max {node.max_percent}%" if node.max_percent is not None else "")
