"""One test run from its claim to its end: layers in order, results once, the bridge beside them."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

import jsonschema
import pytest
from django.conf import settings as django_settings

from apps.audit.actors import SYSTEM
from apps.audit.models import AuditEvent
from apps.bridge.protocol import Bridge
from apps.bridge.records import CaseRecord
from apps.common import clock
from apps.jobs import messages, reconciler
from apps.testruns import actions, catalogue, executor, passage
from apps.testruns.cases.checks import Registry
from apps.testruns.models import CaseResult, TestRun
from tests.testruns.rooms import FAILS, POINTS, add_case, cases, dev, done, start, statuses

SCHEMA = json.loads((Path(django_settings.BASE_DIR) / "docs/reference/results.schema.json").read_text())


@pytest.fixture(autouse=True)
def data(transactional_db, settings, tmp_path, monkeypatch):
    """A data folder of the test's own, in which nothing but what it adds is a case; and no broker."""
    settings.DATA = tmp_path
    monkeypatch.setattr(catalogue, "registry", Registry())
    monkeypatch.setattr(messages, "send", lambda kind, pk, queue: True)
    return tmp_path


def told(data):
    """results.json, which has to be as its schema says."""
    document = json.loads((data / "results.json").read_text())
    jsonschema.validate(document, SCHEMA)
    return document


def lost(run):
    """The run as a worker leaves it that was killed in its last attempt: running, with a session, its lease run out."""
    session = passage.begin(django_settings.DATA, run)
    Bridge(django_settings.DATA, "dev").begin_layer("L1")
    ago = clock.now() - timedelta(seconds=60)
    TestRun.objects.filter(pk=run.pk).update(
        state="running", fence=1, attempt=run.max_attempts, worker="gone", lease_expires_at=ago, session=session
    )
    run.refresh_from_db()
    return run


def transitions_in_audit(run):
    events = AuditEvent.objects.filter(kind="bridge.transition", target=f"bridge:{run.session}").order_by("seq")
    return [each.detail["seq"] for each in events]


class TestLayers:
    def test_each_layer_passes_and_all_of_it_is_recorded(self, data):
        for layer in ("L1", "L2", "L3"):
            add_case(data, f"{layer}/a.sh")
        run = done("L1", "L2", "L3")
        assert (run.state, statuses(run)) == ("succeeded", dict.fromkeys(("L1", "L2", "L3"), "passed"))
        assert run.message == "Every layer passed: 3 cases, 0 skipped."
        assert told(data)["state"] == "completed"

    def test_a_failed_layer_stops_those_above_it(self, data):
        add_case(data, "L1/a.sh", FAILS), add_case(data, "L2/a.sh")
        run = done("L1", "L2")
        assert (run.state, statuses(run)) == ("failed", {"L1": "failed", "L2": "skipped"})
        assert "L1 core failed: 1 of 1 cases, the first: a.sh. L2 not run." in run.message
        assert told(data)["state"] == "failed"

    def test_unless_it_is_told_to_keep_going(self, data):
        add_case(data, "L1/a.sh", FAILS), add_case(data, "L2/a.sh")
        run = done("L1", "L2", keep_going=True)
        assert (run.state, statuses(run)) == ("failed", {"L1": "failed", "L2": "passed"})

    def test_an_empty_layer_is_an_error(self, data):
        run = done("L2")
        assert (run.state, cases(run)) == ("failed", {"The layer has cases": "failed"})
        told(data)

    def test_a_layer_in_which_all_is_skipped_has_proven_nothing(self, data):
        add_case(data, "L1/a.sh", "#!/bin/sh\necho not here; exit 77\n")
        run = done("L1")
        assert (run.state, statuses(run)) == ("failed", {"L1": "failed"})
        assert "nothing was proven" in run.message

    def test_each_point_of_an_executable_is_a_case(self, data):
        add_case(data, "L1/points.sh", POINTS)
        run = done("L1")
        assert cases(run) == {"one": "passed", "two": "failed", "three": "skipped"}
        layer = run.layer_results.get()
        assert (layer.planned, layer.ended, layer.passed, layer.failed, layer.skipped) == (1, 1, 1, 1, 1)

    def test_the_same_title_twice_is_two_cases(self, data):
        add_case(data, "L1/twice.sh", "#!/bin/sh\nprintf '1..2\\nok - a\\nok - a\\n'\n")
        assert len(cases(done("L1"))) == 2

    def test_hostile_output_is_kept_as_it_can_be(self, data):
        add_case(data, "L1/odd.sh", "#!/bin/sh\nprintf '1..1\\nnot ok 1 - \\000<script>\\377\\n'; exit 1\n")
        run = done("L1")
        assert run.state == "failed"
        assert "<script>" in run.case_results.first().title

    def test_a_case_that_passes_at_last_is_flaky(self, data):
        text = f"#!/bin/sh\n# case: retries=2\ntest -e {data}/seen && exit 0; touch {data}/seen; exit 1\n"
        add_case(data, "L1/unsteady.sh", text)
        run = done("L1")
        case = run.case_results.get()
        assert (run.state, case.status, case.is_flaky, case.attempts) == ("succeeded", "passed", True, 2)
        assert told(data)["layers"][0]["flaky"] == 1


