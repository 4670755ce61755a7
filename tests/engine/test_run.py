"""Runs of whole flows on real files, in this process."""

import os
import threading
import time
from pathlib import Path
from typing import Any

import duckdb
import pytest

from apps.engine import manifest, preview
from apps.engine.run import execute
from tests.engine.running import ORDERS, TOTALS, rows_of, run, spec, write


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    write(tmp_path / "ws", "in/orders.csv", ORDERS)
    return tmp_path / "ws"


def lasting(workspace: Path) -> list[str]:
    """Every file but the engine's own."""
    return sorted(
        str(path.relative_to(workspace))
        for path in workspace.rglob("*")
        if path.is_file() and ".flowcontrol" not in path.parts
    )


# --- a run that succeeds -------------------------------------------------------------------------


def test_it_writes_the_outputs_and_counts_them(workspace: Path) -> None:
    ran = run(workspace, TOTALS)
    assert ran.outcome.status == "succeeded", ran.outcome.error
    assert rows_of(workspace / "out/totals.csv") == [["7", "15.50", "2"], ["8", "1.25", "1"]]
    size = (workspace / "out/totals.csv").stat().st_size
    assert ran.outcome.outputs == [{"name": "totals", "path": "out/totals.csv", "rows": 2, "bytes": size}]


def test_each_step_has_its_exact_rows_its_seconds_and_its_state(workspace: Path) -> None:
    ran = run(workspace, TOTALS)
    found = [(each["kind"], each["name"], each["status"], each["rows"]) for each in ran.outcome.steps]
    assert found == [
        ("source", "orders", "succeeded", 4),
        ("step", "paid", "succeeded", 3),
        ("step", "totals", "succeeded", 2),
        ("sink", "totals", "succeeded", 2),
    ]
    assert all(each["seconds"] >= 0 for each in ran.outcome.steps if each["kind"] == "step")


def test_a_step_counts_its_own_rows_not_those_of_the_filter_behind_it(workspace: Path) -> None:
    text = 'flow f {} source o = csv("in/orders.csv") step a = o | derive x = id * 2 step b = a | where x > 6'
    ran = run(workspace, text + ' sink b -> csv("b.csv")')
    assert (ran.step("a")["rows"], ran.step("b")["rows"]) == (4, 1)


def test_rows_that_a_later_step_did_not_take_are_unknown_rather_than_wrong(workspace: Path) -> None:
    write(workspace, "in/many.csv", "x\n" + "".join(f"{number}\n" for number in range(300_000)))
    text = (
        'flow f {} source m = csv("in/many.csv") step a = m | where x >= 0 step b = a | take 3 sink b -> csv("b.csv")'
    )
    ran = run(workspace, text)
    assert (ran.step("a")["rows"], ran.step("b")["rows"]) == (None, 3)
    assert "not counted" in ran.said()


def test_events_tell_the_run_as_it_goes(workspace: Path) -> None:
    ran = run(workspace, TOTALS)
    assert ran.kinds()[0] == "plan"
    assert ran.kinds()[-1] == "done"
    assert {"step", "progress", "log", "output"} <= set(ran.kinds())
    assert ran.events[0]["steps"][0] == {"name": "orders", "kind": "source"}
    fractions = [event["fraction"] for event in ran.events if event["kind"] == "progress"]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    assert ran.events[-1]["outcome"] == ran.outcome.to_json()
    states = [event["state"] for event in ran.events if event["kind"] == "step" and event["part"] == "sink"]
    assert states[-1] == "succeeded"
    assert states.count("succeeded") == 1, "a sink has succeeded when it is published, not when it is staged"


def test_nothing_is_left_but_outputs_record_and_previews(workspace: Path) -> None:
    run(workspace, TOTALS)
    kept = sorted(path.name for path in (workspace / ".flowcontrol/runs/run-1").rglob("*") if path.is_file())
    assert kept == ["fence", "manifest.json", "totals.json"]


