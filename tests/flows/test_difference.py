"""What changed between two versions, line by line."""

import time

from apps.flows import difference


def shown(old, new):
    return [(row.kind, row.old, row.new, "".join(p.text for p in row.parts)) for row in difference.rows(old, new)]


def test_the_same_text_has_no_rows():
    assert difference.rows("a\nb\n", "a\nb\n") == []


def test_a_changed_line_is_removed_and_added_and_its_words_are_marked():
    rows = difference.rows("a\nwhere x > 10\nc\n", "a\nwhere x > 20\nc\n")
    assert [row.kind for row in rows] == ["same", "removed", "added", "same"]
    assert [part.text for part in rows[2].parts if part.changed] == ["20"]
    assert difference.counts(rows) == (1, 1)


def test_rows_carry_the_line_numbers_of_their_side():
    assert shown("a\nb\nc", "a\nc\nd") == [
        ("same", 1, 1, "a"),
        ("removed", 2, None, "b"),
        ("same", 3, 2, "c"),
        ("added", None, 3, "d"),
    ]


def test_lines_alike_far_from_a_change_are_left_out_and_counted():
    old = [f"line {n}" for n in range(50)]
    new = [*old[:25], "changed", *old[26:]]
    rows = difference.rows("\n".join(old), "\n".join(new))
    assert [row.count for row in rows if row.kind == "skipped"] == [21, 20]
    assert len(rows) == 2 + 8 + 2


def test_a_text_against_nothing_is_all_added():
    assert {row.kind for row in difference.rows("", "a\nb")} == {"added"}


def test_two_large_texts_take_no_minutes():
    started = time.perf_counter()
    difference.rows("a\n" * 300_000, "b\n" * 300_000)
    difference.rows("".join(f"{n % 50}\n" for n in range(15_000)), "".join(f"{n % 60}\n" for n in range(15_000)))
    assert time.perf_counter() - started < 20
