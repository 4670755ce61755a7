"""The file commands, as whole processes: documents, exit codes, streams."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from apps.engine import cli
from tests.engine.running import ORDERS, TOTALS, rows_of, write
from tests.engine.test_run import SLOW

ROOT = Path(__file__).resolve().parents[2]
MANAGE = [sys.executable, str(ROOT / "manage.py"), "flow"]
TESTED = (
    TOTALS
    + """
test "totals add up" {
  given orders
    | id | customer | amount |
    | 1  | 7        | 1.50   |
    | 2  | 7        | 2.00   |
  then totals
    | customer | total | n |
    | 7        | 3.50  | 2 |
}
"""
)
NULLABLE = {"type": ["number", "null"]}
RUN_SCHEMA = {
    "type": "object",
    "required": ["version", "status", "seconds", "error", "steps", "outputs", "checks"],
    "additionalProperties": False,
    "properties": {
        "version": {"const": 1},
        "status": {"enum": ["succeeded", "failed", "cancelled"]},
        "seconds": {"type": "number"},
        "error": {"type": ["object", "null"], "required": ["code", "message", "hint", "line", "column"]},
        "steps": {"items": {"required": ["name", "status", "rows", "seconds"], "additionalProperties": False,
                            "properties": {"name": {}, "status": {}, "rows": NULLABLE, "seconds": NULLABLE}}},
        "outputs": {"items": {"required": ["name", "path", "rows", "bytes"]}},
        "checks": {"items": {"required": ["step", "check", "ok", "failed_rows"]}},
    },
}  # fmt: skip
CHECK_SCHEMA = {
    "type": "object",
    "required": ["version", "files"],
    "additionalProperties": False,
    "properties": {
        "version": {"const": 1},
        "files": {"items": {"required": ["path", "ok", "diagnostics"], "properties": {"diagnostics": {"items": {
            "required": ["severity", "code", "message", "hint", "line", "column", "end_line", "end_column"],
            "additionalProperties": False,
            "properties": {
                "severity": {}, "code": {}, "message": {}, "hint": {}, "line": {}, "column": {}, "end_line": {}, "end_column": {},
            },
        }}}}},
    },
}  # fmt: skip
TEST_SCHEMA = {
    "type": "object",
    "required": ["version", "passed", "failed", "cases"],
    "additionalProperties": False,
    "properties": {
        "version": {"const": 1},
        "passed": {"type": "integer"},
        "failed": {"type": "integer"},
        "cases": {"items": {"required": ["file", "title", "ok", "message", "seconds"]}},
    },
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, "ws/in/orders.csv", ORDERS)
    write(tmp_path, "flows/totals.flow", TESTED)
    return tmp_path


def flow(*arguments: object, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [*MANAGE, *map(str, arguments)]
    return subprocess.run(
        command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60, check=False
    )


def document(done: subprocess.CompletedProcess[str], schema: dict[str, Any]) -> dict[str, Any]:
    """The one JSON document on standard output."""
    found: dict[str, Any] = json.loads(done.stdout)
    jsonschema.validate(found, schema)
    return found


# --- run ---------------------------------------------------------------------------------------------


def test_run_writes_the_outputs_and_one_document(folder: Path) -> None:
    done = flow("run", folder / "flows/totals.flow", "--workspace", folder / "ws", "--json")
    found = document(done, RUN_SCHEMA)
    assert (done.returncode, done.stderr, found["status"]) == (0, "", "succeeded")
    assert [(each["name"], each["status"], each["rows"]) for each in found["steps"]] == [
        ("paid", "succeeded", 3),
        ("totals", "succeeded", 2),
    ]
    assert found["outputs"][0]["path"] == "out/totals.csv"
    assert rows_of(folder / "ws/out/totals.csv") == [["7", "15.50", "2"], ["8", "1.25", "1"]]


def test_run_for_people_says_what_it_wrote_and_leaves_nothing_of_its_own(folder: Path) -> None:
    done = flow("run", "flows/totals.flow", "--workspace", "ws", cwd=folder)
    assert done.returncode == 0
    assert "wrote out/totals.csv: 2 rows" in done.stdout
    assert "succeeded in" in done.stderr
    assert "\033" not in done.stdout + done.stderr, "no colour into a pipe"
    assert list((folder / "ws/.flowcontrol/runs").iterdir()) == []


def test_a_run_that_fails_says_why_in_both_forms(folder: Path) -> None:
    write(folder, "ws/in/orders.csv", ORDERS + "x,1,1.00,2026-01-01\n")
    text = TOTALS.replace("amount is not null", "id > 0")
    path = write(folder, "bad.flow", text)
    done = flow("run", path, "--workspace", folder / "ws", "--json")
    error = document(done, RUN_SCHEMA)["error"]
    assert (done.returncode, error["code"]) == (1, "E513")
    assert "line 6, column 'id': 'x' is not an int" in error["message"]
    done = flow("run", path, "--workspace", folder / "ws")
    assert done.returncode == 1
    assert f"{path}:3:" in done.stderr
    assert "error[E513]: in/orders.csv, line 6" in done.stderr
    assert "Traceback" not in done.stderr


def test_parameters_are_given_by_name(folder: Path) -> None:
    text = 'flow p {} param least: int = 1 source o = csv("in/orders.csv") step a = o | where id >= @least sink a -> csv("a.csv")'
    path = write(folder, "p.flow", text)
    assert flow("run", path, "--workspace", folder / "ws", "--param", "least=3").returncode == 0
    assert [row[0] for row in rows_of(folder / "ws/a.csv")] == ["3", "4"]
    done = flow("run", path, "--workspace", folder / "ws", "--param", "least=many", "--json")
    assert (done.returncode, document(done, RUN_SCHEMA)["error"]["code"]) == (1, "E502")
    assert flow("run", path, "--workspace", folder / "ws", "--param", "least").returncode == 2


def test_the_logical_time_can_be_given(folder: Path) -> None:
    path = write(
        folder,
        "t.flow",
        'flow t {} source o = csv("in/orders.csv") step a = o | take 1 | select t = now() sink a -> csv("a.csv")',
    )
    flow("run", path, "--workspace", folder / "ws", "--now", "2026-02-03T04:05:06")
    assert rows_of(folder / "ws/a.csv") == [["2026-02-03 04:05:06"]]
    assert flow("run", path, "--workspace", folder / "ws", "--now", "soon").returncode == 2


@pytest.mark.parametrize(
    "data", [b"\xff\xfe\x00", b"flow x {}\0", b"# " + b"x" * (10 << 20), b"flow f {} step a = " + b"(" * 500]
)
def test_a_file_that_is_no_flow_is_told_by_every_command(folder: Path, data: bytes) -> None:
    path = folder / "no.flow"
    path.write_bytes(data)
    for command in (["run", "--workspace", folder / "ws"], ["check"], ["test"], ["format"], ["graph"]):
        done = flow(command[0], path, *command[1:])
        assert done.returncode == 1, command
        assert "error" in done.stderr or "FAIL" in done.stdout
        assert "Traceback" not in done.stderr
    assert path.read_bytes() == data


def test_interrupting_cancels_and_leaves_the_old(folder: Path) -> None:
    write(folder, "ws/in/many.csv", "x\n" + "".join(f"{number}\n" for number in range(200_000)))
    write(folder, "ws/n.csv", "old")
    path = write(folder, "slow.flow", SLOW)
    process = subprocess.Popen(
        [*MANAGE, "run", str(path), "--workspace", str(folder / "ws"), "--json"], stdout=subprocess.PIPE, text=True
    )
    attempt_begun(folder / "ws", process)
    asked = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=20)
    assert time.monotonic() - asked < 2.5
    assert (process.returncode, json.loads(out)["status"]) == (1, "cancelled")
    assert (folder / "ws/n.csv").read_text() == "old"
    assert list((folder / "ws/.flowcontrol/runs").iterdir()) == []


@pytest.mark.kill
def test_what_a_killed_run_left_is_removed_by_the_next(folder: Path) -> None:
    write(folder, "ws/in/many.csv", "x\n" + "".join(f"{number}\n" for number in range(200_000)))
    path = write(folder, "slow.flow", SLOW)
    process = subprocess.Popen([*MANAGE, "run", str(path), "--workspace", str(folder / "ws")])
    attempt_begun(folder / "ws", process)
    process.kill()
    process.wait()
    assert list((folder / "ws/.flowcontrol/runs").iterdir())
    deadline = time.monotonic() + 20
    while list((folder / "ws/.flowcontrol/runs").iterdir()):
        assert time.monotonic() < deadline, "the killed run's child lives on, or its files are kept"
        assert flow("run", folder / "flows/totals.flow", "--workspace", folder / "ws").returncode == 0


def attempt_begun(workspace: Path, process: subprocess.Popen[Any]) -> None:
    deadline = time.monotonic() + 20
    while not list(workspace.glob(".flowcontrol/runs/*/attempt-1/checkpoints")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_bomb_is_told_and_the_command_lives(folder: Path) -> None:
    text = 'flow b {} source o = csv("in/orders.csv") step a = o | derive t = pad_left("x", 2_000_000_000 + id, "x") | where length(t) > 5 sink a -> csv("a.csv")'
    done = flow("run", write(folder, "b.flow", text), "--workspace", folder / "ws", "--memory", 300, "--json")
    error = document(done, RUN_SCHEMA)["error"]
    assert (done.returncode, error["code"]) == (1, "E520")
    assert "300 MB" in error["message"]


def test_colour_and_a_bar_only_at_a_terminal(folder: Path) -> None:
    command = [*MANAGE, "run", str(folder / "flows/totals.flow"), "--workspace", str(folder / "ws")]
    assert "\033[32m" in at_a_terminal(command, {})
    assert "\033[32m" not in at_a_terminal(command, {"NO_COLOR": "1"})


def at_a_terminal(command: list[str], environment: dict[str, str]) -> str:
    """Standard error of a command that has a terminal there."""
    ours, its = pty.openpty()
    env = {key: value for key, value in os.environ.items() if key != "NO_COLOR"} | {"TERM": "xterm"} | environment
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=its, env=env)
    os.close(its)
    said = b""
    try:
        while chunk := os.read(ours, 4096):
            said += chunk
    except OSError:  # how Linux says that the other side is closed
        pass
    os.close(ours)
    assert process.wait() == 0
    return said.decode()


# --- check -------------------------------------------------------------------------------------------


def test_check_reads_the_sources_beside_the_file_or_in_the_workspace(folder: Path) -> None:
    text = 'flow f {} source o = csv("in/orders.csv") step a = o | where amount > 1 sink a -> csv("a.csv")'
    path = write(folder, "sniff.flow", text)
    assert flow("check", path, "--workspace", folder / "ws").returncode == 0
    done = flow("check", path, "--json")
    (found,) = document(done, CHECK_SCHEMA)["files"]
    assert (done.returncode, found["ok"]) == (1, False)
    assert "in/orders.csv" in found["diagnostics"][0]["message"]
    write(folder, "in/orders.csv", ORDERS)
    assert flow("check", path).returncode == 0


def test_check_takes_files_and_folders_and_reports_all(folder: Path) -> None:
    bad = write(folder, "flows/deep/bad.flow", TOTALS.replace("amount is", "amont is"))
    done = flow("check", folder / "flows", "--workspace", folder / "ws", "--json")
    found = document(done, CHECK_SCHEMA)
    assert done.returncode == 1
    assert [(Path(each["path"]).name, each["ok"]) for each in found["files"]] == [
        ("bad.flow", False),
        ("totals.flow", True),
    ]
    (diagnostic,) = found["files"][0]["diagnostics"]
    assert (diagnostic["severity"], diagnostic["line"]) == ("error", 4)
    assert "amont" in diagnostic["message"]
    assert "amount" in diagnostic["hint"]
    done = flow("check", folder / "flows", "--workspace", folder / "ws")
    assert f"{bad}:4:" in done.stderr
    assert "^^^^^" in done.stderr
    assert "totals.flow" in done.stdout


# --- test --------------------------------------------------------------------------------------------


def test_the_tests_of_a_flow_run_without_its_files(folder: Path) -> None:
    done = flow("test", folder / "flows/totals.flow", "--json")
    found = document(done, TEST_SCHEMA)
    assert (done.returncode, found["passed"], found["failed"]) == (0, 1, 0)
    assert found["cases"][0]["title"] == "totals add up"


def test_a_failed_test_says_what_differs(folder: Path) -> None:
    path = write(folder, "flows/totals.flow", TESTED.replace("3.50", "9.99"))
    done = flow("test", path, "--json")
    found = document(done, TEST_SCHEMA)
    assert (done.returncode, found["failed"]) == (1, 1)
    assert "9.99" in found["cases"][0]["message"]
    done = flow("test", path)
    assert done.returncode == 1
    assert "FAIL" in done.stdout
    assert "1 failed" in done.stderr


def test_a_flow_with_errors_is_a_failed_test(folder: Path) -> None:
    path = write(folder, "bad.flow", TESTED.replace("amount is", "amont is"))
    done = flow("test", path, folder / "flows", "--json")
    found = document(done, TEST_SCHEMA)
    assert (done.returncode, found["passed"], found["failed"]) == (1, 1, 1)


# --- format, graph -------------------------------------------------------------------------------------


def test_format_rewrites_once_and_check_only_says(folder: Path) -> None:
    path = write(folder, "ugly.flow", '# kept\nflow   f{}\nsource o=csv( "in/orders.csv" )\nstep a=o|where id>1\n')
    path.chmod(0o600)
    before = path.read_text()
    assert flow("format", path, "--check").returncode == 1
    assert path.read_text() == before
    assert flow("format", path).returncode == 0
    assert path.read_text() != before
    assert "# kept" in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    done = flow("format", path, "--check", "--json")
    assert (done.returncode, json.loads(done.stdout)["files"][0]["changed"]) == (0, False)


def test_format_leaves_a_file_with_errors_as_it_is(folder: Path) -> None:
    path = write(folder, "bad.flow", "flow f {} step = = =")
    done = flow("format", path, folder / "flows")
    assert done.returncode == 1
    assert path.read_text() == "flow f {} step = = ="
    assert "error[E1" in done.stderr


@pytest.mark.parametrize(
    ("form", "start"), [("svg", "<svg"), ("dot", "digraph"), ("mermaid", "flowchart"), ("json", "{")]
)
def test_graph_draws_in_each_form(folder: Path, form: str, start: str) -> None:
    done = flow("graph", folder / "flows/totals.flow", "--format", form)
    assert done.returncode == 0
    assert done.stdout.lstrip().startswith(start)
    assert done.stderr == ""


def test_a_reader_that_has_had_enough_is_no_error(folder: Path) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    command = [*MANAGE, "graph", str(folder / "flows/totals.flow")]
    done = subprocess.run(command, stdout=write_end, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    os.close(write_end)
    assert (done.returncode, done.stderr) == (0, "")


# --- wrong use -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["check"], "required"),
        (["check", "none.flow"], "There is no file 'none.flow'"),
        (["check", "empty"], "holds no .flow file"),
        (["check", "--what", "x.flow"], "--what"),
        (["run", "flows/totals.flow"], "--workspace"),
        (["run", "flows/totals.flow", "--workspace", "nowhere"], "is no folder"),
        (["run", "flows/totals.flow", "--workspace", "ws", "--memory", "-1"], "not a positive number"),
        (["graph", "flows/totals.flow", "--format", "png"], "png"),
    ],
)
def test_wrong_use_exits_2_and_says_what_to_do(folder: Path, arguments: list[str], words: str) -> None:
    (folder / "empty").mkdir()
    done = flow(*arguments, cwd=folder)
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["check", "run", "test", "format", "graph"])
def test_help_is_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([command, "--help"]) == 0
    said = capsys.readouterr().out
    assert f"manage.py flow {command}" in said
    assert "Exit status" in said


@pytest.mark.parametrize(
    ("arguments", "ours"),
    [
        (["check"], True),
        (["format", "-h"], True),
        (["run", "x.flow"], True),
        (["run", "x", "--workspace", "ws"], True),
        (["run", "x", "--workspace=ws"], True),
        (["run", "orders_daily", "--env", "dev"], False),
        (["push", "x.flow"], False),
        (["-h"], False),
        ([], False),
    ],
)
def test_which_commands_are_on_files(arguments: list[str], ours: bool) -> None:
    assert cli.is_file_command(arguments) is ours


def test_no_file_command_imports_django() -> None:
    script = (
        "import sys; from apps.engine import cli, cli_run; "
        "cli.main(['check', 'examples/shop/daily_revenue.flow', '--workspace', 'examples/shop/data']); "
        "sys.exit('django' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False, timeout=60).returncode == 0


def test_a_run_is_forked_before_much_is_imported() -> None:
    script = """import os, sys
from apps.engine import cli, fork
heavy = {"duckdb", "_duckdb", "lark", "django", "rich", "argparse", "dataclasses", "json"}
fork.Forked = lambda: os._exit(len(sys.modules.keys() & heavy))
cli.main(["run", "x.flow"])"""
    assert subprocess.run([sys.executable, "-S", "-c", script], cwd=ROOT, check=False, timeout=60).returncode == 0


def test_help_and_wrong_use_leave_no_process(folder: Path) -> None:
    for arguments in (["run", "--help"], ["run", "none.flow", "--workspace", str(folder)], ["run", "x.flow"]):
        done = flow(*arguments)  # its streams close only when every process that holds them has ended
        assert done.returncode == (0 if "--help" in arguments else 2)
