"""Values: parameters, overflow, division, lookups that match twice, hostile text."""

from datetime import UTC, date, datetime
from decimal import Decimal

import duckdb
import pytest

from apps.engine import lookups
from apps.engine.clashes import CLASH
from apps.engine.compile import NamesClash, check_sql, compile_plan, constant_sql, quoted
from apps.engine.expressions import ParameterMissing
from apps.language.plan import Apply, Const
from apps.language.types import DATE, INT, TEXT, TIMESTAMPTZ
from tests.engine.written import NOW, compiled, computed, connect, planned

HOSTILE = [
    "'; DROP TABLE x; --",
    '"; DROP TABLE x; --',
    "\\'; DROP TABLE x; --",
    "$$x$$ {a} %s ? ?1 $1 :name",
    "/* */ -- \n ; \r\n \t",
    "a\x00b",
    "E'\\x41' x'41'",
    "🙂 ünï \u202e ‮",
    "'" * 500,
]

ECHO = """flow echo
param word: text
source x = csv("x.csv") { columns: { id: int } }
step s = x | derive word = @word | where word == @word
sink s -> csv("s.csv")
"""


@pytest.mark.parametrize("text", HOSTILE)
def test_a_parameter_is_only_ever_a_value(text: str) -> None:
    with connect() as connection:
        connection.execute("CREATE TEMP TABLE x AS SELECT 1 AS id")
        assert computed(compiled(planned(ECHO), word=text), connection)["s"] == [(1, text)]
        assert connection.execute("FROM x").fetchall() == [(1,)]


@pytest.mark.parametrize("text", HOSTILE)
def test_any_text_can_be_a_columns_name(text: str) -> None:
    name = text.replace("\x00", "").replace("`", "")
    with connect() as connection:
        connection.execute(f"CREATE TEMP TABLE x AS SELECT 1 AS {quoted(name)}")
        assert connection.execute(f"SELECT {quoted(name)} FROM x").fetchall() == [(1,)]


@pytest.mark.parametrize(
    ("value", "type_"),
    [
        (-(2**63), INT), (date(1, 1, 1), DATE), ("", TEXT), (None, TEXT),
        (datetime(2026, 1, 1, 12, 30, 0, 1, tzinfo=UTC), TIMESTAMPTZ),
    ],
)  # fmt: skip
def test_a_constant_comes_back_as_it_was(value: object, type_: object) -> None:
    plan = planned(ECHO)
    with connect() as connection:
        sql = constant_sql(Const(type_, value), plan, params={}, logical_time=NOW)
        [(found,)] = connection.execute(sql).fetchall()
    assert found == (value.replace(tzinfo=None) if isinstance(value, datetime) else value)


def test_a_missing_parameter_takes_its_default_which_may_use_the_day_of_the_run() -> None:
    plan = planned("""flow f { timezone: "Europe/Zurich" }
        param since: date = today() - 30d
        source x = csv("x.csv") { columns: { day: date } }
        step s = x | derive since = @since, today = today(), now = now()
        sink s -> csv("s.csv")
    """)
    late = datetime(2026, 5, 31, 23, 30, tzinfo=UTC)  # in Zurich it is June already
    flow = compile_plan(plan, params={}, logical_time=late, scans={"x": "x"})
    with connect() as connection:
        connection.execute("CREATE TEMP TABLE x AS SELECT NULL::DATE AS day")
        assert computed(flow, connection)["s"] == [
            (None, date(2026, 5, 2), date(2026, 6, 1), datetime(2026, 6, 1, 1, 30))  # noqa: DTZ001
        ]


def test_a_parameter_without_any_value_is_named() -> None:
    with pytest.raises(ParameterMissing, match="'word' has no value"):
        compiled(planned(ECHO))


NUMBERS = """flow numbers
source x = csv("x.csv") { columns: { i: int, a: decimal(12, 2), b: decimal(12, 2), c: decimal(38, 2) } }
"""


