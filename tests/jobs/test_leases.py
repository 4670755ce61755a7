"""One worker at a time holds a job, and a stale one changes nothing."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection

from apps.audit.actors import SYSTEM
from apps.common import clock
from apps.jobs import actions, leases
from apps.jobs.leases import LeaseLostError, claim
from apps.jobs.models import JobEvent
from tests.jobs.errands import Errand, Step, time_of

Make = Callable[..., Errand]
pytestmark = pytest.mark.usefixtures("rows")


def take_over(errand: Errand) -> None:
    """As if the lease had run out and another worker had claimed the job."""
    Errand.objects.filter(pk=errand.pk).update(fence=errand.fence + 2, attempt=2)


def test_a_claim_sets_fence_attempt_lease_and_start(errand: Make) -> None:
    lease = claim(Errand, errand().pk, worker="me")
    assert lease
    job = Errand.objects.get()
    assert (job.state, job.fence, job.attempt, job.worker) == ("running", 1, 1, "me")
    assert time_of("lease_expires_at") > clock.now() + timedelta(seconds=8)
    assert job.started_at


def test_a_claimed_job_is_not_claimed_again(errand: Make) -> None:
    job = errand()
    assert claim(Errand, job.pk)
    assert claim(Errand, job.pk) is None


def test_a_row_that_was_never_enqueued_is_not_claimed() -> None:
    assert claim(Errand, Errand.objects.create().pk) is None


def test_a_job_is_not_claimed_before_it_is_due(errand: Make) -> None:
    assert claim(Errand, errand(delay=60).pk) is None


def test_a_job_that_is_gone_is_not_claimed() -> None:
    assert claim(Errand, 12345) is None


@pytest.mark.kill
def test_of_eight_processes_one_wins_each_job(errand: Make, process: Callable[..., subprocess.Popen[str]]) -> None:
    jobs = [errand().pk for _ in range(5)]
    code = """
        from apps.jobs.leases import claim
        print("ready", flush=True); sys.stdin.readline()
        print([pk for pk in map(int, sys.argv[1:]) if claim(errands.Errand, pk)])
    """
    racers = [process(code, *map(str, jobs)) for _ in range(8)]
    for racer in racers:
        assert racer.stdout
        assert racer.stdout.readline() == "ready\n"
    won: list[int] = []
    for racer in racers:
        assert racer.stdin
        racer.stdin.write("go\n")
        racer.stdin.flush()
    for racer in racers:
        won += json.loads(racer.communicate(timeout=60)[0])
    assert sorted(won) == jobs
    assert set(Errand.objects.values_list("fence", "attempt")) == {(1, 1)}


def test_a_stale_workers_writes_change_no_row(errand: Make) -> None:
    lease = claim(Errand, errand().pk)
    assert lease
    assert lease.write(effect="mine")
    take_over(lease.job)
    before = Errand.objects.values().get()
    assert not lease.write(effect="stale")
    assert not lease.append("log", {"text": "stale"})
    assert not lease.finish("succeeded")
    with pytest.raises(LeaseLostError), lease.guarded():
        Step.objects.create(errand_id=lease.job.pk, name="one", done_by_fence=lease.fence)
    assert lease.lost
    assert Errand.objects.values().get() == before
    assert not Step.objects.exists()


def test_the_heartbeat_renews_the_lease(errand: Make, settings: Any, until: Callable[..., None]) -> None:
    settings.LEASE_SECONDS, settings.HEARTBEAT_SECONDS = 1.0, 0.2
    lease = claim(Errand, errand().pk)
    assert lease
    first = lease.job.lease_expires_at
    with lease:
        until(lambda: time_of("lease_expires_at") > first + timedelta(seconds=2), what="renewals")
        assert not lease.lost
        assert lease.finish("succeeded")


def test_a_lost_lease_is_noticed_and_wakes_the_work(errand: Make) -> None:
    with claim(Errand, errand().pk) as lease:  # type: ignore[union-attr]
        take_over(lease.job)
        assert lease.wait(5)
        assert lease.lost
    assert Errand.objects.get().state == "running"


def test_a_lease_that_cannot_be_renewed_is_lost_by_the_monotonic_clock(
    errand: Make, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.LEASE_SECONDS, settings.HEARTBEAT_SECONDS = 1.0, 0.2

    def away(self: Any) -> None:
        raise OperationalError("the database is away")

    monkeypatch.setattr(leases.Lease, "_rows", away)
    with claim(Errand, errand().pk) as lease:  # type: ignore[union-attr]
        assert lease.wait(5)
        assert lease.lost
        monkeypatch.undo()
        assert not lease.finish("succeeded"), "a lost lease stays lost when the database is back"
    assert Errand.objects.get().state == "running"


def test_a_short_absence_of_the_database_is_waited_for(errand: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, failures = leases.Lease._rows, iter([OperationalError("database is locked")] * 2)

    def flaky(self: leases.Lease) -> Any:
        if error := next(failures, None):
            raise error
        return rows(self)

    monkeypatch.setattr(leases.Lease, "_rows", flaky)
    lease = claim(Errand, errand().pk)
    assert lease
    assert lease.write(effect="written")
    assert Errand.objects.get().effect == "written"


def test_a_connection_that_the_server_closes_is_made_anew(
    errand: Make, settings: Any, until: Callable[..., None]
) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no server that closes connections")
    settings.LEASE_SECONDS, settings.HEARTBEAT_SECONDS = 5.0, 0.2
    with claim(Errand, errand().pk) as lease:  # type: ignore[union-attr]
        lease.events.add("log", {"n": 1})
        with connection.cursor() as cursor, contextlib.suppress(OperationalError):
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
                " ORDER BY pid = pg_backend_pid()"
            )
        assert lease.write(effect="written")
        after = time_of("lease_expires_at")
        until(lambda: time_of("lease_expires_at") > after, what="renewals go on")
        assert lease.finish("succeeded")
    assert JobEvent.objects.filter(kind="log").count() == 1


def test_finishing_writes_the_row_the_last_event_and_the_hooks_once(errand: Make) -> None:
    hooks: list[int] = []
    with claim(Errand, errand().pk) as lease:  # type: ignore[union-attr]
        lease.events.add("log", {"text": "one"})
        lease.events.progress(0.5)
        assert lease.finish("succeeded", "", effect="done", on_final=lambda job: hooks.append(job.pk))
        assert not lease.finish("failed", "a second thought")
    job = Errand.objects.get()
    assert (job.state, job.effect, job.progress, job.ended) == ("succeeded", "done", 1.0, 1)
    assert hooks == [job.pk]
    assert job.finished_at
    assert job.lease_expires_at is None
    kinds = list(JobEvent.objects.order_by("seq").values_list("seq", "kind"))
    assert kinds == [(1, "state"), (2, "state"), (3, "log"), (4, "progress"), (5, "state")]


def test_a_job_that_is_given_back_waits_for_its_next_attempt(errand: Make) -> None:
    with claim(Errand, errand().pk) as lease:  # type: ignore[union-attr]
        assert lease.give_back("The source was not there yet.", delay=60, effect="retried")
        assert not lease.finish("failed")
        assert not lease.lost
    job = Errand.objects.get()
    assert (job.state, job.effect, job.message, job.ended) == ("queued", "retried", "The source was not there yet.", 0)
    assert claim(Errand, job.pk) is None
    Errand.objects.update(available_at=clock.now())
    assert claim(Errand, job.pk)


def test_a_cancelled_job_that_is_given_back_is_cancelled(errand: Make) -> None:
    job = errand()
    with claim(Errand, job.pk) as lease:  # type: ignore[union-attr]
        actions.cancel(job, by=SYSTEM)
        assert lease.give_back("Again, please.")
    assert Errand.objects.get().state == "cancelled"


def test_a_hook_that_fails_leaves_the_job_as_it_was(errand: Make) -> None:
    def broken(job: Any) -> None:
        raise ValueError("no")

    lease = claim(Errand, errand().pk)
    assert lease
    with pytest.raises(ValueError, match="no"):
        lease.finish("succeeded", on_final=broken)
    assert Errand.objects.get().state == "running"
    assert lease.finish("succeeded")


def test_work_that_raises_fails_with_the_reason(errand: Make) -> None:
    with pytest.raises(ZeroDivisionError), claim(Errand, errand().pk):  # type: ignore[union-attr]
        raise ZeroDivisionError("one by none")
    job = Errand.objects.get()
    assert job.state == "failed"
    assert "one by none" in job.message


def test_work_that_says_nothing_fails(errand: Make) -> None:
    with claim(Errand, errand().pk):  # type: ignore[union-attr]
        pass
    assert Errand.objects.get().state == "failed"


def test_a_worker_that_exits_leaves_the_job_to_the_reconciler(errand: Make) -> None:
    with pytest.raises(SystemExit), claim(Errand, errand().pk):  # type: ignore[union-attr]
        raise SystemExit
    assert Errand.objects.get().state == "running"


def test_the_heartbeat_leaves_no_thread_behind(errand: Make) -> None:
    before = threading.active_count()
    with claim(Errand, errand().pk) as lease:  # type: ignore[union-attr]
        lease.events.add("log", {"text": "one"})
        lease.finish("succeeded")
    assert threading.active_count() == before


def test_text_that_a_database_cannot_hold_is_replaced(errand: Make) -> None:
    lease = claim(Errand, errand().pk)
    assert lease
    lease.append("log", {"text": "a\0b\ud800", "number": float("nan"), "at": clock.now()})
    assert lease.finish("failed", "why\0")
    assert Errand.objects.get().message == "why\N{REPLACEMENT CHARACTER}"
    assert JobEvent.objects.get(kind="log").data["text"] == "a\N{REPLACEMENT CHARACTER}b?"


@pytest.mark.kill
def test_a_killed_worker_holds_its_job_until_the_lease_runs_out(
    errand: Make, process: Callable[..., subprocess.Popen[str]], until: Callable[..., None]
) -> None:
    code = """
        from apps.jobs.leases import claim
        with claim(errands.Errand, int(sys.argv[1])) as lease:
            print("at work", flush=True); lease.wait(60)
    """
    worker = process(code, str(errand().pk), LEASE_SECONDS="2")
    assert worker.stdout
    assert worker.stdout.readline() == "at work\n"
    job, claimed_until = Errand.objects.get(), time_of("lease_expires_at")
    until(lambda: time_of("lease_expires_at") > claimed_until, what="a renewal")
    worker.send_signal(signal.SIGKILL)
    until(lambda: Errand.objects.get().display_state == "lost", what="lost")
    assert Errand.objects.lost().get() == job
    connection.close()
