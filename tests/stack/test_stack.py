"""`make run`: starts, says so, mends itself, and leaves nothing behind."""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack.portal import Portal, wait_for


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    portal = Portal(tmp_path_factory.mktemp("portal")).start()
    yield portal
    portal.stop()


def test_it_says_where_it_is_ready(portal: Portal) -> None:
    assert f"http://localhost:{portal.port}" in portal.said
    assert portal.get("/healthz") == 200
    assert portal.get("/readyz") == 200


def test_it_asks_a_stranger_to_log_in(portal: Portal) -> None:
    assert "/login/?next=/flows/" in portal.ends_at("/flows/")


def test_the_examples_are_there(portal: Portal) -> None:
    names = {name for (name,) in portal.query("select name from flows_flow")}
    assert {"daily_revenue", "device_health", "visit_funnel"} <= names


def test_a_second_one_on_the_same_folder_is_refused_and_says_who_has_it(portal: Portal) -> None:
    second = Portal(portal.folder)
    process = second.start_expecting_refusal()
    assert process.returncode == 1
    assert "already runs" in process.stderr
    assert str(portal.process.pid) in process.stderr


def test_a_taken_port_is_said_with_what_to_do(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        process = Portal(tmp_path, port=taken.getsockname()[1]).start_expecting_refusal()
    assert process.returncode == 1
    assert "APP_PORT" in process.stderr


@pytest.mark.kill
@pytest.mark.parametrize("part", ["bus", "web", "worker", "controller", "beat"])
def test_a_killed_part_is_started_again(portal: Portal, part: str) -> None:
    killed = portal.kill(part)
    wait_for(lambda: portal.pid_of(part) not in (0, killed), 20, f"a new {part}")
    wait_for(lambda: portal.get("/readyz") == 200, 30, "the portal to be ready again")


@pytest.mark.kill
def test_ctrl_c_leaves_no_process_and_the_next_start_finds_everything(tmp_path: Path) -> None:
    portal = Portal(tmp_path).start()
    first = portal.query("select count(*) from flows_flowversion")
    assert len(portal.processes()) >= 6
    assert portal.interrupt() == 0
    assert portal.processes() == {}
    portal.start()
    try:
        assert portal.query("select count(*) from flows_flowversion") == first
        assert portal.said.count("password") == 0, "a password that was given is never printed"
    finally:
        portal.stop()


@pytest.mark.kill
def test_killing_the_supervisor_takes_everything_with_it(tmp_path: Path) -> None:
    portal = Portal(tmp_path).start()
    assert len(portal.processes()) >= 6
    os.kill(portal.process.pid, signal.SIGKILL)
    portal.process.wait()
    wait_for(lambda: portal.processes() == {}, 10, "all of its processes to be gone")
