"""`manage.py flow run NAME` and `flow push`: what they print, where, and with which exit status."""

import json
import signal
import subprocess
import sys

import pytest
from django.core.management import call_command

from apps.accounts.models import User
from apps.audit.actors import SYSTEM
from apps.flows.actions import archive_flow, save_version
from apps.flows.models import Flow, FlowVersion
from apps.runs.models import Run, StepRun
from tests.runs.processes import ROOT, portal_environment, wait_for
from tests.runs.texts import SLOW, quick, read_csv, write_many, write_numbers

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def workspace(workspaces):
    write_numbers(workspaces / "dev")
    return workspaces / "dev"


@pytest.fixture
def command(capsys):
    """Runs `flow …`; gives the exit status, standard output and standard error."""

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            call_command("flow", *map(str, arguments))
        said = capsys.readouterr()
        return end.value.code or 0, said.out, said.err

    return run


class TestRun:
    def test_waiting_with_no_worker_it_is_done_here(self, command, workspace):
        save_version(by=SYSTEM, text=quick())
        status, out, err = command("run", "quick", "--env", "dev", "--wait", "--param", "least=5")
        assert status == 0, err
        assert "wrote out/even.csv: 2 rows" in out
        assert "No worker is alive" in err
        assert [row["n"] for row in read_csv(workspace / "out" / "even.csv")] == ["6", "8"]

    def test_json_is_one_document_and_nothing_else(self, command, workspace):
        save_version(by=SYSTEM, text=quick())
        status, out, _ = command("run", "quick", "--wait", "--json")
        found = json.loads(out)
        assert status == 0
        assert (found["version"], found["run"], found["status"]) == (1, Run.objects.get().pk, "succeeded")
        assert found["steps"][0].keys() == {"name", "status", "rows", "seconds"}
        assert [(each["name"], each["rows"]) for each in found["steps"]] == [("even", 5)]
        assert found["outputs"][0].keys() == {"name", "path", "rows", "bytes"}
        assert found["checks"][1] == {
            "step": "even",
            "check": "n < 6",
            "severity": "warn",
            "ok": False,
            "failed_rows": 2,
        }
        assert found["error"] is None
        assert found["seconds"] > 0

    def test_without_waiting_it_is_put_in_line(self, command, workspace):
        save_version(by=SYSTEM, text=quick())
        status, out, err = command("run", "quick", "--json")
        assert (status, json.loads(out)["status"]) == (0, "queued")
        assert "No worker is alive" in err

    def test_a_failed_run_is_status_1(self, command, workspace):
        save_version(by=SYSTEM, text=quick())
        (workspace / "in" / "numbers.csv").unlink()
        status, out, err = command("run", "quick", "--wait", "--json")
        assert (status, json.loads(out)["status"]) == (1, "failed")
        assert "in/numbers.csv" in err

    def test_it_acts_as_an_account(self, command, workspace):
        save_version(by=SYSTEM, text=quick())
        User.objects.create_user("viewer")
        status, _, err = command("run", "quick", "--as", "viewer")
        assert (status, Run.objects.count()) == (2, 0)
        assert "may not" in err

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["nope"], "There are: quick"),
            (["quick", "--env", "moon"], "There are: dev"),
            (["quick", "--param", "least=x"], "least"),
            (["quick", "--param", "least"], "NAME"),
            (["quick", "--as", "nobody"], "nobody"),
        ],
    )
    def test_wrong_use_is_status_2_and_says_what_would_do(self, command, workspace, arguments, said):
        save_version(by=SYSTEM, text=quick())
        status, out, err = command("run", *arguments)
        assert (status, out) == (2, "")
        assert said.lower() in err.lower()
        assert Run.objects.count() == 0

    def test_a_wrong_parameter_is_told_as_json_too(self, command, workspace):
        save_version(by=SYSTEM, text=quick())
        status, out, _ = command("run", "quick", "--param", "least=x", "--json")
        found = json.loads(out)
        assert (status, found["run"], found["status"]) == (2, None, "failed")
        assert "least" in found["error"]["message"]
        assert found["error"]["code"].startswith("E50")

    def test_ctrl_c_cancels_the_run_that_is_done_here(self, workspace, tmp_path):
        write_many(workspace, 4_000_000)
        save_version(by=SYSTEM, text=SLOW)
        process = subprocess.Popen(
            [sys.executable, "manage.py", "flow", "run", "slow", "--wait", "--json"],
            cwd=ROOT,
            env=portal_environment(tmp_path),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_for(lambda: StepRun.objects.filter(state="running").exists(), 60)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert process.returncode == 1, err
        assert json.loads(out)["status"] == "cancelled"
        assert "Cancelled by" in err
        assert Run.objects.get().state == "cancelled"

    def test_an_archived_flow_does_not_run(self, command, workspace):
        archive_flow(by=SYSTEM, flow=save_version(by=SYSTEM, text=quick()).flow)
        status, _, err = command("run", "quick")
        assert (status, "archived" in err) == (2, True)


class TestPush:
    def test_files_and_folders_are_saved(self, command, tmp_path):
        folder = tmp_path / "flows"
        folder.mkdir()
        (folder / "quick.flow").write_text(quick())
        (folder / "second.flow").write_text(quick().replace("flow quick", "flow second"))
        status, out, _ = command("push", folder, "--note", "first")
        assert status == 0
        assert sorted(out.split()[1::4]) == ["quick", "second"]
        assert set(FlowVersion.objects.values_list("note", flat=True)) == {"first"}

    def test_again_changes_nothing(self, command, tmp_path):
        path = tmp_path / "quick.flow"
        path.write_text(quick())
        command("push", path)
        status, out, _ = command("push", path, "--json")
        entry = json.loads(out)["files"][0]
        assert (status, entry["ok"], entry["saved"], entry["number"]) == (0, True, False, 1)

    def test_a_change_is_saved_on_top(self, command, tmp_path):
        path = tmp_path / "quick.flow"
        for text in (quick(), quick() + "# more\n"):
            path.write_text(text)
            command("push", path)
        assert Flow.objects.get().current.number == 2

    def test_one_that_is_wrong_does_not_keep_the_others(self, command, tmp_path):
        (tmp_path / "a.flow").write_text("flow a { }\nstep x = nothing\n")
        (tmp_path / "b.flow").write_bytes(b"flow b { } # Z\xfcrich\n")
        (tmp_path / "c.flow").write_text(quick())
        status, out, _ = command("push", tmp_path, "--json")
        entries = json.loads(out)["files"]
        assert status == 1
        assert [each["ok"] for each in entries] == [False, False, True]
        assert [
            [found["code"] for found in each["diagnostics"] if found["severity"] == "error"] for each in entries[:2]
        ][1] == ["E001"]
        assert entries[0]["diagnostics"][0]["line"] == 2
        assert list(Flow.objects.values_list("name", flat=True)) == ["quick"]

    def test_a_file_that_is_not_there(self, command, tmp_path):
        status, _, err = command("push", tmp_path / "none.flow")
        assert (status, "none.flow" in err) == (2, True)


class TestHelp:
    def test_it_lists_every_command_on_flows(self):
        done = subprocess.run(
            [sys.executable, "manage.py", "flow", "--help"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        for verb in ("check", "run", "test", "format", "graph", "push"):
            assert f"\n    {verb} " in done.stdout

    def test_a_file_command_that_got_here_is_done_all_the_same(self, command, tmp_path):
        path = tmp_path / "quick.flow"
        path.write_text(quick())
        status, out, _ = command("check", path, "--json")
        assert (status, json.loads(out)["files"][0]["ok"]) == (0, True)
