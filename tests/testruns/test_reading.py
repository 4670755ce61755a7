"""Whatever is printed, reading it ends in results that can be stored."""

import itertools
import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from apps.testruns.cases.model import Case, Result
from apps.testruns.cases.output import Capture, Lines
from apps.testruns.cases.reading import End, OutputReader

JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["title", "status"]), inner),
    max_leaves=5,
)
RESULT_LINE = st.fixed_dictionaries(
    {"title": JSON | st.just("a"), "status": JSON | st.sampled_from(["pass", "fail", "skip"])},
    optional={"seconds": JSON, "message": JSON},
).map(json.dumps)
LINE = (
    RESULT_LINE
    | st.sampled_from(["1..2", "ok 1", "not ok 2", "Bail out!", "", "# x", "{", "1..0"])
    | st.text(max_size=20)
)

CASE = Case("L2", "L2/case", "case", "executable", path=Path("/case"))


def read(lines: list[str], code: int, late_after: float | None = None) -> list[Result]:
    captured = Capture()
    reader = OutputReader(CASE, captured)
    results = []
    for line in lines:
        captured.add(line)
        results += reader.feed(line)
    return results + reader.finish(End(code, 0.1, captured, late_after))


@given(st.lists(LINE, max_size=12), st.sampled_from([0, 1, 77, 255, -9, -64]), st.sampled_from([None, 1.5]))
def test_any_output_gives_results(lines, code, late_after):
    results = read(lines, code, late_after)
    assert results
    assert [each.order for each in results] == list(range(1, len(results) + 1))
    assert len({each.title for each in results}) == len(results)
    for each in results:
        f"{each.title}{each.message}{each.output}".encode()
    if late_after or code < 0:
        assert results[-1].status == "failed"


@given(st.lists(LINE, max_size=12), st.sampled_from([1, 2, 255]))
def test_an_exit_code_that_is_not_0_is_never_passed_over(lines, code):
    assert "failed" in {each.status for each in read(lines, code)}


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=5))
def test_lines_are_the_same_however_they_are_cut_into_chunks(data, cuts):
    reader = Lines()
    places = [0, *sorted(cuts), len(data)]
    chunks = [data[start:end] for start, end in itertools.pairwise(places)]
    found = [line for chunk in chunks for line in reader.feed(chunk)] + list(reader.rest())
    whole = [line.removesuffix(b"\r").decode("utf-8", "replace") for line in data.split(b"\n")]
    assert found == (whole if data and not data.endswith(b"\n") else whole[:-1])


@given(st.lists(st.text(max_size=50)), st.integers(0, 200))
def test_a_capture_never_holds_more_than_it_may(lines, largest):
    capture = Capture(largest)
    for line in lines:
        capture.add(line)
    note = f"… {capture.left_out:,} lines left out …\n"
    assert len(capture.text()) <= largest + len(note)
    if sum(len(line) + 1 for line in lines) <= largest // 2:
        assert capture.text() == "\n".join(lines)


def test_lines_as_long_as_the_room_do_not_pile_up():
    capture = Capture(20)
    for _ in range(1_000):
        capture.add("x" * 30)
    assert len(capture.text()) < 60
