"""The graph of a flow: sources, steps and sinks, laid out in layers and written as SVG, dot, Mermaid or JSON.

`build` reads a checked plan or a (partial) tree, so a text that does not check yet still has a picture. Everything
is deterministic: the same flow gives the same bytes.
"""

import itertools
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

from apps.language import plan as p
from apps.language import tree as t
from apps.language.graph_layout import Box, Direction, Layout
from apps.language.graph_layout import layout as place_nodes

Kind = Literal["source", "step", "sink"]


@dataclass(frozen=True, slots=True)
class Node:
    """`id` is `source:NAME`, `step:NAME`, `sink:STEP` (`sink:STEP:2` for its second sink). `label` is what is drawn.

    `name` is the source's or step's name, for a sink its step's. `line` counts from 1, 0 where it is not known.
    """

    id: str
    name: str
    kind: Kind
    detail: str = ""
    label: str = ""
    line: int = 0


@dataclass(frozen=True, slots=True)
class Graph:
    """Edges are pairs of node ids, in the direction in which rows go."""

    nodes: tuple[Node, ...]
    edges: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Look:
    """How a node is drawn in a run: its state, and the words at its right (`12s`) and below (`1,204 rows`)."""

    state: str = "idle"
    time: str = ""
    note: str = ""


# --- from plan or tree ---------------------------------------------------------------------

_PLAN_WORDS: dict[type, str] = {
    p.Filter: "where", p.Project: "select", p.GroupTo: "group", p.WindowTo: "window", p.SortBy: "sort",
    p.TakeRows: "take", p.DistinctRows: "distinct", p.DedupeRows: "dedupe", p.UnionWith: "union",
}  # fmt: skip
_TREE_WORDS: dict[type, str] = {t.CastColumns: "cast", t.GroupBy: "group", t.WindowBy: "window"}


def build(flow: p.Plan | t.FlowFile) -> Graph:
    """The graph of a plan or of a tree. A name that nothing defines has no edge; a name given twice is one node."""
    return _from_plan(flow) if isinstance(flow, p.Plan) else _from_tree(flow)


def _from_plan(plan: p.Plan) -> Graph:
    checks = Counter(check.step for check in plan.checks)
    sources = [(s.name, f"{s.kind} {s.path}".strip(), s.span.line) for s in plan.sources]
    steps = [
        (s.name, _step_detail([_plan_word(o) for o in s.operations], checks[s.name]), s.span.line, plan.inputs_of(s))
        for s in plan.steps
    ]
    sinks = [(s.step, s.path, f"{s.kind} · {s.mode}", s.span.line) for s in plan.sinks]
    return _assemble(sources, steps, sinks)


def _from_tree(flow: t.FlowFile) -> Graph:
    found: dict[type, list[t.Statement]] = defaultdict(list)
    for statement in flow.statements:
        found[type(statement)].append(statement)
    checks: Counter[str] = Counter()
    for statement in found[t.Expect]:
        assert isinstance(statement, t.Expect)
        checks[statement.step.name] += len(statement.rules)
    sources, steps, sinks = [], [], []
    for item in flow.statements:
        match item:
            case t.Source(name=name, endpoint=endpoint):
                sources.append((name, f"{endpoint.kind} {_first_argument(endpoint)}".strip(), item.span.line))
            case t.Step(name=name, operations=operations):
                detail = _step_detail([_tree_word(o) for o in operations], checks[name])
                steps.append((name, detail, item.span.line, _tree_inputs(item)))
            case t.Sink(step=step, endpoint=endpoint):
                sinks.append((step.name, _first_argument(endpoint) or endpoint.kind, endpoint.kind, item.span.line))
    return _assemble(sources, steps, sinks)


def _assemble(
    sources: Sequence[tuple[str, str, int]],
    steps: Sequence[tuple[str, str, int, tuple[str, ...]]],
    sinks: Sequence[tuple[str, str, str, int]],
) -> Graph:
    nodes: dict[str, Node] = {}
    edges: dict[tuple[str, str], None] = {}
    for name, detail, line in sources:
        nodes.setdefault(f"source:{name}", Node(f"source:{name}", name, "source", detail, name, line))
    for name, detail, line, _ in steps:
        nodes.setdefault(f"step:{name}", Node(f"step:{name}", name, "step", detail, name, line))

    def origin(name: str) -> str | None:
        return next((id_ for id_ in (f"step:{name}", f"source:{name}") if id_ in nodes), None)

    for name, _, _, inputs in steps:
        for read in inputs:
            if (start := origin(read)) and start != f"step:{name}":
                edges[start, f"step:{name}"] = None
    seen: Counter[str] = Counter()
    for step, label, detail, line in sinks:
        seen[step] += 1
        id_ = f"sink:{step}" if seen[step] == 1 else f"sink:{step}:{seen[step]}"
        nodes[id_] = Node(id_, step, "sink", detail, label, line)
        if start := origin(step):
            edges[start, id_] = None
    return Graph(tuple(nodes.values()), tuple(edges))