def test_previews_are_kept_for_steps_and_read_from_outputs(workspace: Path) -> None:
    run(workspace, TOTALS + 'sink paid -> parquet("out/paid.parquet")')
    kept = preview.kept(workspace, "run-1", "paid")
    assert kept is not None
    assert kept.columns == ["id", "customer", "amount", "day"]
    assert kept.rows[0] == ["1", "7", "10.00", "2026-01-01"]
    assert preview.read(workspace / "out/totals.csv")[1] == [["7", "15.50", "2"], ["8", "1.25", "1"]]
    assert preview.kept(workspace, "run-1", "nothing") is None


def test_a_preview_has_fifty_rows(workspace: Path) -> None:
    write(workspace, "in/many.csv", "x\n" + "".join(f"{number}\n" for number in range(300)))
    run(workspace, 'flow f {} source m = csv("in/many.csv") step a = m sink a -> parquet("a.parquet")')
    kept = preview.kept(workspace, "run-1", "a")
    assert kept is not None
    assert len(kept.rows) == len(preview.read(workspace / "a.parquet")[1]) == 50


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_each_format_is_read_back_as_it_was_written(workspace: Path, kind: str) -> None:
    columns = "{ columns: { id: int, customer: int, amount: decimal(12, 2), day: date } }"
    assert run(workspace, f'flow f {{}} source o = csv("in/orders.csv") {columns} step a = o '
               f'sink a -> {kind}("mid.{kind}")').outcome.status == "succeeded"  # fmt: skip
    again = f'flow f {{}} source o = {kind}("mid.{kind}") {columns} step a = o | sort id sink a -> csv("end.csv")'
    ran = run(workspace, again, run_key="run-2")
    assert ran.outcome.status == "succeeded", ran.outcome.error
    assert (workspace / "end.csv").read_text() == ORDERS


def test_append_adds_one_file_a_run_however_often_it_is_tried(workspace: Path) -> None:
    text = 'flow f {} source o = csv("in/orders.csv") step a = o sink a -> csv("log") { mode: append }'
    for key, attempt in [("run-1", 1), ("run-2", 1), ("run-2", 2)]:
        ran = run(workspace, text, run_key=key, attempt=attempt)
    assert "nothing was done twice" in ran.said()
    assert lasting(workspace) == ["in/orders.csv", "log/part-run-1.csv", "log/part-run-2.csv"]
    assert ran.outcome.outputs[0]["path"] == "log/part-run-2.csv"


def test_partitions_replace_the_whole_folder(workspace: Path) -> None:
    text = 'flow f {} source o = csv("in/orders.csv") step a = o | where %s sink a -> parquet("p") { partition_by: [customer] }'
    run(workspace, text % "true")
    assert lasting(workspace)[1:] == [f"p/customer={each}/part-0.parquet" for each in (7, 8, 9)]
    ran = run(workspace, text % "customer == 7", run_key="run-2")
    assert lasting(workspace)[1:] == ["p/customer=7/part-0.parquet"]
    assert (ran.outcome.outputs[0]["path"], ran.outcome.outputs[0]["rows"]) == ("p", 2)
    columns = duckdb.sql(f"FROM '{workspace}/p/customer=7/part-0.parquet'").columns
    assert "customer" in columns, "each file can be read by itself"


def test_a_flow_may_replace_what_it_reads(workspace: Path) -> None:
    text = 'flow f {} source o = csv("in/orders.csv") step a = o | where id > 1 sink a -> csv("in/orders.csv")'
    run(workspace, text)
    assert [row[0] for row in rows_of(workspace / "in/orders.csv")] == ["2", "3", "4"]


def test_files_of_one_pattern_may_order_their_columns_differently(workspace: Path) -> None:
    write(workspace, "in/orders_2.csv", "day,id,note,amount,customer\n2026-01-04,5,x,2.00,7\n")
    ran = run(workspace, TOTALS.replace("in/orders.csv", "in/orders*.csv"))
    assert ran.step("orders", "source")["rows"] == 5
    assert rows_of(workspace / "out/totals.csv") == [["7", "17.50", "3"], ["8", "1.25", "1"]]


