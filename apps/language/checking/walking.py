"""Walks over trees and plans that do not recurse."""

from collections.abc import Iterator

from apps.language import plan as p
from apps.language import tree as t


def parts(expr: t.Expr) -> tuple[t.Expr, ...]:  # one line a kind of node
    """The expressions directly inside one."""
    match expr:
        case t.Group(inner=inner):
            return (inner,)
        case t.Binary(left=left, right=right):
            return (left, right)
        case t.Unary(operand=value) | t.IsNull(value=value) | t.Field(base=value):
            return (value,)
        case t.Call(args=args):
            return args
        case t.Between(value=value, low=low, high=high):
            return (value, low, high)
        case t.In(value=value, items=items):
            return (value, *items)
        case t.Case(branches=branches, otherwise=otherwise):
            chosen = tuple(part for branch in branches for part in branch)
            return chosen if otherwise is None else (*chosen, otherwise)
        case t.ListLiteral(items=items):
            return items
        case t.StructLiteral(fields=fields):
            return tuple(value for _, value in fields)
        case _:
            return ()


def walk(expr: t.Expr) -> Iterator[t.Expr]:
    """The expression and all inside it, from left to right."""
    pending = [expr]
    while pending:
        node = pending.pop()
        yield node
        pending.extend(reversed(parts(node)))


def walk_plan(expr: p.Expression) -> Iterator[p.Expression]:
    """The expression and all inside it, each object once."""
    pending, seen = [expr], {id(expr)}
    while pending:
        node = pending.pop()
        yield node
        if isinstance(node, p.Apply | p.Aggregate | p.WindowCall):
            for arg in reversed(node.args):
                if id(arg) not in seen:
                    seen.add(id(arg))
                    pending.append(arg)


def columns_in(expr: p.Expression, side: int = 0) -> set[str]:
    """The names of the columns that an expression reads."""
    return {node.name for node in walk_plan(expr) if isinstance(node, p.ColumnRef) and node.side == side}


def params_in(expr: p.Expression) -> set[str]:
    return {node.name for node in walk_plan(expr) if isinstance(node, p.ParamValue)}
