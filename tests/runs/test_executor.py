"""Runs with real processes: what they write, how they end, and what is kept of it."""

import errno
import os
import signal
import threading
import time

import pytest

from apps.audit.actors import SYSTEM
from apps.engine.process import FlowProcess
from apps.environments.models import Environment, WorkspaceUnavailable
from apps.flows.actions import archive_flow, save_version
from apps.jobs import leases
from apps.jobs.models import JobEvent
from apps.jobs.moment import moment
from apps.runs import executor
from apps.runs.actions import cancel_run, rerun, start_run
from apps.runs.models import Run
from apps.runs.tasks import execute_run
from tests.runs.texts import KEPT, SLOW, count, parts, quick, read_csv, write_many, write_numbers

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def workspace(workspaces):
    return workspaces / "dev"


@pytest.fixture
def start(workspace):
    """Starts a run of a text in dev."""

    def begin(text, **params):
        version = save_version(by=SYSTEM, text=text)
        return start_run(by=SYSTEM, version=version, environment=Environment.objects.get(), params=params)

    return begin


@pytest.fixture
def started(monkeypatch):
    """Each process that an executor starts, in order."""
    found = []
    original = FlowProcess.start

    def start(self, *args, **kwargs):
        original(self, *args, **kwargs)
        found.append(self)

    monkeypatch.setattr(FlowProcess, "start", start)
    return found