def _one(expression: str, row: str) -> object:
    """The value of an expression over one row, by the statement that must always be right."""
    flow = compiled(planned(f'{NUMBERS}step s = x | select r = {expression}\nsink s -> csv("s.csv")'))
    with connect() as connection:
        connection.execute(
            f"CREATE TEMP TABLE x AS SELECT i::BIGINT AS i, a::DECIMAL(12, 2) AS a, b::DECIMAL(12, 2) AS b, "
            f"c::DECIMAL(38, 2) AS c FROM (VALUES ({row})) t(i, a, b, c)"
        )
        [stage] = flow.stages
        [(value,)] = connection.execute(stage.careful_sql or stage.sql).fetchall()
        return value


@pytest.mark.parametrize(
    ("expression", "row", "value"),
    [
        ("a * b", "0, 9999999999.99, 9999999999.99, 0", Decimal("99999999999800000000.0001")),
        ("a * b * a", "0, 9999999999.99, 1.00, 0", Decimal("99999999999800000000.000100")),
        ("a + b", "0, 9999999999.99, 9999999999.99, 0", Decimal("19999999999.98")),
        ("a / b", "0, 10.00, 3.00, 0", Decimal("3.333333")),
        ("a / b", "0, 2.00, -3.00, 0", Decimal("-0.666667")),
        ("a / b", "0, 0.01, 9999999999.99, 0", Decimal("0.000000")),
        ("a / b", "0, 9999999999.99, 0.01, 0", Decimal("999999999999.000000")),
        ("a / b", "0, 1.00, 0.00, 0", None),
        ("c / b", "0, 0, 7.00, 123456789012345678901.00", Decimal("17636684144620811271.571429")),
        ("a / i", "3, 1.00, 0, 0", Decimal("0.333333")),
        ("i / 0", "3, 0, 0, 0", None),
        ("i div 0", "3, 0, 0, 0", None),
        ("a % b", "0, 7.50, 0.00, 0", None),
        ("i % -3", "7, 0, 0, 0", 1),
        ("-i", "9223372036854775807, 0, 0, 0", -9223372036854775807),
        ("round(a, 1)", "0, 0.25, 0, 0", Decimal("0.3")),
        ("round(a, 1)", "0, -0.25, 0, 0", Decimal("-0.3")),
        ("hash64(to_text(i))", "1, 0, 0, 0", -4307552516423284855),
    ],
)  # fmt: skip
def test_arithmetic(expression: str, row: str, value: object) -> None:
    if expression.startswith("hash64"):
        import hashlib

        value = int.from_bytes(hashlib.md5(b"1").digest()[:8], "big", signed=True)
    assert _one(expression, row) == value


@pytest.mark.parametrize(
    ("expression", "row"),
    [
        ("i + 1", "9223372036854775807, 0, 0, 0"),
        ("i * 2", "9223372036854775807, 0, 0, 0"),
        ("-i", "-9223372036854775808, 0, 0, 0"),
        ("i div -1", "-9223372036854775808, 0, 0, 0"),
        ("c * c", "0, 0, 0, 123456789012345678901.00"),
        ("c + c", "0, 0, 0, 999999999999999999999999999999999999.99"),
        ("to_int(c)", "0, 0, 0, 9223372036854775808.00"),
        ("to_decimal(c, 5, 2)", "0, 0, 0, 1000.00"),
    ],
)
def test_what_does_not_fit_is_an_error(expression: str, row: str) -> None:
    with pytest.raises(duckdb.Error):
        _one(expression, row)


def test_a_sum_of_ints_that_does_not_fit_is_an_error() -> None:
    flow = compiled(planned(f'{NUMBERS}step s = x | group {{ n = sum(i) }}\nsink s -> csv("s.csv")'))
    with connect() as connection:
        connection.execute("CREATE TEMP TABLE x AS SELECT 9223372036854775807 AS i FROM range(2)")
        with pytest.raises(duckdb.Error):
            computed(flow, connection)


