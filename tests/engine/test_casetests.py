"""A flow's own tests: what passes, what fails, and what a person is told."""

import pytest

from apps.engine.casetests import CaseResult, run_tests
from tests.engine.written import connect, planned

FLOW = """flow example
param least: int = 10
source orders = csv("o.csv") { columns: { id: int, amount: decimal(12, 2), ratio: double, note: text, at: timestamptz } }
source people = csv("p.csv") { columns: { id: int, name: text } }
step big = orders | where amount >= @least
step named = big | lookup people as p on id == p.id bring p.name
step sorted = big | sort -amount
step halves = big | derive half = ratio / 3 | select id, half
step days = big | select id, at, age = days_between(to_date(at), today())
sink named -> parquet("n.parquet")
sink sorted -> csv("s.csv")
sink halves -> csv("h.csv")
sink days -> csv("d.csv")
"""


def _results(tests: str) -> list[CaseResult]:
    return run_tests(planned(FLOW + tests), connect=connect)


def _message(test: str) -> str:
    [result] = _results(f'test "it" {{ {test} }}')
    assert result.ok == (not result.message)
    return result.message


ORDERS = """given orders
    | id | amount | note |
    | 1  | 10.00  | a    |
    | 2  | 9.99   | b    |
    | 3  | 30.00  |      |
    | 4  | 30.00  | ""   |
"""


def test_columns_left_out_are_not_compared_and_rows_come_in_any_order() -> None:
    assert _message(ORDERS + 'then big\n| note | id |\n| "" | 4 |\n| | 3 |\n| a | 1 |\n') == ""


def test_missing_and_unexpected_rows_are_shown_as_a_table() -> None:
    message = _message(ORDERS + "then big\n| id | note |\n| 1 | a |\n| 2 | b |\n| 4 | |\n")
    assert message.splitlines() == [
        "big: 2 rows missing and 2 rows unexpected (- expected, + computed)",
        "  | id | note |",
        "- | 2  | b    |",
        "- | 4  |      |",
        "+ | 3  |      |",
        '+ | 4  | ""   |',
    ]


def test_a_row_expected_twice_has_to_be_there_twice() -> None:
    assert "1 row missing" in _message(ORDERS + "then big\n| amount |\n| 10.00 |\n| 30.00 |\n| 30.00 |\n| 30.00 |\n")


def test_many_differences_are_cut_short() -> None:
    rows = "".join(f"| {number} |\n" for number in range(100, 140))
    message = _message(ORDERS + "then big\n| id |\n" + rows)
    assert "40 rows missing and 3 rows unexpected" in message
    assert message.endswith("… and 30 more")


def test_a_step_that_ends_in_a_sort_is_compared_in_order() -> None:
    assert _message(ORDERS + "then sorted\n| id |\n| 3 |\n| 4 |\n| 1 |\n") == ""
    message = _message(ORDERS + "then sorted\n| id |\n| 1 |\n| 3 |\n| 4 |\n")
    assert message.startswith("sorted: the right rows in another order, from row 1 on")


def test_rows_that_tie_in_the_sort_may_come_in_any_order() -> None:
    assert _message(ORDERS + "then sorted\n| id |\n| 4 |\n| 3 |\n| 1 |\n") == ""


def test_doubles_are_compared_nearly() -> None:
    given = "given orders\n| id | amount | ratio |\n| 1 | 10 | 1 |\n"
    assert _message(given + "then halves\n| half |\n| 0.3333333333333 |\n") == ""
    assert "0.3333333333333333" in _message(given + "then halves\n| half |\n| 0.333 |\n")


def test_parameters_are_given_by_with() -> None:
    assert _message("with least = 9 + 1 - 1\n" + ORDERS + "then big\n| id |\n| 1 |\n| 2 |\n| 3 |\n| 4 |\n") == ""


def test_today_is_the_first_of_january_2026_and_moments_are_utc() -> None:
    given = "given orders\n| id | amount | at |\n| 1 | 10 | 2025-12-31 23:30-02:00 |\n"
    assert _message(given + "then days\n| at | age |\n| 2026-01-01 01:30Z | 0 |\n") == ""


def test_today_is_the_flows_own_day() -> None:
    text = """flow zone { timezone: "America/New_York" }
    source x = csv("x.csv") { columns: { id: int } }
    step s = x | derive day = today(), now = now()
    sink s -> csv("s.csv")
    test "it" {
      given x
        | id |
        | 1  |
      then s
        | day        | now              |
        | 2026-01-01 | 2026-01-01 00:00 |
    }"""
    assert [result.message for result in run_tests(planned(text), connect=connect)] == [""]


def test_a_lookup_that_matches_twice_fails_the_test_in_words() -> None:
    people = "given people\n| id | name |\n| 3 | x |\n| 3 | y |\n"
    assert "found more than one match for id = 3 (2 matches)" in _message(
        ORDERS + people + "then named\n| id |\n| 1 |\n"
    )


def test_a_value_that_cannot_be_computed_fails_the_test_in_words() -> None:
    text = FLOW + 'step bad = big | derive n = to_int(note)\nsink bad -> csv("b.csv")\n'
    [result] = run_tests(planned(f'{text}test "it" {{ {ORDERS} then bad\n| n |\n| 1 |\n }}'), connect=connect)
    assert not result.ok
    assert "not a whole number: a" in result.message


def test_each_test_is_told_by_itself_and_nothing_of_one_is_left_for_the_next() -> None:
    then = "then big\n| id |\n| 1 |\n| 3 |\n| 4 |\n"
    results = _results(
        f'test "one" {{ {ORDERS} {then} }} test "two" {{ {ORDERS} then big\n| id |\n| 7 |\n }} test "three" {{ {ORDERS} {then} }}'
    )
    assert [(result.title, result.ok) for result in results] == [("one", True), ("two", False), ("three", True)]
    assert all(result.seconds > 0 for result in results)


@pytest.mark.parametrize("rows", [0, 1, 1200])
def test_any_number_of_rows_is_taken(rows: int) -> None:
    given = "given orders\n| id | amount |\n" + "".join(f"| {number} | 10 |\n" for number in range(rows))
    then = "then big\n| id |\n" + "".join(f"| {number} |\n" for number in range(rows))
    assert _message(given + then) == ""