def _plan_word(operation: p.Operation) -> str:
    if isinstance(operation, p.JoinTo):
        return "lookup" if operation.kind == "lookup" else f"{operation.kind} join"
    return _PLAN_WORDS[type(operation)]


def _tree_word(operation: t.Operation) -> str:
    if isinstance(operation, t.Join):
        return "lookup" if operation.kind == "lookup" else f"{operation.kind} join"
    return _TREE_WORDS.get(type(operation), type(operation).__name__.lower())


def _step_detail(words: Iterable[str], checks: int) -> str:
    said = list(dict.fromkeys(words))
    if checks:
        said.append(f"{checks} check{'s' if checks > 1 else ''}")
    return " · ".join(said)


def _tree_inputs(step: t.Step) -> tuple[str, ...]:
    names = [step.input.name]
    for operation in step.operations:
        match operation:
            case t.Join(right=right):
                names.append(right.name)
            case t.Union(other=other):
                names.append(other.name)
    return tuple(dict.fromkeys(names))


def _first_argument(endpoint: t.Endpoint) -> str:
    match endpoint.args[:1]:
        case (t.Text(value=value),):
            return value
        case (t.Name(name=name),):
            return name
        case (t.Field(base=t.Name(name=base), name=name),):
            return f"{base}.{name}"
    return ""


# --- layout --------------------------------------------------------------------------------


def layout(graph: Graph, direction: Direction = "right") -> Layout:
    """Where each node stands and how each edge runs. Cycles (in a tree that does not check) are drawn, not refused."""
    return place_nodes([node.id for node in graph.nodes], graph.edges, direction)


# --- SVG -----------------------------------------------------------------------------------

_CHARACTER = {"label": 7.9, "detail": 5.9}  # px, a generous mean of the fonts that a page uses
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_STYLE = """
.flow-graph{font-family:var(--graph-font,Inter,system-ui,sans-serif);background:var(--graph-back,transparent)}
.node-box{fill:var(--graph-node,#fff);stroke:var(--graph-line,#cbd5e1)}
.node-bar,.node-dot{fill:var(--graph-idle,#94a3b8)}
.node-label{font-size:13px;font-weight:600;fill:var(--graph-text,#0f172a)}
.node-detail,.node-time{font-size:11px;fill:var(--graph-quiet,#64748b)}
.edge{fill:none;stroke:var(--graph-edge,#94a3b8);stroke-width:1.5}
[data-state=running] .node-bar,[data-state=running] .node-dot{fill:var(--graph-running,#2563eb)}
[data-state=running] .node-box{stroke:var(--graph-running,#2563eb);stroke-width:2}
[data-state=succeeded] .node-bar,[data-state=succeeded] .node-dot{fill:var(--graph-succeeded,#16a34a)}
[data-state=failed] .node-bar,[data-state=failed] .node-dot{fill:var(--graph-failed,#dc2626)}
[data-state=failed] .node-box{stroke:var(--graph-failed,#dc2626);stroke-width:2}
.edge[data-state=running]{stroke:var(--graph-running,#2563eb);stroke-dasharray:5 4}
.edge[data-state=succeeded]{stroke:var(--graph-succeeded,#16a34a)}
.edge[data-state=failed]{stroke:var(--graph-failed,#dc2626)}
"""


def to_svg(
    graph: Graph,
    *,
    direction: Direction = "right",
    looks: Mapping[str, Look] | None = None,
    links: Mapping[str, str] | None = None,
    standalone: bool = True,
) -> str:
    """An SVG document. `looks` and `links` (addresses) are by node id; `standalone` brings its own style sheet.

    Colours are CSS variables (`--graph-…`) with fallbacks. Every word of the flow is escaped.
    """
    looks, links = looks or {}, links or {}
    place = layout(graph, direction)
    size = f'viewBox="0 0 {_number(place.width)} {_number(place.height)}"'
    size += f' width="{_number(place.width)}" height="{_number(place.height)}"'
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" class="flow-graph flow-graph-{direction}" {size} role="img">']
    parts.append(f"<title>{_summary(graph)}</title>")
    if standalone:
        parts.append(f"<style>{_STYLE}</style>")
    states = {node.id: looks.get(node.id, Look()).state for node in graph.nodes}
    for (start, end), points in place.routes.items():
        state = edge_state(states[start], states[end])
        parts.append(
            f'<path class="edge" data-from="{_xml(start)}" data-to="{_xml(end)}" data-state="{_xml(state)}"'
            f' d="{_curve(points, direction)}"/>'
        )
    for node in graph.nodes:
        drawn = _node_svg(node, place.boxes[node.id], looks.get(node.id, Look()))
        link = links.get(node.id)
        parts.append(f'<a href="{_xml(link)}">{drawn}</a>' if link else drawn)
    parts.append("</svg>")
    return "\n".join(parts)


def edge_state(start: str, end: str) -> str:
    """The state of an edge by those of the nodes it joins: rows have gone, are going, or have not begun to."""
    if end in ("running", "failed"):
        return end
    return "succeeded" if start == end == "succeeded" else "idle"


