"""An attempt at a stack job whose database is away for a moment, or whose lease is lost."""

import pytest
from django.db import OperationalError

from apps.environments import executor
from apps.environments.stages import registry
from apps.environments.stages.model import Outcome, Stage
from apps.jobs.leases import Lease, LeaseLostError
from tests.environments import stacks


@pytest.fixture
def job(monkeypatch):
    monkeypatch.setattr(executor, "_look", lambda job: None)
    monkeypatch.setitem(registry._stages, "build", Stage("build", "Build", lambda stand: Outcome("done")))
    return stacks.job(stacks.environment(), "queued", stages=[("Build", "queued", {})], started_at=None)


def breaking(monkeypatch, error, times):
    """The first writes of a stage meet it."""
    guarded, left = Lease.guarded, [times]

    def once(lease):
        left[0] -= 1
        if left[0] >= 0:
            if isinstance(error, LeaseLostError):
                lease._lose("the test has it")
            raise error
        return guarded(lease)

    monkeypatch.setattr(Lease, "guarded", once)


@pytest.mark.django_db(transaction=True)
def test_a_database_that_is_away_for_a_moment_costs_no_attempt(job, monkeypatch):
    breaking(monkeypatch, OperationalError("away"), 2)
    done = executor.execute(job.pk)
    assert (done.state, done.attempt) == ("succeeded", 1)


@pytest.mark.django_db(transaction=True)
def test_a_lost_lease_ends_the_attempt_and_writes_nothing(job, monkeypatch):
    breaking(monkeypatch, LeaseLostError(), 1)
    done = executor.execute(job.pk)
    assert (done.state, done.stages.get().status) == ("running", "queued")
