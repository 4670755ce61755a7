"""Chosen parts of the stack, as containers run them; signs of life; the health check."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from apps.common.alive import leave_sign
from flowcontrol.stack import chosen, health, parts
from flowcontrol.stack.children import Child
from flowcontrol.stack.reload import Changes
from tests.stack.portal import PASSWORD, Portal, wait_for

ROOT = Path(__file__).resolve().parent.parent.parent


def start(portal, *options):
    command = [sys.executable, "-m", "flowcontrol.stack", *options]
    portal.folder.mkdir(parents=True, exist_ok=True)
    with (portal.folder / "said.txt").open("ab") as said:
        return subprocess.Popen(command, cwd=ROOT, env=portal.environment, stdout=said, stderr=said)


def test_parts_are_named_in_their_order():
    assert chosen.names_of("controller, worker") == ["worker", "controller"]
    with pytest.raises(ValueError, match="there is no part wizard"):
        chosen.names_of("worker,wizard")


def test_parts_need_a_bus_that_is_named(tmp_path):
    process = start(Portal(tmp_path), "--only", "worker")
    assert process.wait(30) == 1
    assert "REDIS_URL" in Portal(tmp_path).said


def test_a_part_that_is_not_there_is_said(tmp_path):
    portal = Portal(tmp_path, settings={"REDIS_URL": "redis://127.0.0.1:9/0"})
    assert start(portal, "--only", "wizard").wait(30) == 1
    assert "the parts are web, worker, controller, beat" in " ".join(portal.said.split())


@pytest.mark.slow
def test_the_portal_alone_holds_its_folder_and_stops_at_once(tmp_path):
    portal = Portal(tmp_path, settings={"REDIS_URL": "redis://127.0.0.1:9/0", "FLOWCONTROL_ADMIN_PASSWORD": ""})
    process = start(portal, "--only", "web", "--lock")
    try:
        wait_for(lambda: portal.get("/healthz") == 200, 60, f"the portal: {portal.said}")
        password = tmp_path / "data" / "run" / "admin_password"
        assert password.stat().st_mode & 0o777 == 0o600
        assert password.read_text().strip() not in portal.said, "what stands in a file is not in the log"
        refused = portal.start_expecting_refusal()
        assert refused.returncode == 1
        assert "already runs" in refused.stderr, "the lock outlives the exec of the program"
    finally:
        process.terminate()
    assert process.wait(10) in (0, -signal.SIGTERM)


@pytest.mark.slow
def test_a_part_waits_until_the_portal_has_prepared_the_tables(tmp_path):
    portal = Portal(
        tmp_path, settings={"REDIS_URL": "redis://127.0.0.1:9/0", "FLOWCONTROL_ALIVE": str(tmp_path / "alive")}
    )
    waiting = start(portal, "--only", "controller")
    try:
        subprocess.run(
            [sys.executable, "-m", "flowcontrol.stack.prepare"], cwd=ROOT, env=portal.environment, check=True
        )
        wait_for(lambda: (tmp_path / "alive" / "controller").exists(), 60, f"a sign of life: {portal.said}")
        assert waiting.poll() is None
    finally:
        waiting.terminate()
        waiting.wait(15)


@pytest.mark.slow
def test_two_that_prepare_one_folder_take_turns(tmp_path):
    portal = Portal(tmp_path)
    assert PASSWORD in portal.environment.values()
    command = [sys.executable, "-m", "flowcontrol.stack.prepare"]
    both = [
        subprocess.Popen(command, cwd=ROOT, env=portal.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    assert [each.communicate(timeout=120)[1].decode() if each.wait(120) else "" for each in both] == ["", ""]
    assert portal.query("select count(*) from accounts_user") == [(1,)]


# --- reload ------------------------------------------------------------------------------------------------


def test_a_changed_file_is_told_once(tmp_path):
    for name in ("apps", "flowcontrol"):
        (tmp_path / name).mkdir()
    changes = Changes(tmp_path)
    path = tmp_path / "apps" / "views.py"

    def changed():
        path.write_text(f"now = {time.monotonic()}")  # again: what was written before it watched is no change to it
        return changes.take()

    assert wait_for(changed, 15, "the change") == ["apps/views.py"]


def test_what_is_restarted_for_new_code_is_a_new_process(tmp_path):
    child = Child("sleeper", [sys.executable, "-c", "import time; time.sleep(60)"], dict(os.environ), tmp_path / "out")
    child.start()
    first = child.pid
    chosen.restart([child])
    try:
        assert child.pid
        assert child.pid != first
    finally:
        child.stop()


# --- health ------------------------------------------------------------------------------------------------


def probe(*names, **variables):
    return subprocess.run(
        [sys.executable, "-S", health.__file__, *names],
        env={"PATH": os.defpath, **variables},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


def test_a_part_is_well_while_it_leaves_signs(tmp_path):
    said = probe("worker", FLOWCONTROL_ALIVE=str(tmp_path))
    assert (said.returncode, said.stdout) == (1, "worker has not said yet that it is alive")
    leave_sign(tmp_path, "worker")
    assert probe("worker", FLOWCONTROL_ALIVE=str(tmp_path)).returncode == 0
    old = time.time() - health.SILENT_SECONDS - 5
    os.utime(tmp_path / "worker", (old, old))
    said = probe("worker", FLOWCONTROL_ALIVE=str(tmp_path))
    assert said.returncode == 1
    assert "has been silent for" in said.stdout


def test_one_silent_part_makes_the_whole_unwell(tmp_path):
    leave_sign(tmp_path, "worker")
    assert probe("worker", "controller", FLOWCONTROL_ALIVE=str(tmp_path)).returncode == 1


def test_an_address_that_does_not_answer_is_unwell():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        said = probe(f"http://127.0.0.1:{taken.getsockname()[1]}/healthz")
    assert said.returncode == 1
    assert "does not answer" in said.stdout


def test_no_question_is_no_health():
    assert probe().returncode == 1


def test_signs_are_left_nowhere_where_no_folder_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    leave_sign("", "worker")
    assert list(tmp_path.iterdir()) == []


def test_the_portals_command_believes_headers_only_at_home():
    assert "--no-proxy-headers" not in parts.web("127.0.0.1", 8080)
    assert "--no-proxy-headers" in parts.web("0.0.0.0", 8000, believe_headers=False)
