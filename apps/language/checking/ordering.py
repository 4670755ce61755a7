"""An order in which each name comes after those that it depends on, and the circles in which there is none."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass
class Order:
    """`names` holds all names. `cycles` are the circles, each from the name that is written first."""

    names: list[str] = field(default_factory=list)
    cycles: list[tuple[str, ...]] = field(default_factory=list)

    @property
    def in_cycles(self) -> set[str]:
        return {name for cycle in self.cycles for name in cycle}


def in_order(needs: Mapping[str, Sequence[str]]) -> Order:
    """Orders names by what they need, else as they are written. Does not recurse: a thousand steps may be one chain."""
    order, done = Order(), set[str]()
    for start in needs:
        if start in done:
            continue
        path: list[tuple[str, Iterator[str]]] = [(start, iter(needs[start]))]
        on_path = {start}
        while path:
            name, rest = path[-1]
            following = next(rest, None)
            if following is None:
                path.pop()
                on_path.discard(name)
                done.add(name)
                order.names.append(name)
            elif following in on_path:
                names = [each for each, _ in path]
                order.cycles.append(_from_first(names[names.index(following) :], needs))
            elif following not in done:
                path.append((following, iter(needs[following])))
                on_path.add(following)
    return order


def _from_first(cycle: list[str], needs: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    written = list(needs)
    first = min(range(len(cycle)), key=lambda position: written.index(cycle[position]))
    return tuple(cycle[first:] + cycle[:first])