def test_a_quick_product_that_does_not_fit_is_refused_and_computed_carefully() -> None:
    flow = compiled(planned(f'{NUMBERS}step s = x | select r = a * b\nsink s -> csv("s.csv")'))
    [stage] = flow.stages
    with connect() as connection:
        connection.execute("CREATE TEMP TABLE x AS SELECT 2.5::DECIMAL(12, 2) AS a, 2::DECIMAL(12, 2) AS b")
        quick = connection.sql(stage.sql)
        assert quick.fetchall() == [(Decimal("5.0000"),)]
        assert quick.types == connection.sql(stage.careful_sql).types
        connection.execute("INSERT INTO x VALUES (9999999999.99, 9999999999.99)")
        with pytest.raises(duckdb.OutOfRangeException):
            connection.execute(stage.sql).fetchall()
        assert len(connection.execute(stage.careful_sql).fetchall()) == 2


def test_a_flow_without_wide_decimals_has_one_statement() -> None:
    flow = compiled(planned(f'{NUMBERS}step s = x | select r = a + b, q = i * 2\nsink s -> csv("s.csv")'))
    assert flow.stages[0].careful_sql == ""


LOOKUP = """flow lookups
source visits = csv("v.csv") { columns: { who: int, day: date } }
source people = csv("p.csv") { columns: { id: int, day: date, name: text, city: text } }
"""


def _lookup(step: str, people: str) -> tuple[object, object]:
    flow = compiled(planned(f'{LOOKUP}step named = visits | {step}\nsink named -> csv("n.csv")'))
    with connect() as connection:
        connection.execute("CREATE TEMP TABLE visits AS FROM (VALUES (1, DATE '2026-01-01'), (NULL, NULL)) t(who, day)")
        connection.execute(f"CREATE TEMP TABLE people AS FROM (VALUES {people}) t(id, day, name, city)")
        [stage] = flow.stages
        try:
            return connection.execute(stage.sql).fetchall(), None
        except duckdb.Error as error:
            return None, lookups.explain(error, stage, connection)


TWICE = "(1, DATE '2026-01-01', 'Ann', 'Bern'), (1, DATE '2026-01-01', 'Eve', 'Rom')"


@pytest.mark.parametrize("bring", ["p.name", "p.name, p.city"])
def test_a_second_match_names_the_step_and_the_key(bring: str) -> None:
    _, error = _lookup(f"lookup people as p on who == p.id and day == p.day bring {bring}", TWICE)
    assert "step 'named'" in str(error)
    assert "'people'" in str(error)
    assert "day, who = 2026-01-01, 1 (2 matches)" in str(error)


def test_a_second_match_is_found_though_nobody_reads_what_is_brought() -> None:
    _, error = _lookup("lookup people as p on who == p.id bring p.name | select who", TWICE)
    assert "more than one match" in str(error)


def test_rows_that_match_nothing_may_be_there_twice() -> None:
    rows, _ = _lookup(
        "lookup people as p on who == p.id bring p.name, p.city",
        "(9, NULL, 'a', 'b'), (9, NULL, 'a', 'b'), (NULL, NULL, 'c', 'd'), (NULL, NULL, 'c', 'd'), (1, NULL, 'Ann', NULL)",
    )
    assert sorted(rows, key=str) == [(1, date(2026, 1, 1), "Ann", None), (None, None, None, None)]


def test_a_lookup_may_test_anything() -> None:
    rows, _ = _lookup(
        'lookup people as p on p.day <= day and p.city == "Bern" bring p.name',
        "(5, DATE '2025-01-01', 'old', 'Bern'), (6, DATE '2027-01-01', 'new', 'Bern'), (7, DATE '2025-01-01', 'x', 'Rom')",
    )
    assert sorted(rows, key=str) == [(1, date(2026, 1, 1), "old"), (None, None, None)]


