"""The layered layout of a graph: which node stands where, and how each edge runs. Knows nothing of flows.

The usual way: layers by longest path, barycentre sweeps against crossings, then coordinates by least squares under
the order found. All of it is deterministic: the same graph gives the same places.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

Edge = tuple[str, str]
Direction = Literal["right", "down"]

NODE_WIDTH, NODE_HEIGHT = 176.0, 48.0  # px; the text inside is cut to fit
LAYER_GAP = {"right": 56.0, "down": 40.0}  # px between layers: room for the edges to bend
NODE_GAP, BEND_SIZE, MARGIN = 18.0, 6.0, 16.0  # px
_SWEEPS = 6
_MOST_BENDS = 4000  # beyond it long edges run straight: a picture that nobody can read must not cost seconds either


@dataclass(frozen=True, slots=True)
class Box:
    x: float
    y: float
    width: float = NODE_WIDTH
    height: float = NODE_HEIGHT


@dataclass(frozen=True, slots=True)
class Layout:
    """Pixels from the upper left corner. A route's points run from the edge of one box to the edge of the other."""

    width: float
    height: float
    direction: Direction
    boxes: dict[str, Box]
    routes: dict[tuple[str, str], tuple[tuple[float, float], ...]]


# A point of the layered graph: a node's id, or (node, layer), the bend of the node's long edges in that layer.
Point = str | tuple[str, int]


@dataclass(slots=True)
class _Layers:
    """Points by layer in their order, and the short edges between neighbouring layers."""

    order: list[list[Point]]
    before: dict[Point, list[Point]] = field(default_factory=lambda: defaultdict(list))
    after: dict[Point, list[Point]] = field(default_factory=lambda: defaultdict(list))

    def connect(self, start: Point, end: Point) -> None:
        if end not in self.after[start]:
            self.after[start].append(end)
            self.before[end].append(start)


def layout(nodes: Sequence[str], edges: Sequence[Edge], direction: Direction = "right") -> Layout:
    """Where each node stands and how each edge runs. Cycles (in a tree that does not check) are drawn, not refused."""
    if not nodes:
        return Layout(0, 0, direction, {}, {})
    depth, forward = _depths(nodes, edges)
    layers, chains = _layered(nodes, depth, forward)
    _untangle(layers)
    size = NODE_HEIGHT if direction == "right" else NODE_WIDTH
    cross = _coordinates(layers, size)
    return _placed(direction, depth, cross, chains)


def _depths(nodes: Sequence[str], edges: Sequence[Edge]) -> tuple[dict[str, int], dict[Edge, Edge]]:
    """Each node's layer by longest path, and each edge as it is laid out (turned round where it closes a cycle)."""
    waiting = Counter(end for _, end in edges)
    after: dict[str, list[str]] = defaultdict(list)
    for start, end in edges:
        after[start].append(end)
    left = dict.fromkeys(nodes)
    ready = [id_ for id_ in left if not waiting[id_]]
    rank: dict[str, int] = {}
    while left:
        current = ready.pop() if ready else next(iter(left))  # none ready: a cycle, cut it at the first node
        if current not in left:
            continue
        del left[current]
        rank[current] = len(rank)
        for end in after[current]:
            waiting[end] -= 1
            if waiting[end] == 0:
                ready.append(end)
    forward = {(a, b): (a, b) if rank[a] < rank[b] else (b, a) for a, b in edges}
    depth = dict.fromkeys(rank, 0)
    ends = defaultdict(list)
    for a, b in forward.values():
        ends[a].append(b)
    for id_ in rank:
        for end in ends[id_]:
            depth[end] = max(depth[end], depth[id_] + 1)
    fed = {b for _, b in forward.values()}
    for id_ in rank:  # a source stands just before what reads it, not at the far side of a long edge
        if id_ not in fed and ends[id_]:
            depth[id_] = min(depth[end] for end in ends[id_]) - 1
    return depth, forward


def _layered(
    nodes: Sequence[str], depth: dict[str, int], forward: dict[Edge, Edge]
) -> tuple[_Layers, dict[Edge, list[Point]]]:
    """Long edges become chains of bends; those that leave the same node share one chain."""
    layers = _Layers([[] for _ in range(max(depth.values()) + 1)])
    for node in nodes:
        layers.order[depth[node]].append(node)
    bends = sum(depth[b] - depth[a] - 1 for a, b in set(forward.values()))
    chains: dict[Edge, list[Point]] = {}
    for edge, (start, end) in forward.items():
        levels = range(depth[start] + 1, depth[end]) if bends <= _MOST_BENDS else range(0)
        chain: list[Point] = [start]
        for level in levels:
            bend = (start, level)
            if bend not in layers.before:
                layers.order[level].append(bend)
            layers.connect(chain[-1], bend)
            chain.append(bend)
        if levels or depth[end] - depth[start] == 1:
            layers.connect(chain[-1], end)
        chains[edge] = [*chain, end]
    return layers, chains