def test_a_csv_without_a_header_is_read_by_position(workspace: Path) -> None:
    write(workspace, "in/bare.csv", "1|'x|y'\n2|NA\n")
    text = """flow f {} source s = csv("in/bare.csv") { header: false, delimiter: "|", quote: "'", null: "NA", columns: { a: int, b: text } }
    step t = s | derive n = b is null sink t -> csv("out.csv") { header: false, delimiter: ";", null: "-" }"""
    ran = run(workspace, text)
    assert ran.outcome.status == "succeeded", ran.outcome.error
    assert (workspace / "out.csv").read_text() == "1;x|y;false\n2;-;true\n"


def test_the_logical_time_is_the_runs(workspace: Path) -> None:
    text = 'flow f {} source o = csv("in/orders.csv") step a = o | take 1 | select now = now(), today = today()'
    run(workspace, text + ' sink a -> csv("a.csv")')
    assert rows_of(workspace / "a.csv") == [["2026-03-01 12:00:00", "2026-03-01"]]


# --- parameters ------------------------------------------------------------------------------------

PARAMS = """
flow f {}
param region: text = "EU" allow ["EU", "US"]
param least: int = 1 between 1 and 10
param since: date between today() - 60d and today()
source o = csv("in/orders.csv")
step a = o | where id >= @least and day >= @since | derive r = @region
sink a -> csv("a.csv")
"""


def test_parameters_are_bound(workspace: Path) -> None:
    ran = run(workspace, PARAMS, params={"since": "2026-01-02", "region": "US", "least": "3"})
    assert ran.outcome.status == "succeeded", ran.outcome.error
    assert [(row[0], row[-1]) for row in rows_of(workspace / "a.csv")] == [("3", "US"), ("4", "US")]


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({}, "since"),
        ({"since": "soon"}, "since"),
        ({"since": "2026-01-02", "region": "MARS"}, "MARS"),
        ({"since": "2026-01-02", "least": "11"}, "least"),
        ({"since": "2025-01-01"}, "lower than 2025-12-31"),
        ({"since": "2026-05-01"}, "higher than 2026-03-01"),
        ({"since": "2026-01-02", "regoin": "EU"}, "regoin"),
        ({"since": "2026-01-02'; DROP TABLE x; --"}, "since"),
    ],
)
def test_a_parameter_that_is_not_allowed_is_refused_before_anything_runs(
    workspace: Path, params: dict[str, str], words: str
) -> None:
    error = run(workspace, PARAMS, params=params).error
    assert error["code"].startswith("E50")
    assert words in error["message"]
    assert error["hint"]
    assert lasting(workspace) == ["in/orders.csv"]


# --- checks ---------------------------------------------------------------------------------------------


def test_a_failed_expectation_leaves_the_old_outputs(workspace: Path) -> None:
    write(workspace, "out/totals.csv", "old")
    ran = run(workspace, TOTALS + "expect paid { amount > 2 fail, not_null(id) fail }")
    assert ran.error["code"] == "E530"
    assert "amount > 2 (1 of 3 rows fail it)" in ran.error["message"]
    assert ran.error["line"] == 7
    assert (workspace / "out/totals.csv").read_text() == "old"
    assert ran.outcome.outputs == []
    assert [(check["check"], check["ok"], check["failed_rows"]) for check in ran.outcome.checks] == [
        ("amount > 2", False, 1),
        ("not_null(id)", True, 0),
    ]
    assert ran.step("totals", "sink")["status"] == "skipped"


@pytest.mark.parametrize(
    ("rule", "status", "severity", "ok"),
    [
        ("amount > 2 warn", "succeeded", "warn", False),
        ("amount > 2 warn max 50%", "succeeded", "warn", False),
        ("amount > 2 warn max 1%", "failed", "fail", False),
        ("amount > 2 fail max 50%", "succeeded", "fail", True),
        ("amount > 2 fail max 1%", "failed", "fail", False),
        ("unique(customer) warn", "succeeded", "warn", False),
        ("row_count() between 1 and 3 fail", "succeeded", "fail", True),
    ],
)
def test_severities_and_tolerance(workspace: Path, rule: str, status: str, severity: str, ok: bool) -> None:
    ran = run(workspace, TOTALS + f"expect paid {{ {rule} }}")
    assert ran.outcome.status == status, ran.outcome.error
    (check,) = ran.outcome.checks
    assert (check["severity"], check["ok"]) == (severity, ok)