def until(condition, seconds=15.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def events_of(run, kind):
    found = JobEvent.objects.filter(job_kind="run", job_id=run.pk, kind=kind).order_by("seq")
    return [event.data for event in found]


def in_thread(run):
    """Execute a run in a thread of its own, as a worker does."""

    def work():
        from django.db import connection

        try:
            executor.execute(run.pk)
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    return thread


class TestSucceeded:
    def test_the_output_is_there_and_all_is_recorded(self, start, workspace):
        write_numbers(workspace)
        run = executor.execute(start(quick()).pk)
        assert (run.state, run.message, run.error, run.progress) == ("succeeded", "", None, 1.0)
        assert [row["n"] for row in read_csv(workspace / "out" / "even.csv")] == ["0", "2", "4", "6", "8"]
        steps = [(each.kind, each.name, each.state, each.rows) for each in run.steps.all()]
        assert steps == [
            ("source", "numbers", "succeeded", 10),
            ("step", "even", "succeeded", 5),
            ("sink", "even", "succeeded", 5),
        ]
        assert [(each.rule, each.ok, each.failed_rows) for each in run.checks.all()] == [
            ("not_null(n)", True, 0),
            ("n < 6", False, 2),
        ]
        assert [(each.path, each.rows) for each in run.outputs.all()] == [("out/even.csv", 5)]
        assert run.outputs.get().bytes == (workspace / "out" / "even.csv").stat().st_size
        assert run.seconds > 0

    def test_its_events_tell_the_same_in_order(self, start, workspace):
        write_numbers(workspace)
        run = executor.execute(start(quick()).pk)
        assert [each["state"] for each in events_of(run, "state")] == ["queued", "running", "succeeded"]
        assert [each["name"] for each in events_of(run, "plan")[0]["steps"]] == ["numbers", "even", "even"]
        assert events_of(run, "step")[-1]["state"] == "succeeded"
        assert any("even" in each["message"] for each in events_of(run, "log"))
        last = JobEvent.objects.filter(job_kind="run", job_id=run.pk).order_by("seq").last()
        assert (last.kind, last.seq) == ("state", run.event_seq)

    def test_parameters_and_the_logical_time_reach_the_flow(self, start, workspace):
        write_numbers(workspace)
        text = quick().replace("| where", "| derive day = today() | where")
        run = executor.execute(start(text, least="5").pk)
        rows = read_csv(workspace / "out" / "even.csv")
        assert [row["n"] for row in rows] == ["6", "8"]
        assert {row["day"] for row in rows} == {f"{run.logical_time:%Y-%m-%d}"}

    def test_doing_it_twice_does_it_once(self, start, workspace):
        write_numbers(workspace)
        run = start(quick())
        execute_run(run.pk)
        before = (workspace / "out" / "even.csv").stat().st_mtime_ns
        execute_run(run.pk)
        assert executor.execute(run.pk) is None
        run.refresh_from_db()
        assert (run.state, run.attempt) == ("succeeded", 1)
        assert (workspace / "out" / "even.csv").stat().st_mtime_ns == before

    def test_a_rerun_is_a_run_of_its_own(self, start, workspace):
        write_numbers(workspace)
        first = executor.execute(start(quick()).pk)
        second = executor.execute(rerun(by=SYSTEM, run=first).pk)
        assert (second.state, second.outputs.count(), first.outputs.count()) == ("succeeded", 1, 1)

    def test_a_flow_archived_while_it_runs_is_run_to_its_end(self, start, workspace):
        write_numbers(workspace)
        run = start(quick())
        archive_flow(by=SYSTEM, flow=run.flow)
        assert executor.execute(run.pk).state == "succeeded"

    def test_a_newer_version_does_not_change_a_run_in_line(self, start, workspace):
        write_numbers(workspace)
        run = start(quick())
        save_version(by=SYSTEM, text=quick().replace("n % 2 == 0", "n % 2 == 1"), base_sha256=run.version.sha256)
        executor.execute(run.pk)
        assert [row["n"] for row in read_csv(workspace / "out" / "even.csv")] == ["0", "2", "4", "6", "8"]


class TestFailed:
    def test_a_missing_source_says_what_to_do(self, start, workspace):
        run = executor.execute(start(quick()).pk)
        assert run.state == "failed", run.message
        assert "in/numbers.csv" in run.message
        assert run.error["hint"] in run.message
        assert {each.state for each in run.steps.all()} == {"skipped"}

    def test_a_broken_expectation_leaves_the_old_output(self, start, workspace):
        write_numbers(workspace, [2, 4])
        first = executor.execute(start(quick().replace("n < 6 warn", "n < 6 fail")).pk)
        before = (workspace / "out" / "even.csv").read_text()
        write_numbers(workspace)
        run = executor.execute(rerun(by=SYSTEM, run=first).pk)
        assert (run.state, run.error["code"]) == ("failed", "E530")
        assert (workspace / "out" / "even.csv").read_text() == before
        assert run.outputs.count() == 0
        assert [(each.rule, each.ok) for each in run.checks.all()] == [("not_null(n)", True), ("n < 6", False)]

    def test_a_value_that_does_not_fit_at_row_100_000(self, start, workspace):
        write_numbers(workspace, [*range(100_000), "many"])
        run = executor.execute(start(quick()).pk)
        assert (run.state, run.error["code"]) == ("failed", "E513")
        assert "many" in run.message
        assert not (workspace / "out").exists()

    @pytest.mark.parametrize(
        ("error", "code", "said"),
        [
            (PermissionError(errno.EACCES, "Permission denied", "{}/.flowcontrol/lock"), "E515", "right"),
            (OSError(errno.ENOSPC, "No space left on device", "{}/.flowcontrol/lock"), "E516", "room"),
            (WorkspaceUnavailable("It cannot be made.", hint="Make room."), "workspace_unavailable", "Make room."),
        ],
    )
    def test_a_workspace_that_cannot_be_used(self, start, workspace, monkeypatch, error, code, said):
        write_numbers(workspace)
        run = start(quick())
        if isinstance(error, OSError):
            error.filename = error.filename.format(workspace)

        def refuse(*args):
            raise error

        monkeypatch.setattr(executor.manifest, "fence", refuse)
        done = executor.execute(run.pk)
        assert (done.state, done.error["code"]) == ("failed", code)
        assert said in done.message
        assert str(workspace) not in done.message

    def test_a_timeout(self, start, workspace):
        write_many(workspace, 3_000_000)
        run = executor.execute(start(SLOW.replace("{ description", "{ timeout: 1s, description")).pk)
        assert (run.state, run.error["code"]) == ("failed", "E521")


class TestRetries:
    def test_the_flow_says_how_often_and_after_how_long(self, start, workspace):
        run = start(quick(retries=1, retry_delay="1h"))
        waits = executor.execute(run.pk)
        assert (waits.state, waits.retried, waits.attempt) == ("queued", 1, 1)
        assert "begins again in 3600 s" in waits.message
        assert waits.error["code"]
        assert executor.execute(run.pk) is None, "it is not due yet"
        Run.objects.filter(pk=run.pk).update(available_at=moment())
        over = executor.execute(run.pk)
        assert (over.state, over.retried, over.attempt) == ("failed", 1, 2)
        assert "begins again" not in over.message

    def test_one_that_succeeds_at_last_is_a_success(self, start, workspace):
        run = executor.execute(start(quick(retries=2)).pk)
        assert run.state == "queued"
        write_numbers(workspace)
        done = executor.execute(run.pk)
        assert (done.state, done.error, done.message) == ("succeeded", None, "")
        assert {each.state for each in done.steps.all()} == {"succeeded"}


class TestChildKilled:
    def test_it_is_begun_again_and_then_succeeds_once(self, start, workspace, started):
        write_many(workspace, 1_500_000)
        run = start(SLOW)
        worker = in_thread(run)
        until(lambda: started)
        until(lambda: events_of(run, "plan"))
        os.kill(started[0].pid, signal.SIGKILL)
        worker.join(30)
        run.refresh_from_db()
        assert (run.state, run.attempt) == ("queued", 1)
        assert "SIGKILL" in run.message
        assert parts(workspace) == []
        done = executor.execute(run.pk)
        assert (done.state, done.attempt, done.error) == ("succeeded", 2, None)
        assert [count(part) for part in parts(workspace)] == [(KEPT, KEPT)]

    def test_too_often_and_it_fails_with_the_cause(self, start, workspace, monkeypatch):
        write_numbers(workspace)
        run = start(quick())
        original = FlowProcess.start

        def killed(self, *args, **kwargs):
            original(self, *args, **kwargs)
            os.kill(self.pid, signal.SIGKILL)

        monkeypatch.setattr(FlowProcess, "start", killed)
        states = [executor.execute(run.pk).state for _ in range(run.max_attempts)]
        run.refresh_from_db()
        assert states == ["queued", "queued", "failed"]
        assert (run.error["code"], "SIGKILL" in run.message) == ("E522", True)
        assert {each.state for each in run.steps.all()} <= {"failed", "skipped"}

    def test_too_much_memory_is_said_and_not_tried_again(self, start, workspace, settings):
        settings.FLOW_MEMORY_BYTES = 128 * 1024**2
        write_numbers(workspace)
        text = quick().replace(
            "| where n % 2 == 0", '| derive big = length(pad_left("x", 2_000_000_000, "y")) | where n % 2 == 0'
        )
        run = executor.execute(start(text).pk)
        assert (run.state, run.error["code"], run.attempt) == ("failed", "E520", 1), run.message


class TestCancelled:
    def test_within_two_seconds(self, start, workspace, started):
        write_many(workspace, 4_000_000)
        run = start(SLOW)
        worker = in_thread(run)
        until(lambda: events_of(run, "plan"))
        asked = time.monotonic()
        cancel_run(by=SYSTEM, run=run)
        worker.join(10)
        took = time.monotonic() - asked
        run.refresh_from_db()
        assert (run.state, run.message) == ("cancelled", "Cancelled by system. No output was replaced.")
        assert took < 2.5, f"it took {took:.1f} s"  # two, and some for a busy machine
        assert parts(workspace) == []
        assert {each.state for each in run.steps.all()} <= {"succeeded", "cancelled", "skipped"}
        with pytest.raises(ProcessLookupError):
            os.kill(started[0].pid, 0)

    def test_one_that_had_published_has_succeeded(self, start, workspace, monkeypatch):
        write_numbers(workspace)
        run = start(quick())
        original = FlowProcess.start

        def cancel_late(self, *args, **kwargs):
            original(self, *args, **kwargs)
            until((workspace / "out" / "even.csv").exists)
            cancel_run(by=SYSTEM, run=run)
            run.refresh_from_db()
            assert run.cancel_requested_at

        monkeypatch.setattr(FlowProcess, "start", cancel_late)
        done = executor.execute(run.pk)
        assert done.state == "succeeded"
        assert done.outputs.count() == 1


class TestLost:
    def test_a_worker_that_lost_its_lease_stops_and_writes_nothing(self, start, workspace, started):
        write_many(workspace, 4_000_000)
        run = start(SLOW)
        worker = in_thread(run)
        until(lambda: events_of(run, "plan"))
        # The reconciler gave it away, and another worker has it.
        Run.objects.filter(pk=run.pk).update(state="queued", lease_expires_at=None)
        other = leases.claim(Run, run.pk, worker="another")
        worker.join(15)
        assert not worker.is_alive()
        run.refresh_from_db()
        assert (run.state, run.worker, run.fence) == ("running", "another", other.fence)
        assert parts(workspace) == []
        with pytest.raises(ProcessLookupError):
            os.kill(started[0].pid, 0)