def test_a_filter_guards_what_comes_after_it() -> None:
    flow = compiled(
        planned("""flow guard
        source x = csv("x.csv") { columns: { kind: text, value: text } }
        step s = x | where kind == "n" | where to_int(value) > 5 | group { total = sum(to_int(value)) }
        sink s -> csv("s.csv")
    """)
    )
    with connect() as connection:
        connection.execute(
            "CREATE TEMP TABLE x AS SELECT CASE WHEN i % 2 = 0 THEN 'n' ELSE 't' END AS kind, "
            "CASE WHEN i % 2 = 0 THEN i::TEXT ELSE 'abc' END AS value FROM range(10000) t(i)"
        )
        assert computed(flow, connection)["s"] == [(sum(i for i in range(6, 10000, 2)),)]


def test_columns_that_differ_only_in_case_are_refused() -> None:
    plan = planned(
        'flow f\nsource x = csv("x.csv") { columns: { a: int } }\nstep s = x | derive A = 1\nsink s -> csv("s.csv")'
    )
    with pytest.raises(NamesClash, match="'a' and 'A' of step 's'") as raised:
        compiled(plan)
    assert raised.value.code == CLASH


CHECKED = """flow checked
param most: int = 3
source x = csv("x.csv") { columns: { id: int, word: text, at: timestamp } }
source y = csv("y.csv") { columns: { key: int } }
step s = x | where true
expect s { RULE warn }
sink s -> parquet("s.parquet")
"""


@pytest.mark.parametrize(
    ("rule", "counts"),
    [
        ("not_null(id)", (1, 5)),
        ("not_null(id, word)", (1, 5)),
        ("unique(id)", (2, 5)),
        ("unique(id, word)", (0, 5)),
        ("id <= @most", (1, 5)),
        ('in_set(word, ["a", "b"])', (1, 5)),
        ('matches(word, "^[a-b]$")', (1, 5)),
        ("references(id, y.key)", (1, 5)),
        ("row_count() > 5", (1, 1)),
        ("row_count() == 5", (0, 1)),
        ("freshness(at) <= 1d", (1, 1)),
        ("freshness(at) <= 3d", (0, 1)),
        ("id between 1 and 2", (1, 5)),
        ("null", (0, 5)),
    ],
)
def test_a_check_counts_what_fails(rule: str, counts: tuple[int, int]) -> None:
    flow = compiled(planned(CHECKED.replace("RULE", rule)))
    with connect() as connection:
        connection.execute(
            "CREATE TEMP TABLE x AS FROM (VALUES (1, 'a', TIMESTAMP '2025-12-30'), (2, 'a', NULL), (2, 'b', NULL), "
            "(9, 'c', NULL), (NULL, NULL, NULL)) t(id, word, \"at\")"
        )
        connection.execute("CREATE TEMP TABLE y AS FROM (VALUES (1), (2), (2)) t(key)")
        computed(flow, connection)
        [check] = flow.checks
        assert connection.execute(check.sql).fetchall() == [counts]
        sql = check_sql(
            check.check, "x", planned(CHECKED.replace("RULE", rule)), params={}, logical_time=NOW, other="y"
        )
        assert connection.execute(sql).fetchall() == [counts]


@pytest.mark.parametrize(
    "rule", ["not_null(id)", "unique(id)", "references(id, y.key)", "id > 0", "freshness(at) <= 1d"]
)
def test_checks_of_an_empty_step_pass(rule: str) -> None:
    flow = compiled(planned(CHECKED.replace("RULE", rule)))
    with connect() as connection:
        connection.execute('CREATE TEMP TABLE x (id BIGINT, word TEXT, "at" TIMESTAMP)')
        connection.execute("CREATE TEMP TABLE y (key BIGINT)")
        computed(flow, connection)
        [(failed, _)] = connection.execute(flow.checks[0].sql).fetchall()
        assert failed == 0


def test_a_constant_expression_is_evaluated_with_parameters() -> None:
    plan = planned(
        'flow f\nparam n: int = 4\nsource x = csv("x.csv") { columns: { a: int } }\nstep s = x\nsink s -> csv("s.csv")'
    )
    double = Apply(INT, "multiply", (plan.params[0].default, Const(INT, 2)))
    with connect() as connection:
        assert connection.execute(constant_sql(double, plan, params={}, logical_time=NOW)).fetchall() == [(8,)]
