"""Small pieces of sqlglot trees, and what a spelling is."""

from collections.abc import Callable, Sequence

from sqlglot import exp

from apps.language.plan import Aggregate, Apply, Const, WindowCall
from apps.language.types import Type

Node = Apply | Aggregate | WindowCall
Args = Sequence[exp.Expression]
Spelling = Callable[[Node, Args], exp.Expression]  # of a plan's node, its arguments being emitted already


def constant(node: Node, position: int) -> str:
    """The text of an argument that the checker requires to be written out."""
    value = node.args[position]
    assert isinstance(value, Const), f"{node.function}: argument {position + 1} must be constant"
    return str(value.value)


def argument_type(node: Node, position: int) -> Type:
    return node.args[position].type


def call(name: str, *args: exp.Expression) -> exp.Expression:
    """A call written as it is: sqlglot neither renames nor rewrites it."""
    return exp.Anonymous(this=name, expressions=list(args))


def wrap(value: exp.Expression) -> exp.Expression:
    """Parentheses where an operator could read the value otherwise."""
    if isinstance(value, exp.Binary | exp.Unary | exp.Predicate | exp.Case) and not isinstance(value, exp.Paren):
        return exp.Paren(this=value)
    return value


def binary(kind: type[exp.Expression], left: exp.Expression, right: exp.Expression) -> exp.Expression:
    return kind(this=wrap(left), expression=wrap(right))


def when(test: exp.Expression, value: exp.Expression, otherwise: exp.Expression | None = None) -> exp.Expression:
    return exp.Case(ifs=[exp.If(this=test, true=value)], default=otherwise)


def null_if_zero(value: exp.Expression) -> exp.Expression:
    return call("nullif", value, exp.Literal.number(0))


def strict(value: exp.Expression, *args: exp.Expression) -> exp.Expression:
    """`value`, or null when one of the arguments is."""
    tests = [is_null(arg.copy()) for arg in args]
    return when(_any_of(tests), exp.Null(), value)


def _any_of(tests: Sequence[exp.Expression]) -> exp.Expression:
    result = tests[0]
    for test in tests[1:]:
        result = exp.Or(this=result, expression=test)
    return result


def all_of(tests: Sequence[exp.Expression]) -> exp.Expression:
    result = tests[0]
    for test in tests[1:]:
        result = exp.And(this=result, expression=test)
    return result


def count_where(test: exp.Expression) -> exp.Expression:
    """How many rows pass: 0 and not null where there is none, as DuckDB's `count_if` would have it."""
    return exp.Filter(this=exp.Count(this=exp.Star()), expression=exp.Where(this=test))


def is_null(value: exp.Expression) -> exp.Expression:
    return exp.Is(this=wrap(value), expression=exp.Null())


def is_there(value: exp.Expression) -> exp.Expression:
    return exp.Not(this=is_null(value))
