import threading

import pytest
from django.db import connection

from apps.audit.actors import SYSTEM
from apps.common import clock
from apps.environments.models import Environment
from apps.flows.actions import save_version
from apps.jobs.models import Worker
from apps.runs import executor
from apps.runs.actions import start_run
from apps.runs.models import Run
from apps.runs.waiting import wait
from tests.factories import RunFactory, ago
from tests.runs.texts import quick, write_numbers

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def run(workspaces):
    write_numbers(workspaces / "dev")
    version = save_version(by=SYSTEM, text=quick())
    return start_run(by=SYSTEM, version=version, environment=Environment.objects.get(), params={})


def alive():
    Worker.objects.create(
        name="worker@here", host="here", pid=1, queues=["flows.dev"], started_at=clock.now(), seen_at=clock.now()
    )


def test_with_no_worker_alive_it_is_done_here(run):
    told = []
    done = wait(run, tell=lambda each: told.append(each.display_state))
    assert done.state == "succeeded"
    assert told == ["queued", "succeeded"]


def test_a_living_worker_is_waited_for(run, settings):
    settings.LEASE_SECONDS = 60
    alive()
    looks = iter([False, False, True])
    assert wait(run, given_up=lambda: next(looks)).state == "queued"
    pk = run.pk

    def work():
        executor.execute(pk, worker="worker@here")
        connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    done = wait(run)
    thread.join()
    assert (done.state, done.worker) == ("succeeded", "worker@here")


def test_one_whose_worker_was_lost_is_taken_over(run):
    lost = RunFactory(version=run.version, at="lost")
    Run.objects.filter(pk=lost.pk).update(lease_expires_at=ago(seconds=1))
    done = wait(lost)
    assert (done.state, done.attempt) == ("succeeded", 2)
