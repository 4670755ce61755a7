"""A flow that allows n runs at a time: who begins, who waits, and who is called next."""

import threading

import pytest
from django.db import connection

from apps.audit.actors import SYSTEM
from apps.environments.models import Environment
from apps.flows.actions import save_version
from apps.jobs import leases
from apps.jobs.moment import moment
from apps.runs import executor, turns
from apps.runs.actions import start_run
from apps.runs.models import Run
from tests.factories import EnvironmentFactory, RunFactory
from tests.runs.texts import quick, write_numbers

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def start(workspaces):
    write_numbers(workspaces / "dev")

    def begin(limit):
        version = save_version(by=SYSTEM, text=quick(concurrency=limit) if limit else quick())
        return start_run(by=SYSTEM, version=version, environment=Environment.objects.get(slug="dev"), params={})

    return begin


def test_of_workers_that_claim_at_once_as_many_begin_as_the_flow_allows(start):
    runs = [start(2) for _ in range(6)]
    barrier, leases_won = threading.Barrier(len(runs)), []

    def work(pk):
        try:
            barrier.wait(10)
            if lease := turns.claim(pk):
                leases_won.append(lease)
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(run.pk,)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(leases_won) == Run.objects.running().count() == 2


def test_without_a_limit_all_begin(start):
    assert all(turns.claim(start(0).pk) for _ in range(3))


def test_one_at_a_time_the_second_waits_and_says_so(start):
    one, two = start(1), start(1)
    lease = turns.claim(one.pk)
    assert turns.claim(two.pk) is None
    two.refresh_from_db()
    assert (two.state, two.message) == ("queued", "Waits for its turn: the flow allows 1 at a time.")
    lease.finish("succeeded")
    assert turns.claim(two.pk).job.message == ""


def test_two_at_a_time(start):
    one, two, three = start(2), start(2), start(2)
    assert turns.claim(one.pk)
    assert turns.claim(two.pk)
    assert turns.claim(three.pk) is None


def test_the_oldest_is_first(start):
    one, two = start(1), start(1)
    assert turns.claim(two.pk) is None
    assert turns.claim(one.pk)


def test_one_that_is_not_due_lets_others_by(start):
    one, two = start(1), start(1)
    Run.objects.filter(pk=one.pk).update(available_at=moment(3600))
    assert turns.claim(two.pk)


def test_a_lost_one_still_counts_until_it_is_reconciled(start):
    one = start(1)
    RunFactory(version=one.version, at="lost")
    assert turns.claim(one.pk) is None


def test_other_flows_and_environments_do_not_count(start):
    one = start(1)
    RunFactory(at="running")
    RunFactory(version=one.version, environment=EnvironmentFactory(slug="staging"), at="running")
    assert turns.claim(one.pk)


def test_the_end_of_one_calls_the_next(start, sent):
    one, two, three = start(1), start(1), start(1)
    sent.clear()
    executor.execute(one.pk)
    assert sent == [("run", two.pk)]
    executor.execute(two.pk)
    assert sent == [("run", two.pk), ("run", three.pk)]
    assert executor.execute(three.pk).state == "succeeded"


def test_what_is_no_longer_queued_is_not_claimed(start):
    run = start(1)
    assert leases.claim(Run, run.pk)
    assert turns.claim(run.pk) is None
    assert turns.claim(run.pk + 1000) is None
