"""How deep a tree may be: whatever walks it after the parser may recurse, and Python's stack is not endless."""

from dataclasses import fields
from functools import cache
from typing import Any

from apps.language import tree as t
from apps.language.diagnostics import Diagnostic

DEEPEST = 200  # nodes in nodes, or brackets in brackets
LONGEST_CHAIN = 2000  # operators in a row: `a + b + …` leans to the left, and walkers loop down that side


def too_deep(statement: Any) -> Diagnostic | None:
    """What is wrong with a statement whose expressions are deeper than DEEPEST or longer than LONGEST_CHAIN."""
    if statement.span.end - statement.span.start < DEEPEST:
        return None  # each level takes a character at least
    waiting: list[tuple[Any, int, int, Any]] = [(statement, 0, 0, statement)]  # node, depth, links, top of its chain
    while waiting:
        node, depth, links, top = waiting.pop()
        if depth > DEEPEST + 4:  # a statement, its operation and its columns are no nesting that a person sees
            message = f"this expression is nested more than {DEEPEST} deep"
            return Diagnostic("E103", message, node.span, "derive a column for an inner part and use it")
        if links > LONGEST_CHAIN:
            message = f"one expression has more than {LONGEST_CHAIN} operators"
            return Diagnostic("E104", message, top.span, "derive columns for parts of it")
        if isinstance(node, t.Binary):
            waiting.append((node.left, depth, links + 1, top))
            waiting.append((node.right, depth + 1, 0, node.right))
        else:
            waiting += ((child, depth + 1, 0, child) for child in _children(node))
    return None


def _children(node: t.Node) -> list[t.Node]:
    found: list[t.Node] = []
    kind: Any = type(node)
    values = [getattr(node, name) for name in _names(kind)]
    while values:
        value = values.pop()
        if isinstance(value, t.Node):
            found.append(value)
        elif isinstance(value, tuple):
            values += value
    return found


@cache
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(each.name for each in fields(kind) if not each.name.endswith("span"))
