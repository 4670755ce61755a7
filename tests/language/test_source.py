"""Bytes that cannot be a flow are refused with their place; those that can lose their byte order mark."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.language.parser import parse
from apps.language.source import LARGEST_BYTES, decode


def findings(data: bytes) -> list[tuple[str, int, int]]:
    text, diagnostics = decode(data, "x.flow")
    assert (text == "") or not diagnostics
    assert all(each.path == "x.flow" and each.hint for each in diagnostics)
    return [(each.code, each.span.line, each.span.column) for each in diagnostics]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", []),
        ("flow f # ü 漢字\n".encode(), []),
        ("flow f\n# grüße".encode("latin-1"), [("E001", 2, 5)]),
        ("flow f\r\n# ü 漢 ".encode() + b"\xff", [("E001", 2, 7)]),
        (b"\xef\xbb\xbfflow \xff", [("E001", 1, 6)]),
        (b"flow f\n# cut \xe6\xbc", [("E001", 2, 7)]),
        (b"flow f\n\0", [("E003", 2, 1)]),
        (b"x" * LARGEST_BYTES, []),
        (b"x" * (LARGEST_BYTES + 1), [("E002", 1, 1)]),
        (b"\xff" * 10_000_000, [("E002", 1, 1)]),
    ],
)
def test_bytes_are_read_or_refused_with_their_place(data: bytes, expected: list[tuple[str, int, int]]) -> None:
    assert findings(data) == expected


def test_a_file_in_utf_16_is_called_by_its_name() -> None:
    _, diagnostics = decode("flow f".encode("utf-16"))
    assert diagnostics[0].message == "the file is UTF-16, not UTF-8"


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_line_ends_and_a_byte_order_mark_do_not_matter(line_end: str) -> None:
    text, diagnostics = decode(f"\ufeffflow f{line_end}step x = s{line_end}".encode())
    assert diagnostics == []
    assert text == "flow f\nstep x = s\n"


def test_what_no_file_can_hold_is_refused_in_a_text_too() -> None:
    assert [each.code for each in parse("flow f # \ud83d").diagnostics] == ["E003"]
    assert [each.code for each in parse("flow f\0").diagnostics] == ["E003"]


def test_a_text_is_measured_in_bytes() -> None:
    assert [each.code for each in parse("# " + "漢" * 400_000).diagnostics] == ["E002"]


@given(st.binary(max_size=200))
def test_no_bytes_raise(data: bytes) -> None:
    text, _ = decode(data)
    parse(text)
