"""Which columns are read: from what a step must give, back through its operations, to what it needs of its inputs."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from apps.language.plan import (
    Aggregate,
    Apply,
    ColumnRef,
    DedupeRows,
    DistinctRows,
    Expression,
    Filter,
    GroupTo,
    JoinTo,
    Operation,
    OrderKey,
    Project,
    Schema,
    SortBy,
    StepTable,
    TakeRows,
    UnionWith,
    WindowCall,
    WindowTo,
)

Names = frozenset[str]


@dataclass(frozen=True, slots=True)
class Needs:
    """`after[i]` are the columns wanted of operation i; `inputs` what is wanted of each source or step that it reads."""

    after: tuple[Names, ...]
    of_input: Names
    inputs: tuple[tuple[str, Names], ...]


def names_in(expressions: Iterable[Expression | None], side: int = 0) -> Names:
    """The columns of one input that the expressions read."""
    parts = parts_of(item for item in expressions if item is not None)
    return frozenset(part.name for part in parts if isinstance(part, ColumnRef) and part.side == side)


def expressions_of(operation: Operation) -> list[Expression]:
    """Everything that an operation computes."""
    match operation:
        case Filter(test=test):
            return [test]
        case Project(columns=columns):
            return [value for _, value in columns]
        case JoinTo(test=test):
            return [] if test is None else [test]
        case GroupTo(keys=keys, columns=columns):
            return [value for _, value in (*keys, *columns)]
        case WindowTo(partition=partition, order=order, columns=columns):
            return [*partition, *_order(order), *(value for _, value in columns)]
        case SortBy(keys=keys):
            return _order(keys)
        case TakeRows(by=by, order=order) | DedupeRows(by=by, order=order):
            return [*by, *_order(order)]
        case UnionWith(columns=columns):
            return [value for _, mine, theirs in columns for value in (mine, theirs)]
        case DistinctRows():
            return []


def parts_of(expressions: Iterable[Expression]) -> Iterator[Expression]:
    """The expressions and all that they are made of."""
    waiting = list(expressions)
    while waiting:
        node = waiting.pop()
        yield node
        match node:
            case Aggregate(args=args, order=order):
                waiting.extend([*args, *_order(order)])
            case Apply(args=args) | WindowCall(args=args):
                waiting.extend(args)


def all_names(schema: Schema) -> Names:
    return frozenset(column.name for column in schema)


def step_needs(step: StepTable, input_schema: Schema, wanted: Names) -> Needs:
    """What the step needs so that it can give the columns `wanted`."""
    after: list[Names] = []
    others: list[tuple[str, Names]] = []
    for position in reversed(range(len(step.operations))):
        after.append(wanted)
        schema = step.schemas[position - 1] if position else input_schema
        wanted, other = _before(step.operations[position], wanted, schema)
        if other is not None:
            others.append(other)
    return Needs(tuple(reversed(after)), wanted, ((step.input, wanted), *reversed(others)))


def _order(keys: Iterable[OrderKey]) -> list[Expression]:
    return [key.value for key in keys]


def _before(operation: Operation, wanted: Names, schema: Schema) -> tuple[Names, tuple[str, Names] | None]:
    """What the operation reads of its input (whose columns are `schema`) and of another table."""
    given = all_names(schema)
    match operation:
        case Filter(test=test):
            return wanted | names_in([test]), None
        case Project(columns=columns):
            return names_in(value for name, value in columns if name in wanted), None
        case GroupTo(keys=keys, columns=columns):
            kept = [value for name, value in columns if name in wanted]
            # A name outside of an aggregate is a key's, and not always a column of the input.
            return names_in([value for _, value in keys] + kept) & given, None
        case WindowTo(partition=partition, order=order, columns=columns):
            kept = [value for name, value in columns if name in wanted]
            added = {name for name, _ in columns}
            return (wanted - added) | names_in([*partition, *_order(order), *kept]), None
        case SortBy(keys=keys):
            return wanted | names_in(_order(keys)), None
        case TakeRows(by=by, order=order) | DedupeRows(by=by, order=order):
            return wanted | names_in([*by, *_order(order)]), None
        case DistinctRows():
            return given, None
        case JoinTo() | UnionWith():
            return _before_second_input(operation, wanted, given)


def _before_second_input(operation: JoinTo | UnionWith, wanted: Names, given: Names) -> tuple[Names, tuple[str, Names]]:
    if isinstance(operation, UnionWith):
        kept = [(mine, theirs) for name, mine, theirs in operation.columns if name in wanted]
        # The other side's columns may be written as side 0 or 1: they are its own in either case.
        theirs = [value for _, value in kept]
        return names_in(value for value, _ in kept), (operation.other, names_in(theirs) | names_in(theirs, 1))
    brought = [value for name, value in operation.bring if name in wanted]
    right = names_in([operation.test, *brought], 1) | names_in(brought)
    return (wanted & given) | names_in([operation.test]), (operation.right, right)
