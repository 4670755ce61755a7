"""From which columns of the sources each column of each step is made."""

from collections.abc import Iterable, Mapping

from apps.language import plan as p
from apps.language.checking.walking import walk_plan

Origins = frozenset[tuple[str, str]]  # (source, column)
Traces = dict[str, Origins]  # column → what it is made of


def columns(plan: p.Plan) -> dict[str, dict[str, Origins]]:
    """For each step its columns, and for each of them the source columns whose values go into it.

    What only decides which rows there are (`where`, keys of a join, a sort) is not counted, nor is `count()`.
    """
    known: dict[str, Traces] = {
        source.name: {column.name: frozenset({(source.name, column.name)}) for column in source.columns}
        for source in plan.sources
    }
    for step in plan.steps:
        traces = known[step.input]
        for operation in step.operations:
            traces = _after(operation, traces, known)
        known[step.name] = traces
    return {step.name: known[step.name] for step in plan.steps}


def _after(operation: p.Operation, traces: Traces, known: Mapping[str, Traces]) -> Traces:
    match operation:
        case p.Project(columns=written):
            return _made(written, traces)
        case p.JoinTo(right=right, bring=bring):
            return traces | {name: known[right][column.name] for name, column in bring}
        case p.GroupTo(keys=keys, columns=written):
            by_key = _made(keys, traces)
            return by_key | {name: _of_group(value, traces, by_key) for name, value in written}
        case p.WindowTo(columns=written):
            return traces | _made(written, traces)
        case p.UnionWith(other=other, columns=written):
            return {name: _origins([above], traces) | _origins([below], known[other]) for name, above, below in written}
        case _:
            return traces


def _made(written: Iterable[tuple[str, p.Expression]], traces: Traces) -> Traces:
    return {name: _origins([value], traces) for name, value in written}


def _of_group(value: p.Expression, traces: Traces, by_key: Traces) -> Origins:
    """Inside an aggregate a name is a column of the input, outside it is a key."""
    inside = [arg for node in walk_plan(value) if isinstance(node, p.Aggregate) for arg in node.args]
    in_aggregates = {id(node) for arg in inside for node in walk_plan(arg)}
    keys = [node for node in walk_plan(value) if isinstance(node, p.ColumnRef) and id(node) not in in_aggregates]
    return _origins(inside, traces) | _origins(keys, by_key)


def _origins(values: Iterable[p.Expression], traces: Traces) -> Origins:
    found: set[tuple[str, str]] = set()
    for value in values:
        for node in walk_plan(value):
            if isinstance(node, p.ColumnRef):
                found |= traces[node.name]
    return frozenset(found)
