"""What a statement did, step by step, from DuckDB's profile of it.

Each step of a stage is a materialised CTE; the profile gives the exact number of rows that left it. Not exact is
one thing: where an operator stops its input early (a LIMIT without an order, a join whose other side is empty), the
steps before it have not given all their rows, and their count is unknown rather than wrong.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from apps.engine.counting import entering, rows_out

# Operators that take all of their input before they give anything: nothing behind them can stop what is before them.
_BREAKERS = (
    "GROUP_BY",
    "AGGREGATE",
    "ORDER_BY",
    "TOP_N",
    "WINDOW",
    "DISTINCT",
)
_JOINS = ("HASH_JOIN", "PIECEWISE_MERGE_JOIN", "NESTED_LOOP_JOIN", "BLOCKWISE_NL_JOIN", "IE_JOIN", "CROSS_PRODUCT")


@dataclass(frozen=True, slots=True)
class StepProfile:
    """Rows that left a step, None if they were not all counted, and the processor seconds spent in its operators."""

    rows: int | None
    cpu_seconds: float


@dataclass(frozen=True, slots=True)
class Profile:
    """`steps` by CTE name; `rest` is what follows the last CTE; `scanned` the rows read, by the files' names."""

    steps: dict[str, StepProfile]
    rest: StepProfile
    scanned: dict[str, int | None]
    entering: dict[str, int | None]  # rows that entered the group of a CTE, by its name; of what follows the last: ""


def read(text: str) -> Profile:
    """Parse DuckDB's JSON profile of one statement."""
    tree = json.loads(text)
    roots = tree.get("operator", [])
    nodes = [node for root in roots for node in _walk(root)]
    bodies = {_name(node): node["children"][0] for node in nodes if _is_cte(node)}
    stopped, stopped_scans = _stopped(nodes, bodies)
    steps = {
        name: StepProfile(None if name in stopped else rows_out(body), _own_seconds(body))
        for name, body in bodies.items()
    }
    rest = sum(node["timing"] for node in nodes) - sum(step.cpu_seconds for step in steps.values())
    scanned: dict[str, int | None] = {}
    for node in nodes:
        if name := node["extra_info"].get("Filename(s)"):
            before = scanned.get(name, 0)
            rows = int(node.get("rows_scanned", 0))
            scanned[name] = None if before is None or id(node) in stopped_scans else max(before, rows)
    entered = {name: None if name in stopped else entering(body) for name, body in bodies.items()}
    entered[""] = entering(roots[0]) if roots else None
    return Profile(steps, StepProfile(None, max(0.0, rest)), scanned, entered)


def _walk(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("children", ()):
        yield from _walk(child)


def _is_cte(node: dict[str, Any]) -> bool:
    return node["type"] == "CTE" and bool(node.get("children"))


def _name(node: dict[str, Any]) -> str:
    return str(node["extra_info"].get("CTE Name", ""))


def _own_seconds(body: dict[str, Any]) -> float:
    """Seconds in a CTE's own operators; the CTEs that are defined inside of it have their own account."""
    if _is_cte(body):
        return _own_seconds(body["children"][1]) if len(body["children"]) > 1 else 0.0
    return float(body["timing"]) + sum(_own_seconds(child) for child in body.get("children", ()))


def _stopped(nodes: list[dict[str, Any]], bodies: dict[str, dict[str, Any]]) -> tuple[set[str], set[int]]:
    """Names of CTEs, and ids of file readers, whose rows may not all have been taken."""
    by_index = {node["extra_info"].get("Table Index"): _name(node) for node in nodes if _is_cte(node)}
    pending = [child for node in nodes for child in _cut_short(node)]
    stopped: set[str] = set()
    scans: set[int] = set()
    while pending:
        node = pending.pop()
        if node["type"] == "CTE_SCAN":
            name = by_index.get(node["extra_info"].get("CTE Index"))
            for reached in [name] if name is not None else list(bodies):
                if reached not in stopped:
                    stopped.add(reached)
                    pending.append(bodies[reached])
        elif node["type"] == "TABLE_SCAN":
            scans.add(id(node))
        elif not node["type"].endswith(_BREAKERS) or node["type"].startswith("STREAMING"):
            pending += node.get("children", ())
    return stopped, scans


def _cut_short(node: dict[str, Any]) -> list[dict[str, Any]]:
    """The inputs that this operator may have stopped before their end."""
    children: list[dict[str, Any]] = node.get("children", [])
    if "LIMIT" in node["type"]:
        return children[:1]
    if node["type"].endswith(_JOINS) and len(children) == 2 and children[1]["intermediate_rows"] == 0:
        return children[:1]  # the right side is always taken whole first; if it is empty the left may not be needed
    return []