class TestQuarantine:
    def test_a_failure_does_not_count_until_the_day(self, data):
        add_case(data, "L1/a.sh", FAILS), add_case(data, "L1/b.sh")
        case = done("L1").case_results.get(status="failed")
        actions.quarantine(by=SYSTEM, case=case, until=clock.now() + timedelta(days=1), reason="a slow disk")
        run = done("L1")
        assert (run.state, run.layer_results.get().quarantined) == ("succeeded", 1)
        assert run.case_results.get(status="failed").is_quarantined
        assert told(data)["state"] == "completed"

    def test_from_the_day_on_it_counts_again(self, data):
        add_case(data, "L1/a.sh", FAILS), add_case(data, "L1/b.sh")
        case = done("L1").case_results.get(status="failed")
        row = actions.quarantine(by=SYSTEM, case=case, until=clock.now() + timedelta(days=1), reason="x")
        type(row).objects.update(until=clock.now() - timedelta(seconds=1))
        assert done("L1").state == "failed"


class TestBridge:
    def test_the_session_is_handed_over_before_the_application_s_layers(self, data):
        add_case(data, "L1/a.sh"), add_case(data, "L3/a.sh")
        run = done("L1", "L3")
        log = Bridge(data, "dev").status(run.session).transitions
        assert [each.target for each in log] == [
            "initialised", "shell_running", "handoff_offered", "handoff_accepted", "app_running", "completed",
        ]  # fmt: skip

    def test_what_the_bridge_did_is_in_the_audit_once(self, data):
        add_case(data, "L1/a.sh")
        run = done("L1")
        events = AuditEvent.objects.filter(kind="bridge.transition", target=f"bridge:{run.session}").order_by("seq")
        log = Bridge(data, "dev").status(run.session).transitions
        assert [each.detail["seq"] for each in events] == [each.seq for each in log]
        assert [each.detail["to"] for each in events] == [each.target for each in log]

    def test_also_where_the_reconciler_ends_the_run(self, data):
        """Its worker is gone and no attempt is left: the session ends with it, and all of that is in the audit."""
        add_case(data, "L1/a.sh")
        run = lost(start("L1"))
        assert reconciler.reconcile_once().failed == 1
        run.refresh_from_db()
        log = Bridge(data, "dev").status(run.session).transitions
        assert (run.state, log[-1].target) == ("failed", "failed")
        assert transitions_in_audit(run) == [each.seq for each in log]

    def test_what_could_not_be_told_is_told_when_the_next_run_begins(self, data, monkeypatch):
        add_case(data, "L1/a.sh")
        run = lost(start("L1"))
        with monkeypatch.context() as dead:
            dead.setattr(passage, "settle", lambda run: None)  # as where the process dies right after the commit
            reconciler.reconcile_once()
        assert transitions_in_audit(run) == []
        assert done("L1").state == "succeeded"
        log = Bridge(data, "dev").status(run.session).transitions
        assert log[-1].target == "failed"
        assert transitions_in_audit(run) == [each.seq for each in log]

    def test_a_bridge_that_cannot_be_read_does_not_keep_the_run_from_ending(self, data):
        add_case(data, "L1/a.sh")
        run = lost(start("L1"))
        (data / "test_state.db").write_bytes(b"no database at all" * 100)
        assert reconciler.reconcile_once().failed == 1
        run.refresh_from_db()
        assert run.state == "failed"

    def test_what_a_shell_framework_has_offered_is_taken_over(self, data):
        bridge = Bridge(data, "dev")
        bridge.init()
        bridge.begin_layer("L1")
        bridge.record(CaseRecord("from the shell", "passed", source="smoke.sh"))
        bridge.offer()
        add_case(data, "L1/a.sh", FAILS), add_case(data, "L3/a.sh")
        run = done("L1", "L3")
        assert run.state == "succeeded", "the shell's L1 counts, and is not run again"
        assert cases(run) == {"from the shell": "passed", "a.sh": "passed"}
        assert run.session == told(data)["session"]

    def test_a_session_that_is_somebody_else_s_is_refused_with_the_cure(self, data):
        Bridge(data, "dev").init()
        add_case(data, "L1/a.sh")
        run = done("L1")
        assert run.state == "failed"
        assert "manage.py bridge abort" in run.message

    def test_one_that_a_dead_test_run_left_behind_is_ended(self, data):
        add_case(data, "L1/a.sh")
        left = start("L1")
        Bridge(data, "dev").init(token=f"testrun:{left.pk}")
        actions.cancel_testrun(by=SYSTEM, run=left)
        assert done("L1").state == "succeeded"


