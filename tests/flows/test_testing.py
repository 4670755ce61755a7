"""The tests of a version: executed in a process of their own, kept as a row."""

import os
import signal
import threading

import pytest

from apps.audit.actors import SYSTEM
from apps.flows import actions, casechild, testing
from apps.flows.models import FlowTestResult, FlowVersion
from apps.flows.tasks import test_version as task
from apps.jobs import actions as jobs
from tests.factories import FlowTestResultFactory, FlowVersionFactory
from tests.flows.texts import FAILING, PASSING, flow

pytestmark = pytest.mark.django_db(transaction=True)


def saved(text):
    version = actions.save_version(by=SYSTEM, text=text)
    return FlowTestResult.objects.get(version=version)


def test_what_passed_and_what_failed_is_kept():
    result = testing.execute(saved(flow(more=PASSING + FAILING)).pk)
    assert (result.state, result.passed, result.failed, result.outcome) == ("succeeded", 1, 1, "failed")
    assert [(case["title"], case["ok"]) for case in result.cases] == [
        ("ten is too much", True),
        ("ten is small", False),
    ]
    assert "10" in result.cases[1]["message"]
    assert result.message == "1 of 2 tests fail."
    assert not result.is_green


def test_all_passed_is_green():
    result = testing.execute(saved(flow(more=PASSING)).pk)
    assert (result.outcome, result.is_green, result.message) == ("passed", True, "")


def test_a_flow_without_tests_has_its_row_too():
    result = testing.execute(saved(flow()).pk)
    assert (result.state, result.outcome, result.is_green) == ("succeeded", "none", True)


def test_the_task_does_it_once():
    waiting = saved(flow(more=PASSING))
    task(waiting.pk)
    task(waiting.pk)
    waiting.refresh_from_db()
    assert (waiting.attempt, waiting.outcome) == (1, "passed")


def test_asking_again_after_the_end_makes_a_new_result():
    first = testing.execute(saved(flow(more=PASSING)).pk)
    second = actions.test_again(by=SYSTEM, version=first.version)
    assert second.pk != first.pk
    assert testing.execute(second.pk).outcome == "passed"


def test_a_text_that_can_no_longer_be_checked_is_an_error():
    version = FlowVersionFactory(text="flow gone { }\nstep a = nothing\n")
    result = testing.execute(FlowTestResultFactory(version=version).pk)
    assert (result.state, result.outcome) == ("failed", "error")
    assert "Save it again" in result.message


def test_a_killed_process_is_an_error_with_the_cause(monkeypatch):
    result = saved(flow(more=PASSING))
    waiting = testing._wait
    monkeypatch.setattr(
        testing, "_wait", lambda running, *rest: os.kill(running.pid, signal.SIGKILL) or waiting(running, *rest)
    )
    done = testing.execute(result.pk)
    assert (done.state, done.outcome) == ("failed", "error")
    assert "SIGKILL" in done.message


def test_tests_that_take_too_long_are_stopped(monkeypatch):
    monkeypatch.setattr(testing, "TIMEOUT_SECONDS", 0.0)
    monkeypatch.setattr(testing, "LOOK_SECONDS", 0.001)  # before a process can have begun
    done = testing.execute(saved(flow(more=PASSING)).pk)
    assert done.state == "failed"
    assert "longer than" in done.message


def test_cancelled_tests_end_cancelled(monkeypatch):
    result = saved(flow(more=PASSING))
    monkeypatch.setattr(testing, "_environment", lambda: {"PATH": os.environ["PATH"]})  # it hangs, knowing no apps
    monkeypatch.setattr(testing.sys, "executable", "/bin/cat")
    asking = threading.Timer(0.5, lambda: jobs.cancel(result, by=SYSTEM))
    monkeypatch.setattr(testing, "_wait", _patient(asking))
    done = testing.execute(result.pk)
    assert done.state == "cancelled"


def _patient(asking):
    original = testing._wait

    def wait(running, given, lease):
        asking.start()
        asking.join()
        assert lease.wait(5)
        return original(running, given, lease)

    return wait


def test_the_child_knows_no_secrets(monkeypatch):
    monkeypatch.setenv("SECRET_KEY", "hush")
    assert not any("hush" in value for value in testing._environment().values())


def test_made_up_rows_are_all_that_tests_see(workspaces):
    (workspaces / "dev" / "in").mkdir()
    (workspaces / "dev" / "in" / "numbers.csv").write_text("n\n1\n")
    answer = casechild.answer(flow(more=PASSING), workspaces / "dev")
    assert [case["ok"] for case in answer["cases"]] == [True]
    assert FlowVersion.objects.count() == 0
