"""How the rows of each step of a fused statement are counted, without slowing it down where that can be avoided.

A step that is materialized has its exact count in DuckDB's profile, but all its rows are copied. Two cases need no
copy: a step whose rows its reader only dresses (derive, lookup, window, sort) has as many as the reader; and a step
whose rows go straight into a group has as many as the group's operator takes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from apps.language.plan import (
    DedupeRows,
    DistinctRows,
    GroupTo,
    JoinTo,
    Operation,
    Project,
    SortBy,
    StepTable,
    TakeRows,
    WindowTo,
)


@dataclass(frozen=True, slots=True)
class Count:
    """cte: the step is a CTE of its own. like: it has as many rows as the step `of`. entering: as many as enter the
    group of the step `of`."""

    how: Literal["cte", "like", "entering"]
    of: str = ""


CTE = Count("cte")


def counts_of(steps: Sequence[StepTable]) -> dict[str, Count]:
    """For each step of a statement but the last, each of which is read once, how its rows are counted."""
    readers = {step.input: step for step in steps}
    found: dict[str, Count] = {}
    grouped: set[str] = set()  # steps whose operators stand below a group's, up to it
    for step in reversed(steps[:-1]):
        reader = readers.get(step.name)  # None: it is the right side of a join
        count = CTE if reader is None else _count(step, reader, grouped, is_fused=_is_fused(found, reader))
        if count.how == "entering" or (count.how == "like" and count.of in grouped):
            grouped.add(step.name)
        found[step.name] = count
    return found


def _is_fused(found: Mapping[str, Count], reader: StepTable) -> bool:
    return reader.name in found and found[reader.name] != CTE


def _count(step: StepTable, reader: StepTable, grouped: set[str], *, is_fused: bool) -> Count:
    below_group = reader.name in grouped
    if all(map(_keeps_rows, reader.operations)) and not (below_group and _gathers(step)):
        return Count("like", reader.name)
    if not is_fused and _goes_into_a_group(reader.operations) and not _gathers(step):
        return Count("entering", reader.name)
    return CTE


def _keeps_rows(operation: Operation) -> bool:
    """Whether as many rows come out as go in."""
    return isinstance(operation, Project | WindowTo | SortBy) or (
        isinstance(operation, JoinTo) and operation.kind == "lookup"
    )


def _goes_into_a_group(operations: Sequence[Operation]) -> bool:
    """Whether all rows reach a group, and nothing behind it could make DuckDB filter them before it."""
    position = next((place for place, each in enumerate(operations) if isinstance(each, GroupTo)), None)
    if position is None:
        return False
    group = operations[position]
    assert isinstance(group, GroupTo)
    return (
        bool(group.keys)  # without keys DuckDB may answer from a file's statistics alone
        and all(map(_keeps_rows, operations[:position]))
        and all(isinstance(each, Project | SortBy) for each in operations[position + 1 :])
    )


def _gathers(step: StepTable) -> bool:
    """Whether the step has operators that look like a group's in a profile."""
    return any(isinstance(each, GroupTo | DistinctRows | DedupeRows | TakeRows) for each in step.operations)


def rows_out(node: Mapping[str, Any]) -> int:
    """The rows that left an operator, from its profile. A union has no count of its own."""
    if node["type"] == "UNION":
        return sum(map(rows_out, node["children"]))
    return int(node["intermediate_rows"])


def entering(node: Mapping[str, Any]) -> int | None:
    """From the profile of a step (its CTE's body, or the statement's root): how many rows entered its group.

    None if there is no group on the way down. The lowest counts: DuckDB may make two of one.
    """
    found: int | None = None
    while True:
        children = node.get("children", ())
        if node["type"] == "CTE" and len(children) == 2:
            node = children[1]
            continue
        if len(children) != 1:
            return found
        if "GROUP_BY" in node["type"] or "AGGREGATE" in node["type"]:
            found = rows_out(children[0])
        node = children[0]