# --- data that is not as it should be --------------------------------------------------------------


def test_a_csv_whose_type_changes_at_row_100_000_is_told_with_file_line_column_and_cure(workspace: Path) -> None:
    lines = [f"{number},x\n" for number in range(120_000)]
    lines[100_000] = "oops,x\n"
    write(workspace, "in/late.csv", "a,b\n" + "".join(lines))
    write(workspace, "out.csv", "old")
    error = run(workspace, 'flow f {}\nsource s = csv("in/late.csv")\nstep t = s\nsink t -> csv("out.csv")').error
    assert error["code"] == "E513"
    assert "in/late.csv, line 100002, column 'a': 'oops' is not an int" in error["message"]
    assert "first 20,480 rows" in error["message"]
    assert "a: text" in error["hint"]
    assert "try_int" in error["hint"]
    assert error["line"] == 2
    assert (workspace / "out.csv").read_text() == "old"


@pytest.mark.parametrize(
    ("content", "words", "cure"),
    [
        (b"id,customer,day\n1,2,2026-01-01\n", "has no column 'amount'", "header line has: id, customer, day"),
        (b"id;customer;amount;day\n1;2;3;4\n", "has no column 'id'", 'delimiter: ";"'),
        (b"", "is empty", "header line"),
        (b"id,customer,amount,day\n1,2\n", "line 2: 2 values where the header line names 4", "quotes"),
        (
            b"id,customer,amount,day\n1,2,much,2026-01-01\n",
            "line 2, column 'amount': 'much' is not a decimal",
            "try_decimal",
        ),
        (b"id,customer,amount,day\n\xff\xfe,2,3.00,2026-01-01\n", "not UTF-8", "UTF-8"),
        (b"\xff\xfe,b\n", "not UTF-8", "UTF-8"),
        (b"id,id,amount,day\n", "two columns 'id'", "Rename"),
        (b'id,customer,amount,day\n1,2,3.00,"2026\n', "line 2", "quote"),
        (b"id,customer,amount,day\n1,99999999999999999999,3.00,2026-01-01\n", "is not an int", "Correct"),
    ],
)
def test_a_csv_that_cannot_be_read_is_told_in_words(workspace: Path, content: bytes, words: str, cure: str) -> None:
    (workspace / "in/orders.csv").write_bytes(content)
    error = run(workspace, TOTALS).error
    assert words in error["message"]
    assert "in/orders.csv" in error["message"]
    assert cure in error["hint"]
    assert str(workspace) not in str(error)
    assert error["code"] in ("E512", "E513")


def test_a_column_that_no_step_uses_is_not_read(workspace: Path) -> None:
    write(workspace, "in/orders.csv", "id,customer,amount,day\n1,2,3.00,no day at all\n")
    assert run(workspace, TOTALS).outcome.status == "succeeded"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"id": 1}\n{"id": "x"}\n', "line 2, column 'id'"),
        ('{"id": 1}\n[1]\n', "in/x.jsonl, line"),
        ('{"id": 1}\n{"id": \n', "in/x.jsonl"),
    ],
)
def test_a_jsonl_that_cannot_be_read_is_told_in_words(workspace: Path, content: str, words: str) -> None:
    write(workspace, "in/x.jsonl", content)
    text = 'flow f {} source s = jsonl("in/x.jsonl") { columns: { id: int } } step t = s sink t -> csv("out.csv")'
    error = run(workspace, text).error
    assert words in error["message"]
    assert error["hint"]


