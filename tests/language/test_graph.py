"""The graph of a flow: its nodes, its layout without overlap, and its formats, also for hostile names."""

import itertools
import json
import time
import xml.etree.ElementTree as ET

import pytest

from apps.language import graph, plan, tree, types
from apps.language.graph_layout import layout as place

SVG = "{http://www.w3.org/2000/svg}"


def name(text):
    return tree.Name(text)


def source(text, path="in/x.csv"):
    return tree.Source(text, tree.Endpoint("csv", (tree.Text(path),)), ())


def step(text, reads, *operations):
    return tree.Step(text, name(reads), operations)


def join(right, kind="left"):
    return tree.Join(kind, name(right), None, None, ())


def sink(text, path="out/x.csv"):
    return tree.Sink(name(text), tree.Endpoint("csv", (tree.Text(path),)), ())


def flow(*statements):
    return tree.FlowFile(tree.FlowHeader("f", ()), statements)


ORDERS = flow(
    source("orders", "in/orders_*.csv"),
    source("customers"),
    step("paid", "orders", tree.Where(tree.Boolean(True)), tree.Derive(())),
    step("enriched", "paid", join("customers", "lookup")),
    step("by_segment", "enriched", tree.GroupBy((), ())),
    tree.Expect(name("paid"), (tree.Rule(tree.Boolean(True), None, None),) * 2),
    sink("enriched", "out/orders.csv"),
    sink("enriched", "out/again.csv"),
    sink("by_segment"),
)


def ids(built):
    return [node.id for node in built.nodes]


def test_a_tree_becomes_sources_steps_and_sinks_with_their_edges():
    built = graph.build(ORDERS)
    assert ids(built) == [
        "source:orders", "source:customers", "step:paid", "step:enriched", "step:by_segment",
        "sink:enriched", "sink:enriched:2", "sink:by_segment",
    ]  # fmt: skip
    assert ("source:customers", "step:enriched") in built.edges
    assert ("step:enriched", "sink:enriched:2") in built.edges
    assert len(built.edges) == 7


def test_details_say_what_a_node_does():
    details = {node.id: node.detail for node in graph.build(ORDERS).nodes}
    assert details["source:orders"] == "csv in/orders_*.csv"
    assert details["step:paid"] == "where · derive · 2 checks"
    assert details["step:enriched"] == "lookup"


def test_a_plan_gives_the_same_edges_as_its_tree():
    columns = (plan.Column("a", types.INT),)
    steps = (
        plan.StepTable("s", "o", (plan.SortBy(()), plan.UnionWith("c", ())), (columns,) * 2, columns, False),
        plan.StepTable("t", "s", (plan.JoinTo("lookup", "c", None, ()),), (columns,), columns, False),
    )
    sources = tuple(plan.SourceTable(n, "csv", f"in/{n}.csv", columns, True) for n in "oc")
    checked = plan.Plan(
        "f", plan.Settings(), (), sources, steps, (), (plan.SinkTable("t", "csv", "out", "append"),), ()
    )
    written = flow(
        source("o"), source("c"), step("s", "o", tree.Sort(()), tree.Union(name("c"))),
        step("t", "s", join("c", "lookup")), sink("t"),
    )  # fmt: skip
    assert graph.build(checked).edges == graph.build(written).edges
    assert [n.detail for n in graph.build(checked).nodes] == [
        "csv in/o.csv",
        "csv in/c.csv",
        "sort · union",
        "lookup",
        "csv · append",
    ]


def test_a_name_that_nothing_defines_has_no_edge_and_a_doubled_name_is_one_node():
    built = graph.build(flow(source("a"), step("s", "nothing", join("a")), step("s", "a"), sink("gone")))
    assert ids(built) == ["source:a", "step:s", "sink:gone"]
    assert built.edges == (("source:a", "step:s"),)


def test_an_empty_flow_has_an_empty_picture():
    assert ET.fromstring(graph.to_svg(graph.build(flow()))).tag == SVG + "svg"


def test_nodes_do_not_overlap_and_stand_inside_the_picture():
    wide = flow(source("a"), *[step(f"s{i}", f"s{i // 3}" if i else "a") for i in range(60)])
    for direction in ("right", "down"):
        picture = graph.layout(graph.build(wide), direction)
        boxes = list(picture.boxes.values())
        for one, other in itertools.combinations(boxes, 2):
            apart_x = abs(one.x - other.x) >= one.width
            apart_y = abs(one.y - other.y) >= one.height
            assert apart_x or apart_y
        assert all(b.x >= 0 and b.y >= 0 and b.x + b.width <= picture.width for b in boxes)
        assert all(b.y + b.height <= picture.height for b in boxes)


def test_rows_go_from_left_to_right_and_in_the_tall_picture_downwards():
    built = graph.build(ORDERS)
    wide, tall = graph.layout(built, "right"), graph.layout(built, "down")
    for start, end in built.edges:
        assert wide.boxes[start].x < wide.boxes[end].x
        assert tall.boxes[start].y < tall.boxes[end].y