class TestCancelled:
    def test_what_runs_is_stopped_and_what_ended_is_kept(self, data):
        add_case(data, "L1/a.sh"), add_case(data, "L1/b.sh", "#!/bin/sh\nexec sleep 60\n")
        run = start("L1")
        thread = threading.Thread(target=executor.execute, args=(run.pk,))
        thread.start()
        deadline = time.monotonic() + 30
        while not CaseResult.objects.exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        actions.cancel_testrun(by=SYSTEM, run=run)
        thread.join(20)
        run.refresh_from_db()
        assert (run.state, run.message) == ("cancelled", "Cancelled by system.")
        assert statuses(run) == {"L1": "failed"}
        assert cases(run) == {"a.sh": "passed"}
        assert told(data)["state"] == "aborted"


WORKER = """
import os, sys, django
os.environ["DJANGO_SETTINGS_MODULE"] = "flowcontrol.settings"
django.setup()
from django.conf import settings
from pathlib import Path
settings.DATABASES["default"]["NAME"] = sys.argv[2]
from django.db import connections
connections["default"].settings_dict["NAME"] = sys.argv[2]
settings.DATA = Path(sys.argv[3])
from apps.testruns import catalogue, executor
from apps.testruns.cases.checks import Registry
catalogue.registry = Registry()
executor.execute(int(sys.argv[1]))
"""


@pytest.mark.kill
@pytest.mark.parametrize("moment", [0.0, 0.4, 0.8, 1.3])
def test_a_worker_killed_in_a_layer_loses_and_doubles_nothing(data, moment):
    """Each case notes that it ran; the second worker runs only what the first had not recorded."""
    database = Path(str(TestRun.objects.db and _database()))
    for number in range(6):
        add_case(data, f"L1/{number}.sh", f"#!/bin/sh\nsleep 0.3; echo {number} >> {data}/ran; exit 0\n")
    run = start("L1")
    environment = {**os.environ, "FLOWCONTROL_DATA": str(data), "PYTHONPATH": str(django_settings.BASE_DIR)}
    command = [sys.executable, "-c", WORKER, str(run.pk), str(database), str(data)]
    worker = subprocess.Popen(command, env=environment, cwd=django_settings.BASE_DIR)
    deadline = time.monotonic() + 40
    while _state(database, run.pk) == "queued":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(moment)
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    before = dict(run.case_results.values_list("source", "pk"))
    TestRun.objects.filter(pk=run.pk, state="running").update(lease_expires_at=clock.now() - timedelta(seconds=1))
    reconciler.reconcile_once()
    executor.execute(run.pk)
    run.refresh_from_db()
    assert (run.state, statuses(run)) == ("succeeded", {"L1": "passed"})
    assert len(cases(run)) == 6
    after = dict(run.case_results.values_list("source", "pk"))
    assert before.items() <= after.items(), "what had ended is as it was"
    document = told(data)
    assert (document["state"], len(document["cases"])) == ("completed", 6)
    ran = (data / "ran").read_text().split()
    assert all(ran.count(source.removeprefix("L1/").removesuffix(".sh")) == 1 for source in before), "ran once"


def _database():
    from django.db import connection

    return connection.settings_dict["NAME"]


def _state(database, pk):
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=20) as connection:
        return connection.execute("select state from testruns_testrun where id = ?", (pk,)).fetchone()[0]


def test_done_twice_it_is_done_once(data):
    add_case(data, "L1/a.sh")
    run = done("L1")
    assert executor.execute(run.pk) is None
    assert CaseResult.objects.count() == 1


def test_the_same_run_is_not_to_be_had_by_two(data):
    add_case(data, "L1/a.sh", "#!/bin/sh\nsleep 0.5\n")
    run = start("L1")
    found = []
    threads = [threading.Thread(target=lambda: found.append(executor.execute(run.pk))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(each is not None for each in found) == 1
    assert CaseResult.objects.count() == 1
    assert dev().test_runs.count() == 1
