"""Which work `make run` takes: that of stacks only where Docker is installed."""

import shutil

import pytest

from flowcontrol.stack.__main__ import Stack


@pytest.mark.parametrize(("docker", "queues", "threads"), [("/usr/bin/docker", "docker", "4"), (None, "recovery", "3")])
def test_the_worker_takes_the_work_of_stacks_where_docker_is_installed(monkeypatch, docker, queues, threads):
    monkeypatch.setattr(shutil, "which", lambda name: docker if name == "docker" else None)
    monkeypatch.setenv("FLOW_WORKERS", "2")
    command = Stack(host="127.0.0.1")._worker().command
    assert command[command.index("-Q") + 1].rpartition(",")[2] == queues
    assert command[command.index("--concurrency") + 1] == threads
