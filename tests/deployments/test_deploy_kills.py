"""`kill -9` of whoever deploys, at each stage and at random moments: the next goes on, and what is told is what is so.

Real processes and a real engine. The short form is in `make test-stacks`; KILLS=20 kills at each stage so often.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from tests.environments.bringing import SLEEPER, WEB, Stack
from tests.environments.containers.projects import docker, needs_engine
from tests.stack.portal import ROOT, Portal, free_port, wait_for

pytestmark = [pytest.mark.kill, pytest.mark.slow, pytest.mark.stacks]

KILLS = int(os.environ.get("KILLS", "0"))
STAGES = ("plan", "images", "start", "probe", "switch", "watch", "drain")
LATEST_SECONDS = 120.0  # until one that goes on has ended
STATE = (
    "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], timeout=20); "
    'print(*(c.execute("select name from deployments_deploymentstage s join deployments_deployment d on d.id = s.job_id'
    " where s.status = 'running' and d.state = 'running'\").fetchone() or ('',)))"
)


class Killed:
    """A stack with a data folder of its own, deployed by commands in processes of their own."""

    def __init__(self, folder):
        self.portal = Portal(folder, settings={"LEASE_SECONDS": "2"})
        self.port = free_port()
        self.stack = Stack(
            folder / "compose.yaml",
            {
                "web": {**WEB, "labels": {"flowcontrol.route": f"{self.port}:8000"}},
                "db": {**SLEEPER, "volumes": ["db:/data"], "stop_grace_period": "1s"},
                "worker": {**SLEEPER, "stop_grace_period": "1s"},
            },
            {"volumes": {"db": {}}},
        )
        self.word, self.serves, self.releases = 0, "", {}

    def start(self, *words):
        command = [sys.executable, "manage.py", *words]
        return subprocess.Popen(
            command, cwd=ROOT, env=self.portal.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def run(self, *words):
        process = self.start(*words)
        said, complaint = process.communicate(timeout=LATEST_SECONDS)
        assert process.returncode in (0, 1), f"{' '.join(words)}: {said}{complaint}"
        return json.loads(said) if "--json" in words else said

    def release(self, **more):
        self.word += 1
        for name in ("web", "worker"):
            mine = more if name == "web" else {}
            self.stack.services[name] = {**self.stack.services[name], "environment": {"WORD": str(self.word)}, **mine}
        self.stack.write()
        name = self.run("release", "create", "shop", "--json")["release"]
        self.releases[name] = str(self.word)
        return name

    def stage(self):
        """The stage that runs just now, by the database."""
        database = str(self.portal.folder / "data" / "db.sqlite3")
        done = subprocess.run([sys.executable, "-c", STATE, database], capture_output=True, text=True, check=False)
        return done.stdout.strip()

    def kill_in(self, release, stage="", after=0.0):
        """Begin to deploy, kill in a stage or after a while, and let another go on until it has ended."""
        process = self.start("deployment", "start", "shop", "--release", release, "--wait", "--json")
        if stage:
            wait_for(lambda: self.stage() == stage or process.poll() is not None, LATEST_SECONDS, f"the stage {stage}")
        time.sleep(after)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        return self.go_on(), process.returncode == -signal.SIGKILL

    def go_on(self):
        """What a worker does that takes it up: the reconciler's pass, then the work."""
        deadline = time.monotonic() + LATEST_SECONDS
        code = (
            "from apps.deployments.models import Deployment; from apps.deployments.executor import execute_deployment; "
            "from apps.jobs.waiting import wait; job = Deployment.objects.latest('pk'); "
            "wait(job, work=execute_deployment, tell=lambda job: None, given_up=bool)"
        )
        self.run("shell", "--command", code)
        assert time.monotonic() < deadline
        return self.run("deployment", "status", "shop", "--json")

    def check(self, told):
        """What is told is what the engine shows: one of each container, traffic to the release that is named."""
        serves = told["release"]
        assert self.answer() == self.releases[serves], told
        there = sorted(self.stack.containers())
        project = self.stack.project
        kept = [name for name in there if name.endswith("-kept")]
        services = sorted(name.removeprefix(f"{project}-").rpartition("-")[0] for name in there if name not in kept)
        assert services == ["db", "flowcontrol-proxy", "web", "worker"], there
        worker = docker("inspect", "--format", "{{json .Config.Env}}", f"{project}-worker-1")
        assert f'"WORD={self.releases[serves]}"' in worker, (worker, told)
        assert told["last"]["status"] in ("succeeded", "failed", "reverted"), told

    def answer(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=5) as answer:
            return answer.read().decode().strip()


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    needs_engine()
    made = Killed(tmp_path_factory.mktemp("deploy-kills"))
    made.stack.write()
    made.run("migrate", "--verbosity", "0")
    made.run("environment", "add", "shop", "--compose", str(made.stack.file), "--project", made.stack.project)
    made.run("environment", "change", "shop", "--watch-seconds", "2")
    first = made.run("deployment", "start", "shop", "--release", made.release(), "--wait", "--json")
    assert first["status"] == "succeeded", first
    yield made
    made.stack.remove()


@pytest.mark.parametrize("stage", STAGES if KILLS else ("start", "switch", "watch"))
def test_killed_in_a_stage_it_goes_on_to_its_end(killed, stage):
    dice, hits = random.Random(), 0
    for number in range(KILLS or 1):
        release = killed.release()
        told, hit = killed.kill_in(release, stage, dice.uniform(0.0, 0.5))
        hits += hit
        print(f"kill {number} in {stage}: {told['last']['status']}, {told['release']} serves")
        killed.check(told)
        assert (told["last"]["status"], told["release"]) == ("succeeded", release), told
    assert hits, "no kill fell into the work: the test shows nothing"


def test_killed_while_it_is_taken_back_it_is_taken_back(killed):
    serves = killed.run("deployment", "status", "shop", "--json")["release"]
    for number in range(KILLS or 1):
        bad = killed.release(healthcheck={"test": ["CMD", "false"], "interval": "1s", "retries": 1})
        told, _ = killed.kill_in(bad, "revert", random.Random().uniform(0.0, 1.0))
        print(f"kill {number} in revert: {told['last']['status']}, {told['release']} serves")
        killed.check(told)
        assert (told["last"]["status"], told["release"]) == ("failed", serves), told
    killed.stack.services["web"] = {**killed.stack.services["web"], "healthcheck": WEB["healthcheck"]}
