"""The TAP reader: what each kind of line means, what counts as trouble, and that nothing makes it raise."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.testruns.cases.tap import MOST_POINTS, Point, TapReader


def read(text: str) -> tuple[list[Point], TapReader]:
    reader = TapReader()
    points = [point for line in text.splitlines() for point in reader.feed(line)]
    return points + reader.finish(), reader


def points_of(text: str) -> list[tuple[int, str, str]]:
    return [(point.number, point.status, point.title) for point in read(text)[0]]


def trouble_of(text: str) -> str:
    return read(text)[1].trouble()


def only(text: str) -> Point:
    (point,) = read(text)[0]
    return point


def test_points_have_a_number_a_status_and_a_title() -> None:
    text = "TAP version 14\n1..3\nok 1 - first\nnot ok 2 - second\nok 3 third\n"
    assert points_of(text) == [(1, "passed", "first"), (2, "failed", "second"), (3, "passed", "third")]
    assert trouble_of(text) == ""


def test_the_plan_may_come_last() -> None:
    assert trouble_of("ok 1\nok 2\n1..2\n") == ""


def test_points_may_have_neither_number_nor_title() -> None:
    assert points_of("1..2\nok\nnot ok\n") == [(1, "passed", "point 1"), (2, "failed", "point 2")]


@pytest.mark.parametrize("line", ["ok 1 - a # SKIP no b", "ok 1 - a # skip no b", "ok 1 - a # Skipped: no b"])
def test_skip_is_a_directive_in_any_case(line: str) -> None:
    point = only(f"1..1\n{line}\n")
    assert (point.status, point.title, point.message) == ("skipped", "a", "no b")


def test_a_failing_todo_is_skipped() -> None:
    point = only("1..1\nnot ok 1 - halts # todo unsolved\n")
    assert (point.status, point.title, point.message) == ("skipped", "halts", "unsolved")


def test_a_todo_that_passes_has_passed() -> None:
    assert only("1..1\nok 1 - halts # TODO unsolved\n").status == "passed"


def test_a_failing_skip_is_skipped_as_version_14_asks() -> None:
    assert only("1..1\nnot ok 1 - a # SKIP not here\n").status == "skipped"


def test_a_number_sign_that_is_no_directive_is_part_of_the_title() -> None:
    assert only("1..1\nok 1 - issue #7 is closed\n").title == "issue #7 is closed"


def test_an_escaped_number_sign_begins_no_directive() -> None:
    point = only("1..1\nok 1 - a \\# SKIP and a \\\\ backslash\n")
    assert (point.status, point.title) == ("passed", "a # SKIP and a \\ backslash")


@pytest.mark.parametrize("line", ["okay", "ok1", "not okay", "OK 1", "  ok 1", "ok: fine", "nok 1"])
def test_what_looks_almost_like_a_point_is_none(line: str) -> None:
    assert points_of(f"1..0\n{line}\n") == []


def test_yaml_belongs_to_the_point_before_it_and_gives_its_message() -> None:
    point = only('1..1\nnot ok 1 - a\n  ---\n  message: "it broke"\n  duration_ms: 12.5\n  ...\n')
    assert (point.message, point.seconds) == ("it broke", 0.0125)
    assert "severity" not in point.output
    assert point.output.splitlines()[1] == '  message: "it broke"'


def test_a_message_in_yaml_may_be_a_block() -> None:
    text = "1..1\nnot ok 1\n  ---\n  message: |\n    two\n    lines\n  severity: fail\n  ...\n"
    assert only(text).message == "two\nlines"


def test_a_point_inside_of_yaml_is_no_point() -> None:
    assert points_of("1..1\nok 1 - a\n  ---\n  got: |\n    ok 2\n  ...\n") == [(1, "passed", "a")]


def test_yaml_that_never_ends_does_not_swallow_the_next_point() -> None:
    assert len(points_of("1..2\nnot ok 1\n  ---\n  message: x\nok 2\n")) == 2


def test_comments_after_a_failed_point_are_its_message() -> None:
    assert only("1..1\nnot ok 1 - a\n# in file a.bats\n#  `false' failed\n").message == "in file a.bats\n`false' failed"


def test_a_subtest_belongs_to_the_point_after_it_and_counts_for_nothing() -> None:
    text = "1..2\nok 1 - a\n# Subtest: b\n    1..2\n    ok 1\n    not ok 2 - inner\nnot ok 2 - b\n"
    points, reader = read(text)
    assert [(point.status, point.title) for point in points] == [("passed", "a"), ("failed", "b")]
    assert "not ok 2 - inner" in points[1].output
    assert "inner" not in points[0].output
    assert reader.trouble() == ""


def test_pragmas_and_stray_text_are_no_points() -> None:
    assert points_of("TAP version 13\npragma +strict\nhello\n1..1\nok 1\n") == [(1, "passed", "point 1")]


def test_a_plan_of_nothing_gives_its_reason() -> None:
    _, reader = read("1..0 # SKIP no docker here\n")
    assert (reader.plan, reader.skip_reason, reader.trouble()) == (0, "no docker here", "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1..3\nok 1\nok 2\n", "It planned 3 points and ran 2"),
        ("1..1\nok 1\nok 2\n", "It planned 1 point and ran 2"),
        ("1..2\nok 1\nok 1\n", "came more than once: 1"),
        ("1..2\nok 1\nok 3\n", "numbers are missing: 2"),
        ("ok 1\nok 2\n", "print 1..2 first or last"),
        ("1..1\nok 1\n1..1\n", "more than one plan"),
        ("1..2\nok 1\nBail out! No database.\n", "It bailed out: No database."),
        ("1..2\nok 1\nbail OUT!\n", "it gave no reason"),
        ("1..1\n    Bail out! inside\nok 1\n", "It bailed out: inside."),
        ("TAP version 14\n", "It has no plan"),
        ("1..0\nok 1\n", "It planned 0 points and ran 1"),
        ("1..99999999999999999999\nok 1\n", "It has no plan"),
    ],
)
def test_what_is_wrong_with_the_whole_is_said(text: str, said: str) -> None:
    assert said in trouble_of(text)


def test_after_a_bail_out_nothing_counts() -> None:
    assert len(points_of("1..2\nok 1\nBail out!\nok 2\n")) == 1


def test_points_out_of_order_are_no_trouble() -> None:
    assert trouble_of("1..3\nok 2\nok 3\nok 1\n") == ""


def test_points_come_as_they_are_whole() -> None:
    reader = TapReader()
    assert reader.feed("ok 1 - a") == []
    assert [point.title for point in reader.feed("ok 2 - b")] == ["a"]
    assert [point.title for point in reader.finish()] == ["b"]


def test_too_many_points_are_not_kept() -> None:
    reader = TapReader()
    count = sum(len(reader.feed("ok")) for _ in range(MOST_POINTS + 500)) + len(reader.finish())
    assert count == MOST_POINTS
    assert "split the file" in reader.trouble()


LINES = st.sampled_from(
    r"""ok|not ok|ok 1|not ok 2 - x # TODO|1..2|1..0 # SKIP|TAP version 14|Bail out!|  ---|  ...|  message: ||    ok 1
