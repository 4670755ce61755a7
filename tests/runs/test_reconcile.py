"""What becomes of a run whose worker is gone, by what stands in its workspace."""

import pytest

from apps.audit.actors import SYSTEM
from apps.audit.models import AuditEvent
from apps.common import clock
from apps.engine.errors import EngineError, Superseded
from apps.engine.manifest import Attempt, fence
from apps.engine.run import execute
from apps.engine.spec import RunOutcome, RunSpec
from apps.environments.models import Environment
from apps.flows.actions import save_version
from apps.jobs import leases
from apps.jobs.models import JobEvent
from apps.jobs.moment import moment
from apps.jobs.reconciler import reconcile_once
from apps.runs import executor, reconcile
from apps.runs.actions import cancel_run, start_run
from apps.runs.models import Run, StepRun
from tests.factories import RunFactory, StepRunFactory, ago
from tests.runs.texts import quick, read_csv, write_numbers

pytestmark = pytest.mark.django_db(transaction=True)


class Killed(BaseException):
    """The worker dies here."""


@pytest.fixture
def workspace(workspaces):
    write_numbers(workspaces / "dev")
    return workspaces / "dev"


@pytest.fixture
def lost(workspace):
    """A run whose worker died when the publication had passed `point` ("" : while it computed)."""

    def make(point=""):
        version = save_version(by=SYSTEM, text=quick())
        run = start_run(by=SYSTEM, version=version, environment=Environment.objects.get(), params={})
        lease = leases.claim(Run, run.pk, worker="doomed")
        spec = RunSpec(version.text, "quick.flow", workspace, {}, run.logical_time, run.key, lease.fence)

        def die(passed):
            if passed == point:
                raise Killed

        if point:
            with pytest.raises(Killed):
                execute(spec, lambda event: None, observe=die)
        Run.objects.filter(pk=run.pk).update(lease_expires_at=ago(seconds=1))
        return Run.objects.get(pk=run.pk)

    return make


def states(run):
    found = JobEvent.objects.filter(job_kind="run", job_id=run.pk, kind="state").order_by("seq")
    return [event.data["state"] for event in found]


def evens(workspace):
    return [row["n"] for row in read_csv(workspace / "out" / "even.csv")]


@pytest.mark.parametrize("point", ["", "staged files are durable", "targets are ready", "marker is written"])
def test_nothing_was_published_so_it_is_done_again(lost, workspace, point):
    run = lost(point)
    assert reconcile_once().requeued == 1
    done = executor.execute(run.pk)
    assert (done.state, done.attempt) == ("succeeded", 2)
    assert evens(workspace) == ["0", "2", "4", "6", "8"]
    assert states(run) == ["queued", "running", "queued", "running", "succeeded"]


@pytest.mark.parametrize(
    "point", ["manifest is written", "rename 1 is done", "all renames are done", "manifest says committed"]
)
def test_it_was_published_so_it_has_succeeded(lost, workspace, point):
    run = lost(point)
    write_numbers(workspace, [100])  # if it were done again, this would show
    assert reconcile_once().finished == 1
    run.refresh_from_db()
    assert (run.state, run.attempt, run.message) == ("succeeded", 1, "")
    assert evens(workspace) == ["0", "2", "4", "6", "8"]
    assert [(each.kind, each.state, each.rows) for each in run.steps.all()] == [
        ("source", "succeeded", 10),
        ("step", "succeeded", 5),
        ("sink", "succeeded", 5),
    ]
    assert [(each.path, each.rows) for each in run.outputs.all()] == [("out/even.csv", 5)]
    assert run.checks.count() == 2
    assert executor.execute(run.pk) is None
    assert AuditEvent.objects.filter(kind="run.reconcile", target=f"run:{run.pk}").exists()


def test_a_worker_that_takes_it_over_finishes_what_was_published(lost, workspace):
    """Nobody reconciled in between: the row was queued again, the manifest says otherwise."""
    run = lost("manifest is written")
    write_numbers(workspace, [100])
    Run.objects.filter(pk=run.pk).update(state="queued", lease_expires_at=None)
    done = executor.execute(run.pk)
    assert (done.state, done.attempt) == ("succeeded", 2)
    assert evens(workspace) == ["0", "2", "4", "6", "8"]
    assert done.outputs.count() == 1


