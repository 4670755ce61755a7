"""Small pieces of SQL trees, and what a spelling is."""

from collections.abc import Callable, Sequence

from apps.engine.sql import NULL, STAR, Call, Case, IsNull, Number, Operator, Sql
from apps.language.plan import Aggregate, Apply, Const, WindowCall
from apps.language.types import Type

Node = Apply | Aggregate | WindowCall
Args = Sequence[Sql]
Spelling = Callable[[Node, Args], Sql]  # of a plan's node, its arguments being emitted already


def constant(node: Node, position: int) -> str:
    """The text of an argument that the checker requires to be written out."""
    value = node.args[position]
    assert isinstance(value, Const), f"{node.function}: argument {position + 1} must be constant"
    return str(value.value)


def argument_type(node: Node, position: int) -> Type:
    return node.args[position].type


def call(name: str, *args: Sql) -> Call:
    return Call(name, args)


def binary(sign: str, left: Sql, right: Sql) -> Sql:
    return Operator(sign, (left, right))


def when(test: Sql, value: Sql, otherwise: Sql | None = None) -> Sql:
    return Case(((test, value),), otherwise)


def null_if_zero(value: Sql) -> Sql:
    return call("nullif", value, Number(0))


def strict(value: Sql, *args: Sql) -> Sql:
    """`value`, or null when one of the arguments is."""
    tests = tuple(IsNull(arg) for arg in args)
    return when(tests[0] if len(tests) == 1 else Operator("OR", tests), NULL, value)


def all_of(tests: Sequence[Sql]) -> Sql:
    return tests[0] if len(tests) == 1 else Operator("AND", tuple(tests))


def count_rows() -> Call:
    return Call("count", (STAR,))


def count_where(test: Sql) -> Sql:
    """How many rows pass: 0 and not null where there is none, as DuckDB's `count_if` would have it."""
    return Call("count", (STAR,), where=test)


def is_there(value: Sql) -> Sql:
    return IsNull(value, negated=True)


def equal(left: Sql, right: Sql) -> Sql:
    return binary("=", left, right)