def test_a_file_that_is_no_parquet_is_told_in_words(workspace: Path) -> None:
    write(workspace, "in/x.parquet", "not parquet at all")
    text = 'flow f {} source s = parquet("in/x.parquet") { columns: { id: int } } step t = s sink t -> csv("out.csv")'
    error = run(workspace, text).error
    assert "in/x.parquet" in error["message"]
    assert error["hint"]


@pytest.mark.parametrize("path", ["in/none.csv", "in/none*.csv", "nowhere/x.csv"])
def test_a_missing_source_is_told_with_what_is_there(workspace: Path, path: str) -> None:
    error = run(workspace, TOTALS.replace("in/orders.csv", path)).error
    assert error["code"] == "E511"
    assert path in error["message"]
    if path.startswith("in/"):
        assert "orders.csv" in error["hint"]


def test_a_lookup_that_finds_two_says_which_key(workspace: Path) -> None:
    write(workspace, "in/customers.csv", "id,name\n7,a\n7,b\n8,c\n")
    text = 'flow f {} source o = csv("in/orders.csv") source c = csv("in/customers.csv")'
    text += ' step a = o | lookup c as k on customer == k.id bring k.name sink a -> csv("a.csv")'
    error = run(workspace, text).error
    assert error["code"] == "E531"
    assert "7 (2 matches)" in error["message"]


def test_an_overflow_is_told_with_its_step(workspace: Path) -> None:
    text = 'flow f {} source o = csv("in/orders.csv") step a = o | derive x = id * 9223372036854775807 sink a -> csv("a.csv")'
    error = run(workspace, text).error
    assert error["code"] == "E532"
    assert "In step 'a'" in error["message"]
    assert "verflow" in error["message"]


def test_a_flow_with_errors_says_the_first_and_how_many(workspace: Path) -> None:
    ran = run(workspace, TOTALS.replace("amount is not null", "amont > 0 and nope > 1"))
    assert ran.error["code"].startswith("E2")
    assert "amont" in ran.error["message"]
    assert "(and 1 more)" in ran.error["message"]
    assert ran.error["line"] == 4


# --- where it may not write ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["../out.csv", "/tmp/out.csv", ".flowcontrol/runs/x.csv", "linked/out.csv", "http://x/out.csv"]
)
def test_a_sink_out_of_the_workspace_is_refused(workspace: Path, path: str) -> None:
    (workspace / "linked").symlink_to(workspace.parent)
    before = lasting(workspace.parent)
    error = run(workspace, TOTALS.replace("out/totals.csv", path)).error
    assert error["hint"]
    assert lasting(workspace.parent) == before


@pytest.mark.parametrize("path", ["../x.csv", "/etc/passwd", "linked/x.csv", "linked/*.csv", "https://x/y.csv"])
@pytest.mark.parametrize("declared", ["", "{ columns: { id: int } }"])
def test_a_source_out_of_the_workspace_is_refused(workspace: Path, path: str, declared: str) -> None:
    write(workspace.parent, "x.csv", "id\nsecret\n")
    (workspace / "linked").symlink_to(workspace.parent)
    text = f'flow f {{}} source s = csv("{path}") {declared} step t = s sink t -> csv("out.csv")'
    error = run(workspace, text).error
    assert "secret" not in str(error)
    assert error["hint"]


def test_two_sinks_may_not_write_the_same_place_by_two_names(workspace: Path) -> None:
    (workspace / "out").mkdir()
    (workspace / "alias").symlink_to("out")
    error = run(workspace, TOTALS + 'sink paid -> csv("alias/totals.csv")').error
    assert error["code"] == "E514"
    assert lasting(workspace) == ["in/orders.csv"]


