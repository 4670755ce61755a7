"""A flow's graph as a page shows it: lying, and standing for a narrow screen."""

from collections.abc import Mapping
from dataclasses import dataclass

from django.utils.safestring import SafeString, mark_safe

from apps.language import graph
from apps.language.graph import Graph, Look
from apps.language.parser import parse


@dataclass(frozen=True, slots=True)
class Picture:
    """Two SVG fragments of one graph; `wide` is empty where only the standing one is wanted."""

    wide: SafeString
    tall: SafeString


def picture(
    drawn: Graph,
    *,
    looks: Mapping[str, Look] | None = None,
    links: Mapping[str, str] | None = None,
    only_tall: bool = False,
) -> Picture:
    """Both pictures, without a style sheet of their own: the page brings the colours."""
    wide = "" if only_tall else graph.to_svg(drawn, looks=looks, links=links, standalone=False)
    tall = graph.to_svg(drawn, direction="down", looks=looks, links=links, standalone=False)
    # to_svg escapes every word of the flow; its tests hold it to that with hostile names.
    return Picture(mark_safe(wide), mark_safe(tall))  # noqa: S308


def graph_of(text: str) -> Graph:
    """The graph of a text, as far as it can be read; an empty one where nothing of it can."""
    tree = parse(text).tree
    return graph.build(tree) if tree else Graph((), ())


def links_to(drawn: Graph, address: str) -> dict[str, str]:
    """Each node's place in the editor: `address` with its line."""
    return {node.id: f"{address}?line={node.line}" for node in drawn.nodes if node.line}