def _node_svg(node: Node, box: Box, look: Look) -> str:
    x, y = box.x, box.y
    room = box.width - 26
    shown = _cut(node.detail, room - 12, "detail")
    full = f"{node.kind} {node.name}: {node.label} {node.detail}" if node.kind == "sink" else f"{node.kind} {node.name}"
    space = room - len(look.time) * _CHARACTER["detail"]
    # Of a path the end says more than the beginning.
    label = _cut(node.label[::-1], space, "label")[::-1] if node.kind == "sink" else _cut(node.label, space, "label")
    return "".join(
        [
            f'<g class="node node-{node.kind}" data-node="{_xml(node.id)}" data-state="{_xml(look.state)}"',
            f' data-line="{node.line}">' if node.line else ">",
            f"<title>{_xml(full)}{_xml(': ' + node.detail if node.kind != 'sink' and node.detail else '')}</title>",
            f'<rect class="node-box" x="{x}" y="{y}" width="{box.width}" height="{box.height}" rx="6"/>',
            f'<rect class="node-bar" x="{x}" y="{y}" width="4" height="{box.height}" rx="2"/>',
            f'<text class="node-label" x="{x + 14}" y="{y + 20}">{_xml(label)}</text>',
            f'<text class="node-detail" x="{x + 14}" y="{y + 37}" data-shown="{_xml(shown)}">',
            f"{_xml(_cut(look.note, room - 12, 'detail') if look.note else shown)}</text>",
            f'<text class="node-time" x="{x + box.width - 10}" y="{y + 19}" text-anchor="end">{_xml(look.time)}</text>',
            f'<circle class="node-dot" cx="{x + box.width - 13}" cy="{y + 34}" r="4"/></g>',
        ]
    )


def _curve(points: Sequence[tuple[float, float]], direction: Direction) -> str:
    path = f"M{_number(points[0][0])} {_number(points[0][1])}"
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        first, second = ((x0 + x1) / 2, y0), ((x0 + x1) / 2, y1)
        if direction == "down":
            first, second = (x0, (y0 + y1) / 2), (x1, (y0 + y1) / 2)
        path += "C" + " ".join(_number(v) for pair in (first, second, (x1, y1)) for v in pair)
    return path


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _cut(text: str, room: float, font: str) -> str:
    most = max(1, int(room / _CHARACTER[font]))
    return text if len(text) <= most else text[: most - 1] + "…"


def _xml(text: str) -> str:
    return escape(_NOT_XML.sub("\ufffd", text))


def _summary(graph: Graph) -> str:
    counts = Counter(node.kind for node in graph.nodes)
    kinds: tuple[Kind, ...] = ("source", "step", "sink")
    return "Graph: " + ", ".join(f"{counts[kind]} {kind}{'' if counts[kind] == 1 else 's'}" for kind in kinds)


# --- other formats -------------------------------------------------------------------------


def to_dot(graph: Graph) -> str:
    """Graphviz."""
    shapes = {"source": "cylinder", "step": "box", "sink": "folder"}
    lines = ["digraph flow {", "  rankdir=LR;", "  node [fontname=Helvetica];"]
    for node in graph.nodes:
        label = f"{node.label}\n{node.detail}".strip()
        lines.append(f"  {_dot(node.id)} [shape={shapes[node.kind]}, label={_dot(label)}];")
    lines += [f"  {_dot(start)} -> {_dot(end)};" for start, end in graph.edges]
    return "\n".join([*lines, "}", ""])


def _dot(text: str) -> str:
    quoted = text.replace("\x00", "\ufffd").replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{quoted}"'


def to_mermaid(graph: Graph) -> str:
    """Mermaid; ids are numbers, since a name may be anything."""
    shapes = {"source": ("[(", ")]"), "step": ("[", "]"), "sink": ("[/", "/]")}
    number = {node.id: f"n{index}" for index, node in enumerate(graph.nodes)}
    lines = ["flowchart LR"]
    for node in graph.nodes:
        opening, closing = shapes[node.kind]
        label = _mermaid(node.label) + (f"<br/>{_mermaid(node.detail)}" if node.detail else "")
        lines.append(f'  {number[node.id]}{opening}"{label}"{closing}')
    lines += [f"  {number[start]} --> {number[end]}" for start, end in graph.edges]
    return "\n".join([*lines, ""])


def _mermaid(text: str) -> str:
    """Everything but plain words as Mermaid's number entities, so that no text can end its label."""
    return re.sub(r"[^\w .,:·*/-]", lambda found: f"#{ord(found[0])};", text)


def to_json(graph: Graph) -> str:
    nodes = [{"id": n.id, "name": n.name, "kind": n.kind, "label": n.label, "detail": n.detail, "line": n.line}
             for n in graph.nodes]  # fmt: skip
    edges = [{"from": start, "to": end} for start, end in graph.edges]
    return json.dumps({"version": 1, "nodes": nodes, "edges": edges}, ensure_ascii=False, indent=2) + "\n"
