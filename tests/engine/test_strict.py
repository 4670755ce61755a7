"""Values of files are read as they stand, or refused with their place; nothing is changed to fit."""

import gzip
from pathlib import Path

import pytest

from tests.engine.running import rows_of, run, write

FLOW = """flow strict {{}}
source s = {kind}("in/s.{kind}") {{ columns: {{ id: int, v: {type} }} }}
step r = s
sink r -> csv("out.csv")
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return tmp_path


def read(workspace: Path, text: str, type_: str, kind: str = "csv"):
    write(workspace, f"in/s.{kind}", text)
    return run(workspace, FLOW.format(kind=kind, type=type_))


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        ("int", "3.7"), ("int", ".5"), ("int", "0x10"), ("int", "1e3"), ("int", "1_000"), ("int", "9223372036854775808"),
        ("decimal(8, 2)", "1.239"), ("decimal(8, 2)", "1e3"), ("decimal(4, 2)", "100"), ("bool", "yes"), ("bool", "1"),
        ("date", "epoch"), ("date", "infinity"), ("date", "2026-01-05 10:00"), ("date", "2026-02-30"), ("time", "2026-1-5"),
    ],
)  # fmt: skip
def test_a_csv_value_that_does_not_fit_is_refused_with_its_line(workspace, type_, value):
    ran = read(workspace, f'id,v\n1,\n"2",\n\n3,{value}\n', type_)
    assert ran.error["code"] == "E513"
    assert ran.error["message"].startswith(f"in/s.csv, line 5, column 'v': '{value}' is not a")
    assert ran.error["line"] == 2, "the source's line in the flow"
    assert not (workspace / "out.csv").exists()


@pytest.mark.parametrize(
    ("type_", "value", "read_as"),
    [
        ("int", " 7 ", "7"), ("int", "-9223372036854775808", "-9223372036854775808"), ("int", "+5", "5"), ("int", "007", "7"),
        ("decimal(8, 2)", "1.2300", "1.23"), ("decimal(8, 2)", ".5", "0.50"), ("decimal(8, 2)", "-12", "-12.00"),
        ("bool", "TRUE", "true"), ("bool", "False", "false"), ("date", "2026-1-5", "2026-01-05"), ("time", "9:05", "09:05:00"),
        ("double", "1e3", "1000.0"), ("timestamp", "2026-01-05", "2026-01-05 00:00:00"),
    ],
)  # fmt: skip
def test_a_csv_value_that_fits_is_read(workspace, type_, value, read_as):
    read(workspace, f"id,v\n1,{value}\n", type_)
    assert rows_of(workspace / "out.csv") == [["1", read_as]]


@pytest.mark.parametrize("value", ["3.7", "true", '"x"', "[1]", "1e30"])
def test_a_json_value_that_is_no_int_is_refused_with_its_line(workspace, value):
    ran = read(workspace, f'{{"id": 1, "v": 5}}\n\n{{"id": 2, "v": {value}}}\n', "int", "jsonl")
    assert ran.error["code"] == "E513"
    assert ran.error["message"].startswith("in/s.jsonl, line 3, column 'v': ")


def test_a_value_is_placed_behind_rows_with_line_ends_in_them(workspace):
    ran = read(workspace, 'id,note,v\n1,"a\nb\nc",1\n2,x,1.5\n', "int")
    assert "line 5, column 'v': '1.5'" in ran.error["message"]


def test_a_value_too_long_for_its_place_to_be_counted_is_told_all_the_same(workspace):
    ran = read(workspace, f"id,note,v\n1,{'x' * 200_000},1\n2,x,1.5\n", "int")
    assert (ran.error["code"], "column 'v': '1.5'" in ran.error["message"]) == ("E513", True)


def test_of_many_files_the_right_one_is_named(workspace):
    write(workspace, "in/a.csv", "id\n1\n")
    write(workspace, "in/b.csv", "id\n2\n3.5\n")
    ran = run(workspace, FLOW.replace("in/s.{kind}", "in/*.csv").format(kind="csv", type="int").replace(", v: int", ""))
    assert "in/b.csv, line 3, column 'id': '3.5'" in ran.error["message"]


def test_an_error_of_a_step_is_not_blamed_on_a_file(workspace):
    write(workspace, "in/s.csv", "id,v\n1,x\n")
    text = FLOW.format(kind="csv", type="text").replace("step r = s", "step r = s | derive n = to_int(v)")
    ran = run(workspace, text)
    assert ran.error["code"] == "E532"


def test_the_empty_text_is_not_null(workspace):
    text = FLOW.format(kind="csv", type="text").replace("step r = s", "step r = s | derive is_none = v is null")
    write(workspace, "in/s.csv", 'id,v\n1,""\n2,\n')
    run(workspace, text)
    assert rows_of(workspace / "out.csv") == [["1", "", "false"], ["2", "", "true"]]


def test_empty_lines_before_the_header_do_not_count(workspace):
    read(workspace, "\n\nid,v\n1,5\n", "int")
    assert rows_of(workspace / "out.csv") == [["1", "5"]]


def test_a_name_that_looks_like_a_pattern_is_a_name(workspace):
    for name, value in (("a[b].csv", 1), ("ab.csv", 2), ("q.csv", 3)):
        write(workspace, f"in/{name}", f"id\n{value}\n")
    text = FLOW.replace("in/s.{kind}", "in/*.csv").format(kind="csv", type="int").replace(", v: int", "")
    run(workspace, text.replace("step r = s", "step r = s | sort id"))
    assert rows_of(workspace / "out.csv") == [["1"], ["2"], ["3"]]


def test_two_stars_do_not_follow_links_in_circles(workspace):
    write(workspace, "in/deep/er/s.csv", "id,v\n1,5\n")
    write(workspace, "in/.hidden/s.csv", "id,v\n2,5\n")
    (workspace / "in" / "round").symlink_to(workspace)
    run(workspace, FLOW.replace("in/s.{kind}", "in/**/*.csv").format(kind="csv", type="int"))
    assert rows_of(workspace / "out.csv") == [["1", "5"]]


def test_a_sink_whose_name_says_so_is_packed_and_can_be_read_again(workspace):
    write(workspace, "in/s.csv", "id,v\n1,5\n")
    run(workspace, FLOW.format(kind="csv", type="int").replace('"out.csv"', '"out.csv.gz"'))
    assert gzip.decompress((workspace / "out.csv.gz").read_bytes()) == b"id,v\n1,5\n"
    again = FLOW.format(kind="csv", type="int").replace("in/s.csv", "out.csv.gz")
    run(workspace, again, run_key="run-2")
    assert rows_of(workspace / "out.csv") == [["1", "5"]]


@pytest.mark.parametrize(("failing", "status"), [(29, "succeeded"), (30, "failed")])
def test_a_tolerated_share_is_exact(workspace, failing, status):
    write(workspace, "in/s.csv", "id,v\n" + "".join(f"{n},{int(n < failing)}\n" for n in range(100)))
    text = FLOW.format(kind="csv", type="int") + "expect r { v == 0 warn max 29% }\n"
    assert run(workspace, text).outcome.status == status


@pytest.mark.parametrize(
    ("source", "sink", "warned"),
    [
        ("in/s.csv", "in/s.csv", True), ("in/*.csv", "in/new.csv", True), ("in/*.csv", "in/sub/new.csv", False),
        ("in/**/*.csv", "in/sub/new.csv", True), ("in/s.csv", "out.csv", False),
    ],
)  # fmt: skip
def test_a_flow_that_replaces_what_it_reads_says_so(workspace, source, sink, warned):
    write(workspace, "in/s.csv", "id,v\n1,5\n")
    text = FLOW.format(kind="csv", type="int").replace("in/s.csv", source).replace("out.csv", sink)
    ran = run(workspace, text)
    assert ran.outcome.status == "succeeded"
    assert ("which the source 's' reads" in ran.said()) == warned