@pytest.mark.skipif(os.getuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_is_told_and_the_old_output_stands(workspace: Path, small_disk: Path) -> None:
    write(small_disk, "out/a.csv", "old")
    write(small_disk, "in/many.csv", "x\n" + "".join(f"{number * 7919 % 100003}\n" for number in range(60_000)))
    text = (
        'flow f {} source m = csv("in/many.csv") step a = m | derive h = sha256(to_text(x)) sink a -> csv("out/a.csv")'
    )
    error = run(small_disk, text).error
    assert error["code"] == "E516"
    assert "disk is full" in error["message"]
    assert (small_disk / "out/a.csv").read_text() == "old"
    assert not list((small_disk / ".flowcontrol").rglob("attempt-*")), "what was staged is gone again"


def test_a_full_temporary_space_is_told(workspace: Path) -> None:
    write(workspace, "in/many.csv", "x\n" + "".join(f"{number * 7919 % 1000003}\n" for number in range(600_000)))
    text = (
        'flow f {} source m = csv("in/many.csv") step a = m | derive h = concat(sha256(to_text(x)), sha512x) '
        '| sort h sink a -> parquet("a.parquet")'
    ).replace("sha512x", "md5(to_text(x))")
    error = run(workspace, text, memory_bytes=40 << 20, temp_bytes=1 << 20, threads=1).error
    assert error["code"] in ("E517", "E520")


# --- stopping -------------------------------------------------------------------------------------------

SLOW = """
flow slow {}
source m = csv("in/many.csv")
step pairs = m | inner join m as o on (x * o.x) % 1000003 == 17 bring y = o.x
step n = pairs | group { n = count() }
sink n -> csv("n.csv")
"""


@pytest.fixture
def slow(workspace: Path) -> Path:
    """A workspace in which SLOW takes minutes."""
    return write(workspace, "in/many.csv", "x\n" + "".join(f"{number}\n" for number in range(200_000))).parent.parent


def test_cancelling_takes_less_than_two_seconds(slow: Path) -> None:
    begun, stop = threading.Event(), threading.Event()
    stopped_at: list[float] = []

    def cancelled() -> bool:
        if begun.is_set() and not stop.is_set():
            stop.set()
            stopped_at.append(time.monotonic())
        return stop.is_set()

    def emit(event: dict[str, object]) -> None:
        if event["kind"] == "progress" or event.get("state") == "running":
            begun.set()

    outcome = execute(spec(slow, SLOW), emit, cancelled)
    assert time.monotonic() - stopped_at[0] < 2
    assert outcome.status == "cancelled"
    assert outcome.error is None
    assert {each["status"] for each in outcome.steps} <= {"cancelled", "skipped"}
    assert not (slow / "n.csv").exists()
    assert manifest.recover(slow, "run-1") is None


def test_a_timeout_stops_it_and_says_so(slow: Path) -> None:
    ran = run(slow, SLOW, timeout_seconds=0.3)
    assert ran.error["code"] == "E521"
    assert "0.3 seconds" in ran.error["message"]
    assert ran.outcome.seconds < 2.3


def test_a_flows_own_timeout_counts(slow: Path) -> None:
    ran = run(slow, SLOW.replace("{}", "{ timeout: 1s }", 1))
    assert ran.error["code"] == "E521"


def test_progress_moves_while_a_statement_runs(workspace: Path) -> None:
    write(workspace, "in/long.csv", "x\n" + "".join(f"{number}\n" for number in range(2_000_000)))
    digests = ", ".join(f'd{n} = sha256(concat(to_text(x), "{n}"))' for n in range(8))
    text = f'flow f {{}} source m = csv("in/long.csv") step d = m | derive {digests} sink d -> parquet("d.parquet")'
    fractions: list[float] = []

    def emit(event: dict[str, Any]) -> None:
        if event["kind"] == "progress":
            fractions.append(event["fraction"])

    outcome = execute(spec(workspace, text, timeout_seconds=60), emit, lambda: len(fractions) > 1)
    assert outcome.status == "cancelled", "it was stopped when it had told of some progress"
    assert 0 <= fractions[0] < fractions[1] < 1


def test_a_superseded_attempt_does_not_publish(workspace: Path) -> None:
    manifest.fence(workspace, "run-1", 2)
    ran = run(workspace, TOTALS, attempt=1)
    assert ran.error["code"] == "E523"
    assert lasting(workspace) == ["in/orders.csv"]