def test_a_source_stands_just_before_what_reads_it():
    boxes = graph.layout(graph.build(ORDERS)).boxes
    assert boxes["source:customers"].x == boxes["step:paid"].x


def test_crossings_are_undone():
    """Two parallel chains written crosswise come out without a crossing."""
    nodes = ["a", "b", "x", "y"]
    boxes = place(nodes, [("a", "y"), ("b", "x")]).boxes
    assert (boxes["a"].y < boxes["b"].y) == (boxes["y"].y < boxes["x"].y)


def test_an_edge_over_several_layers_goes_round_the_nodes_between():
    built = graph.build(flow(source("a"), step("b", "a"), step("c", "b"), step("d", "c", join("a")), sink("d")))
    picture = graph.layout(built)
    crossed = picture.boxes["step:b"], picture.boxes["step:c"]
    for x, y in picture.routes["source:a", "step:d"][1:-1]:
        assert not any(b.x <= x <= b.x + b.width and b.y < y < b.y + b.height for b in crossed)


def test_a_cycle_is_drawn_not_refused():
    built = graph.build(flow(step("a", "b"), step("b", "a"), step("c", "c")))
    assert set(built.edges) == {("step:b", "step:a"), ("step:a", "step:b")}
    assert len(graph.layout(built).routes) == 2


def test_the_same_flow_gives_the_same_bytes():
    assert graph.to_svg(graph.build(ORDERS)) == graph.to_svg(graph.build(ORDERS))


@pytest.mark.parametrize("size", [150, 1000])
def test_a_large_graph_is_laid_out_in_good_time(size):
    steps = [step(f"s{i}", f"s{i - 1}" if i % 7 else "a", join(f"s{i // 2}")) for i in range(1, size)]
    built = graph.build(flow(source("a"), step("s0", "a"), *steps))
    started = time.perf_counter()
    graph.to_svg(built)
    assert time.perf_counter() - started < size / 100  # some 30 ms and 600 ms when the machine is idle


def test_a_chain_of_many_steps_needs_no_deep_stack():
    built = graph.build(
        flow(source("a"), step("s0", "a"), *[step(f"s{i}", f"s{i - 1}", join("a")) for i in range(1, 3000)])
    )
    assert len(graph.layout(built).boxes) == 3001


HOSTILE = [
    "<script>alert(1)</script>",
    '"/><x y="',
    "a\x00b\x1b[31m",
    "\ud800",
    "]]>",
    "&amp;",
    "x" * 500,
    "ü→🙂",
    ']"; evil[',
    "a\nb",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_name_stays_text_in_every_format(text):
    built = graph.build(flow(source(text, text), step("s", text), sink("s", text)))
    root = ET.fromstring(
        graph.to_svg(built, looks={"step:s": graph.Look(text, text, text)}, links={"step:s": text}).encode()
    )
    kinds = {element.tag.removeprefix(SVG) for element in root.iter()}
    assert kinds <= {"svg", "title", "style", "path", "g", "rect", "text", "circle", "a"}
    assert len(root.findall(f".//{SVG}g")) == 3
    assert json.loads(graph.to_json(built))["nodes"][0]["name"] == text
    assert len(graph.to_mermaid(built).splitlines()) == 6
    assert graph.to_dot(built).count(" -> ") - text.count(" -> ") == 2


def test_looks_and_links_are_drawn():
    looks = {"step:paid": graph.Look("running", "12s", "1,204 rows"), "source:orders": graph.Look("succeeded")}
    svg = graph.to_svg(graph.build(ORDERS), looks=looks, links={"step:paid": "/x/?a=1&b=2"}, standalone=False)
    root = ET.fromstring(svg)
    node = root.find(f".//{SVG}g[@data-node='step:paid']")
    assert node is not None
    assert node.get("data-state") == "running"
    assert "1,204 rows" in "".join(node.itertext())
    assert root.find(f".//{SVG}path[@data-to='step:paid']").get("data-state") == "running"
    assert root.find(f".//{SVG}a").get("href") == "/x/?a=1&b=2"
    assert root.find(f"{SVG}style") is None


@pytest.mark.parametrize(
    ("start", "end", "edge"),
    [
        ("succeeded", "succeeded", "succeeded"),
        ("succeeded", "running", "running"),
        ("running", "idle", "idle"),
        ("succeeded", "failed", "failed"),
        ("idle", "idle", "idle"),
    ],
)
def test_an_edge_has_the_state_of_the_rows_on_it(start, end, edge):
    assert graph.edge_state(start, end) == edge


def test_json_names_nodes_and_edges():
    read = json.loads(graph.to_json(graph.build(ORDERS)))
    assert read["version"] == 1
    assert {"from": "step:paid", "to": "step:enriched"} in read["edges"]
    assert read["nodes"][0] == {
        "id": "source:orders", "name": "orders", "kind": "source", "label": "orders", "detail": "csv in/orders_*.csv", "line": 1,
    }  # fmt: skip