def test_a_publication_that_cannot_be_completed_is_tried_until_it_can(lost, workspace):
    """The run is neither failed nor succeeded before: its outputs would say something else later."""
    run = lost("manifest is written")
    (workspace / "out").rmdir()
    (workspace / "out").write_text("in the way")
    assert reconcile_once().unclear == 1
    Run.objects.filter(pk=run.pk).update(state="queued", lease_expires_at=None, attempt=3)
    waits = executor.execute(run.pk)
    assert (waits.state, waits.max_attempts) == ("queued", 4)
    assert "begins again in 30 s" in waits.message
    (workspace / "out").unlink()
    Run.objects.filter(pk=run.pk).update(available_at=moment())
    done = executor.execute(run.pk)
    assert (done.state, done.error, done.outputs.count()) == ("succeeded", None, 1)
    assert evens(workspace) == ["0", "2", "4", "6", "8"]


def test_one_whose_process_said_failed_after_publishing_has_succeeded(lost, workspace, monkeypatch):
    run = lost("rename 1 is done")
    Run.objects.filter(pk=run.pk).update(state="queued", lease_expires_at=None, attempt=0)
    failed = RunOutcome("failed", 0.1, {"code": "E599", "message": "x", "hint": "", "line": None, "column": None})

    def work(self):
        self.may_have_published = True
        return failed

    monkeypatch.setattr(executor._Attempt, "_work", work)
    done = executor.execute(run.pk)
    assert (done.state, done.outputs.count()) == ("succeeded", 1)


def test_an_attempt_that_was_fenced_off_is_followed_by_another(workspace):
    """A verdict fenced it, and then found that its lease had been renewed."""
    version = save_version(by=SYSTEM, text=quick())
    run = start_run(by=SYSTEM, version=version, environment=Environment.objects.get(), params={})
    fence(workspace, run.key, 2)
    assert executor.execute(run.pk).state == "queued"
    assert executor.execute(run.pk).state == "succeeded"


def test_the_old_attempt_cannot_publish_after_the_verdict(lost, workspace):
    run = lost()
    attempt = Attempt(workspace, run.key, run.fence)
    assert reconcile.verdict(run).state is None
    with pytest.raises(Superseded):
        attempt.publish([], None)


def test_asked_twice_it_answers_the_same(lost):
    run = lost("rename 1 is done")
    assert reconcile.verdict(run) == reconcile.verdict(run)
    assert reconcile.verdict(run).state == "succeeded"


def test_a_workspace_that_cannot_be_read_leaves_it_open(lost, monkeypatch):
    run = lost()

    def fail(*args):
        raise EngineError("Another run has been publishing for a minute.")

    monkeypatch.setattr(reconcile.manifest, "fence", fail)
    assert reconcile_once().unclear == 1
    run.refresh_from_db()
    assert run.display_state == "lost"


def test_one_that_was_to_be_cancelled_is(lost):
    run = lost()
    StepRunFactory(run=run, name="a", state="running")
    StepRunFactory(run=run, name="b", state="queued")
    cancel_run(by=SYSTEM, run=run)
    assert reconcile_once().cancelled == 1
    run.refresh_from_db()
    assert run.state == "cancelled"
    assert [each.state for each in StepRun.objects.order_by("name")] == ["cancelled", "skipped"]


def test_one_that_was_published_is_not_cancelled_any_more(lost):
    run = lost("all renames are done")
    cancel_run(by=SYSTEM, run=run)
    reconcile_once()
    run.refresh_from_db()
    assert run.state == "succeeded"


def test_one_that_lost_too_many_workers_fails_and_says_so(workspace):
    run = RunFactory(at="lost", attempt=3, fence=3, logical_time=clock.now())
    StepRunFactory(run=run, state="running")
    assert reconcile_once().failed == 1
    run.refresh_from_db()
    assert (run.state, "lost 3 times" in run.message) == ("failed", True)
    assert run.steps.get().state == "failed"


def test_rows_of_the_attempt_before_do_not_stay(lost, workspace):
    run = lost()
    StepRunFactory(run=run, name="of the past", state="running")
    reconcile_once()
    done = executor.execute(run.pk)
    assert not done.steps.filter(name="of the past").exists()