def _untangle(layers: _Layers) -> None:
    """Order each layer by the mean place of its neighbours, forth and back, and keep the order with fewest crossings."""
    best = [list(layer) for layer in layers.order]
    fewest = _crossings(layers)
    for sweep in range(_SWEEPS * 2):
        if fewest == 0:
            break
        onward = sweep % 2 == 0
        near = layers.before if onward else layers.after
        levels = range(1, len(layers.order)) if onward else range(len(layers.order) - 2, -1, -1)
        for level in levels:
            beside = layers.order[level - 1 if onward else level + 1]
            place = {point: index for index, point in enumerate(beside)}
            own = {point: index for index, point in enumerate(layers.order[level])}
            layers.order[level].sort(key=lambda q: (_mean([place[n] for n in near[q]], own[q]), own[q]))
        if (now := _crossings(layers)) < fewest:
            fewest, best = now, [list(layer) for layer in layers.order]
    layers.order[:] = best


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _crossings(layers: _Layers) -> int:
    total = 0
    for level in range(len(layers.order) - 1):
        place = {point: index for index, point in enumerate(layers.order[level + 1])}
        ends = [e for q in layers.order[level] for e in sorted(place[n] for n in layers.after[q])]
        tree = [0] * (len(place) + 1)  # a Fenwick tree: how many edges so far end at or above a place
        for count, end in enumerate(ends):
            index, below = end + 1, count
            while index:
                below -= tree[index]
                index &= index - 1
            total += below
            index = end + 1
            while index < len(tree):
                tree[index] += 1
                index += index & -index
    return total


def _coordinates(layers: _Layers, size: float) -> dict[Point, float]:
    """The centre of each point across the layers: near its neighbours, in order, without overlap."""
    centre: dict[Point, float] = {}
    for layer in layers.order:
        centre.update(zip(layer, _spread(layer, [0.0] * len(layer), size), strict=True))
    last = len(layers.order) - 1
    for sweep in range(6):
        onward = sweep % 2 == 0
        for level in range(last + 1) if onward else range(last, -1, -1):
            layer = layers.order[level]
            wanted = []
            for point in layer:
                near = layers.before[point] if onward else layers.after[point]
                near = near or layers.after[point] or layers.before[point]
                wanted.append(_mean([centre[n] for n in near], centre[point]))
            centre.update(zip(layer, _spread(layer, wanted, size), strict=True))
    return centre


def _spread(layer: Sequence[Point], wanted: Sequence[float], size: float) -> list[float]:
    """The places nearest to the wanted ones (least squares) that keep the order and the gaps: pool adjacent violators."""
    offsets, offset = [], 0.0
    for index, point in enumerate(layer):
        if index:
            offset += _half(layer[index - 1], size) + NODE_GAP + _half(point, size)
        offsets.append(offset)
    blocks: list[tuple[float, float, int]] = []  # sum of weights times place, weights, points
    for point, goal, shift in zip(layer, wanted, offsets, strict=True):
        weight = 1.0 if isinstance(point, str) else 4.0  # long edges should run straight
        total, weights, count = weight * (goal - shift), weight, 1
        while blocks and blocks[-1][0] / blocks[-1][1] >= total / weights:
            more = blocks.pop()
            total, weights, count = total + more[0], weights + more[1], count + more[2]
        blocks.append((total, weights, count))
    places = [total / weights for total, weights, count in blocks for _ in range(count)]
    return [place + shift for place, shift in zip(places, offsets, strict=True)]


def _half(point: Point, size: float) -> float:
    return (size if isinstance(point, str) else BEND_SIZE) / 2


def _placed(
    direction: Direction,
    depth: dict[str, int],
    cross: dict[Point, float],
    chains: dict[Edge, list[Point]],
) -> Layout:
    right = direction == "right"
    along, across = (NODE_WIDTH, NODE_HEIGHT) if right else (NODE_HEIGHT, NODE_WIDTH)
    stride = along + LAYER_GAP[direction]
    least = min(cross[q] - _half(q, across) for q in cross) - MARGIN
    most = max(cross[q] + _half(q, across) for q in cross) + MARGIN
    boxes = {}
    for node, level in depth.items():
        main, side = MARGIN + level * stride, cross[node] - least - across / 2
        boxes[node] = Box(*(_rounded(main, side) if right else _rounded(side, main)))
    routes = {}
    for edge, chain in chains.items():
        points: list[tuple[float, float]] = []
        for index, point in enumerate(chain):
            level, side = depth[point] if isinstance(point, str) else point[1], cross[point] - least
            main = MARGIN + level * stride
            # A bend is passed straight through its layer; a node is left at its far and entered at its near side.
            mains = [main, main + along] if 0 < index < len(chain) - 1 else [main + along if index == 0 else main]
            points += [_rounded(m, side) if right else _rounded(side, m) for m in mains]
        routes[edge] = tuple(points if chain[0] == edge[0] else reversed(points))
    length = MARGIN * 2 + max(depth.values()) * stride + along
    width, height = _rounded(length, most - least) if right else _rounded(most - least, length)
    return Layout(width, height, direction, boxes, routes)


def _rounded(x: float, y: float) -> tuple[float, float]:
    return round(x, 1), round(y, 1)