# Subtest: x|pragma +a||\|#|ok 999999999|{|ok - # SKIP""".replace("\n", "|").split("|")
)


@given(
    st.lists(LINES | st.text(max_size=60) | st.binary(max_size=60).map(lambda data: data.decode("utf-8", "replace")))
)
def test_no_line_makes_it_raise_and_every_point_comes_out_once(lines: list[str]) -> None:
    reader = TapReader()
    points = [point for line in lines for point in reader.feed(line)] + reader.finish()
    assert len(points) == reader.count
    assert isinstance(reader.trouble(), str)
    assert all(point.title and (point.status == "passed" or point.message) for point in points)


@given(st.lists(LINES))
def test_a_stream_that_is_cut_is_never_without_trouble_if_its_plan_came_first(lines: list[str]) -> None:
    reader = TapReader()
    for line in ["1..1000", *lines]:
        reader.feed(line)
    reader.finish()
    assert reader.trouble()


@pytest.mark.skipif(shutil.which("prove") is None, reason="prove (Perl's TAP::Harness) is not installed")
@pytest.mark.parametrize(
    "text",
    [
        "1..2\nok 1\nok 2\n",
        "TAP version 13\nok 1 - a # SKIP x\nnot ok 2 # TODO y\n1..2\n",
        "1..2\nok 1\n",
        "1..1\nok 1\nok 2\n",
        "1..1\nnot ok 1 - a\n# why\n",
        "1..0 # SKIP nothing\n",
        "1..1\nok 1 - a \\# SKIP b\n",
        "1..2\nok 1\nBail out! now\n",
        "ok 1\n",
        "1..1\n    1..1\n    not ok 1\nok 1\n",
        "TAP version 13\n1..1\nok 1\n  ---\n  a: ok 2\n  ...\n",
    ],
)
def test_prove_says_the_same(text: str, tmp_path: Path) -> None:
    (tmp_path / "stream").write_text(text)
    done = subprocess.run(
        ["prove", "-e", "cat", "stream"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        check=False,
    )
    points, reader = read(text)
    is_bad = bool(reader.trouble()) or any(point.status == "failed" for point in points)
    assert is_bad == (done.returncode != 0), done.stdout.decode() + done.stderr.decode()
