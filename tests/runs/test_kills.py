"""`kill -9` of a process that executes runs, at random moments: each run ends once, and appends once.

The short form of the promise; the whole stack's, with Celery, is in tests/stack.
"""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from apps.audit.actors import SYSTEM
from apps.environments.models import Environment
from apps.flows.actions import save_version
from apps.jobs.models import JobEvent
from apps.jobs.reconciler import reconcile_once
from apps.runs import executor
from apps.runs.actions import start_run
from apps.runs.models import Run
from tests.runs.processes import ROOT, portal_environment, wait_for
from tests.runs.texts import KEPT, SLOW, count, parts, write_many

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.kill, pytest.mark.slow]

KILLS = int(os.environ.get("KILLS", "5"))
WORKER = """
import sys, django
django.setup()
from apps.engine import nursery
from apps.runs import executor
nursery.warm()
print("ready", flush=True)
for line in sys.stdin:
    executor.execute(int(line), worker="doomed")
    print("done", flush=True)
"""


def worker(data):
    """A process that executes the runs whose numbers it is sent."""
    environment = portal_environment(data, LEASE_SECONDS="2")  # of this worker alone: the one that takes over has time
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    return process


def state_of(run):
    return Run.objects.values_list("state", flat=True).get(pk=run.pk)


def ended(run):
    found = JobEvent.objects.filter(job_kind="run", job_id=run.pk, kind="state").values_list("data", flat=True)
    return [data["state"] for data in found if data["state"] not in ("queued", "running")]


def test_a_run_whose_worker_is_killed_is_finished_once_by_another(workspaces, tmp_path):
    workspace = workspaces / "dev"
    write_many(workspace, 600_000)
    version = save_version(by=SYSTEM, text=SLOW)
    dev = Environment.objects.get()

    def start():
        return start_run(by=SYSTEM, version=version, environment=dev, params={})

    began = time.monotonic()
    executor.execute(start().pk)
    usual = time.monotonic() - began
    dice = random.Random()
    attempts = []
    for _ in range(KILLS):
        before = set(parts(workspace))
        run, process = start(), worker(tmp_path)
        process.stdin.write(f"{run.pk}\n")
        process.stdin.flush()
        wait_for(lambda run=run: state_of(run) != "queued")
        time.sleep(dice.uniform(0, usual))
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        wait_for(lambda run=run: Run.objects.get(pk=run.pk).display_state in ("lost", "succeeded"))
        reconcile_once()
        executor.execute(run.pk, worker="another")
        run.refresh_from_db()
        attempts.append(run.attempt)
        new = set(parts(workspace)) - before
        assert (run.state, ended(run)) == ("succeeded", ["succeeded"]), run.message
        assert [path.name for path in new] == [f"part-{run.key}.parquet"]
        assert count(new.pop()) == (KEPT, KEPT)
        assert [(output.rows, output.path) for output in run.outputs.all()] == [
            (KEPT, f"out/kept/part-{run.key}.parquet")
        ]
    assert max(attempts) > 1, "no kill fell into the work: the test shows nothing"
