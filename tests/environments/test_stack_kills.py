"""`kill -9` at any moment of `environment up` and `down`: run again, the command brings it to its end, each container once.

Real processes and a real engine. The short form is in `make test-stacks`; KILLS=50 runs a long one.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.environments.bringing import SLEEPER, WEB, Stack
from tests.environments.containers.projects import docker, needs_engine
from tests.stack.portal import ROOT, Portal, free_port

pytestmark = [pytest.mark.kill, pytest.mark.slow, pytest.mark.stacks]

KILLS = int(os.environ.get("KILLS", "0"))
LATEST_SECONDS = 60.0  # until one that goes on has ended


class Killed:
    """A stack with a data folder of its own, changed by commands."""

    def __init__(self, folder: Path) -> None:
        self.environment = Portal(folder, settings={"LEASE_SECONDS": "2"}).environment
        self.port = free_port()
        web = {**WEB, "labels": {"flowcontrol.route": f"{self.port}:8000"}, "depends_on": ["db"]}
        worker = {**SLEEPER, "stop_grace_period": "1s"}
        self.stack = Stack(folder / "compose.yaml", {"web": web, "db": dict(worker), "worker": worker})
        self.word = 0

    def change(self) -> None:
        """Both a service that takes traffic and one that takes none are another now."""
        self.word += 1
        for name in ("web", "worker"):
            self.stack.services[name] = {**self.stack.services[name], "environment": {"WORD": str(self.word)}}
        self.stack.write()

    def start(self, *words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "manage.py", *words]
        return subprocess.Popen(
            command, cwd=ROOT, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def run(self, *words: str) -> str:
        process = self.start(*words)
        said, complaint = process.communicate(timeout=LATEST_SECONDS)
        assert process.returncode == 0, f"{' '.join(words)}: {said}{complaint}"
        return said

    def kill(self, action: str, after: float) -> str:
        """Begin, kill after a while, and run it again. Whether it had ended by itself."""
        process = self.start("environment", action, "shop", "--json")
        time.sleep(after)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        again = json.loads(self.run("environment", action, "shop", "--json"))
        assert again["status"] == "succeeded", again
        return "ended" if process.returncode == 0 else "killed"

    def check_up(self) -> None:
        there = sorted(name.removeprefix(f"{self.stack.project}-") for name in self.stack.containers())
        assert [name.rpartition("-")[0] for name in there] == ["db", "flowcontrol-proxy", "web", "worker"], there
        assert self.answer() == str(self.word)
        label = docker("inspect", "--format", "{{json .Config.Env}}", f"{self.stack.project}-worker-1")
        assert f"WORD={self.word}" in label

    def answer(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=5) as answer:
            return str(answer.read().decode().strip())


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    needs_engine()
    made = Killed(tmp_path_factory.mktemp("stack-kills"))
    made.change()
    made.run("migrate", "--verbosity", "0")
    made.run("environment", "add", "shop", "--compose", str(made.stack.file), "--project", made.stack.project)
    yield made
    made.stack.remove()


def test_killed_at_any_moment_it_is_brought_to_its_end_by_the_next(killed):
    began = time.monotonic()
    killed.run("environment", "up", "shop")
    usual = time.monotonic() - began
    killed.check_up()
    dice, ends = random.Random(), []
    for number in range(KILLS or 2):
        killed.change()
        after = dice.uniform(0.5, usual)
        ends.append(killed.kill("up", after))
        print(f"kill {number}: up, after {after:.2f} s of {usual:.2f} s: {ends[-1]}")
        killed.check_up()
    assert "killed" in ends, "no kill fell into the work: the test shows nothing"


def test_killed_while_it_goes_down_nothing_is_left_by_the_next(killed):
    dice = random.Random()
    for number in range(max(1, KILLS // 5)):
        killed.run("environment", "up", "shop")
        after = dice.uniform(0.8, 3.0)
        print(f"kill {number}: down, after {after:.2f} s: {killed.kill('down', after)}")
        assert killed.stack.containers() == {}


def test_two_at_once_are_one(killed):
    killed.change()
    both = [killed.start("environment", "up", "shop", "--json") for _ in range(2)]
    said = [json.loads(each.communicate(timeout=LATEST_SECONDS)[0]) for each in both]
    assert [each["status"] for each in said] == ["succeeded", "succeeded"], said
    killed.check_up()
