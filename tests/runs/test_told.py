"""What the engine tells, as rows: in batches, whole or not at all, and never by a stale worker."""

import pytest
from django.db import OperationalError

from apps.jobs import leases
from apps.jobs.models import JobEvent
from apps.runs.models import Run
from apps.runs.told import Rows
from tests.factories import RunFactory

pytestmark = pytest.mark.django_db(transaction=True)

PLAN = {"kind": "plan", "steps": [{"name": "a", "kind": "step"}, {"name": "b", "kind": "step"}]}
CHECK = {"kind": "check", "step": "a", "check": "x > 0", "severity": "warn", "ok": False, "failed_rows": 2}


def step(name, state, rows=None):
    return {"kind": "step", "name": name, "part": "step", "state": state, "rows": rows, "seconds": None}


@pytest.fixture
def run():
    return RunFactory()


@pytest.fixture
def rows(run):
    return Rows(leases.claim(Run, run.pk), run)


def steps(run):
    return [(each.name, each.state, each.rows) for each in run.steps.all()]


def kinds(run):
    found = JobEvent.objects.filter(job_kind="run", job_id=run.pk).order_by("seq")
    return [event.kind for event in found if event.kind != "state"]


def test_rows_and_events_are_written_together(run, rows):
    rows.take([PLAN, step("a", "running"), {"kind": "progress", "fraction": 0.25}, CHECK])
    assert rows.flush()
    assert steps(run) == [("a", "running", None), ("b", "queued", None)]
    assert kinds(run) == ["plan", "step", "check", "progress"]
    rows.take([step("a", "succeeded", 7), step("b", "running"), {**CHECK, "check": "x < 9"}])
    assert rows.flush()
    assert steps(run) == [("a", "succeeded", 7), ("b", "running", None)]
    assert [(each.position, each.rule) for each in run.checks.all()] == [(0, "x > 0"), (1, "x < 9")]
    run.refresh_from_db()
    assert run.progress == 0.25


def test_of_progress_only_the_newest_is_kept(run, rows):
    rows.take([{"kind": "progress", "fraction": number / 10} for number in range(10)])
    rows.flush()
    assert kinds(run) == ["progress"]


def test_while_the_database_is_away_nothing_is_lost(run, rows, monkeypatch):
    rows.take([PLAN, step("a", "running")])
    with monkeypatch.context() as away:
        away.setattr("apps.runs.told.events.append_many", _fail)
        assert not rows.flush()
    assert steps(run) == []
    rows.take([step("a", "succeeded", 7), CHECK])
    assert rows.flush()
    assert steps(run) == [("a", "succeeded", 7), ("b", "queued", None)]
    assert kinds(run) == ["plan", "step", "step", "check"]


def _fail(*args, **kwargs):
    raise OperationalError("the database is away")


def test_a_stale_worker_writes_nothing(run, rows):
    Run.objects.filter(pk=run.pk).update(fence=9)
    rows.take([PLAN, step("a", "running")])
    rows.flush()
    assert (steps(run), kinds(run)) == ([], [])


def test_an_empty_batch_costs_nothing(run, rows, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert rows.flush()
