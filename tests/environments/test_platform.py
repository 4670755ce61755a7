"""What the first stage says of a machine that cannot do it. What docker answers is made up here; test_stacks holds the
same stage against a real engine."""

import fcntl
import json
import shutil
from types import SimpleNamespace

import pytest

from apps.environments.containers import commands
from apps.environments.models import Environment, StackJob
from apps.environments.stages import platform
from apps.environments.stages.model import StageFailed

VERSION = {"Server": {"Version": "26.1.5", "ApiVersion": "1.45"}}
INFO = {"OperatingSystem": "Debian GNU/Linux 13", "DockerRootDir": "/"}


class FakeStand:
    """Answers commands from a table; what is not in it answers nothing."""

    def __init__(self, tmp_path, *, action="up", slug="dev", switches=None, **answers):
        self.environment = Environment(slug=slug)
        self.job = StackJob(environment=self.environment, action=action)
        self.folder, self.variables = tmp_path, {"PATH": "/usr/bin:/bin"}
        self.switches = switches or {}
        self.answers = {"version": json.dumps(VERSION), "compose": "2.26.1", "info": json.dumps(INFO), **answers}

    def run(self, command, **_):
        names = {commands.VERSION: "version", commands.COMPOSE_VERSION: "compose", commands.INFO: "info"}
        answer = self.answers.get(names.get(tuple(command), "ps"), "")
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture(autouse=True)
def _here(monkeypatch, settings, tmp_path):
    monkeypatch.setattr(platform.shutil, "which", lambda name, path=None: f"/usr/bin/{name}")
    settings.DATA = tmp_path


def refusal(stand):
    with pytest.raises(StageFailed) as refused:
        platform.check_platform(stand)
    assert refused.value.hint, "it says what to do"
    return refused.value


def test_a_machine_that_can_says_what_it_is(tmp_path, monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    said = platform.check_platform(FakeStand(tmp_path)).message
    assert said == "Debian GNU/Linux 13, Engine 26.1.5 (API 1.45), Compose 2.26.1."


def test_docker_desktop_and_ci_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.setattr(platform.platform, "system", lambda: "Darwin")
    desktop = FakeStand(tmp_path, info=json.dumps({"OperatingSystem": "Docker Desktop"}))
    assert platform.check_platform(desktop).message.startswith("macOS with Docker Desktop, ")
    monkeypatch.setenv("CI", "true")
    assert platform.check_platform(FakeStand(tmp_path)).message.startswith("CI on Debian")


def test_without_docker_it_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(platform.shutil, "which", lambda name, path=None: None)
    assert refusal(FakeStand(tmp_path)).message == "There is no docker command on this machine."


def test_an_engine_that_is_too_old_is_told_with_its_version(tmp_path):
    old = {"Server": {"Version": "20.10.24", "ApiVersion": "1.41"}}
    assert "20.10.24 is too old" in refusal(FakeStand(tmp_path, version=json.dumps(old))).message


def test_a_compose_that_is_too_old_is_told_with_its_version(tmp_path):
    assert "2.6.0 is too old" in refusal(FakeStand(tmp_path, compose="v2.6.0")).message


def test_an_engine_that_one_may_not_use_is_told_with_the_cure(tmp_path):
    tail = ["permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock"]
    failure = StageFailed("`docker version` ended with status 1.", tail=tail)
    assert "group docker" in refusal(FakeStand(tmp_path, version=failure)).hint


def test_a_missing_compose_plugin_is_told(tmp_path):
    failure = StageFailed("it failed", tail=["docker: 'compose' is not a docker command."])
    found = refusal(FakeStand(tmp_path, compose=failure))
    assert (found.message, "docker-compose-plugin" in found.hint) == ("Docker has no compose plugin here.", True)


def test_a_full_disk_is_told_before_anything_is_started(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=5 * 1024**2))
    assert "5 MiB are free in /" in refusal(FakeStand(tmp_path)).message


def test_what_goes_down_needs_no_room(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=0))
    assert platform.check_platform(FakeStand(tmp_path, action="down"))


def test_a_portal_on_the_same_data_is_told(tmp_path):
    (tmp_path / "run").mkdir()
    with (tmp_path / "run" / "stack.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "make run" in refusal(FakeStand(tmp_path)).message
        assert platform.check_platform(FakeStand(tmp_path, ps="flow-control-dev-dev-1\n")), (
            "the stack itself may hold it"
        )
    assert platform.check_platform(FakeStand(tmp_path)), "nobody holds it"
