"""Jobs whose worker is gone are settled truthfully; messages that never arrived are sent again."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction

from apps.audit.actors import SYSTEM
from apps.common import clock
from apps.jobs import actions, messages, workers
from apps.jobs.leases import Lease, claim
from apps.jobs.models import JobEvent, Worker
from apps.jobs.reconciler import reconcile_once
from apps.jobs.supervisor import Supervisor
from tests.jobs.errands import Errand, Step, time_of

Make = Callable[..., Errand]
pytestmark = pytest.mark.usefixtures("rows")


def lose(errand: Errand) -> Lease:
    """Claim it and let the lease run out, as if the worker had been killed."""
    lease = claim(Errand, errand.pk)
    assert lease
    Errand.objects.filter(pk=errand.pk).update(lease_expires_at=clock.now() - timedelta(seconds=1))
    return lease


def waits_since(errand: Errand, seconds: float) -> None:
    past = clock.now() - timedelta(seconds=seconds)
    Errand.objects.filter(pk=errand.pk).update(queued_at=past, available_at=past, send_after=past)


@pytest.fixture
def worker(rows: None) -> Worker:
    return Worker.objects.create(
        name="worker@test", host="test", pid=1, queues=["flows.test"], started_at=clock.now(), seen_at=clock.now()
    )


def test_a_running_job_with_a_good_lease_is_left_alone(errand: Make) -> None:
    claim(Errand, errand().pk)
    assert not reconcile_once().any()
    assert Errand.objects.get().state == "running"


def test_a_lost_job_of_which_nothing_happened_is_queued_again(errand: Make) -> None:
    stale = lose(errand())
    assert reconcile_once().requeued == 1
    job = Errand.objects.get()
    assert (job.state, job.attempt, job.lease_expires_at) == ("queued", 1, None)
    assert not stale.finish("succeeded"), "its old worker changes nothing any more"
    second = claim(Errand, job.pk)
    assert second
    assert second.fence == 2


def test_a_lost_job_whose_effect_is_there_is_finished(errand: Make) -> None:
    lose(errand(effect="published"))
    assert reconcile_once().finished == 1
    job = Errand.objects.get()
    assert (job.state, job.effect, job.ended, job.message) == ("succeeded", "seen", 1, "Its output was in place.")


def test_a_lost_job_about_which_nothing_is_known_stays_lost_and_stops_no_other(errand: Make) -> None:
    unclear, clear = errand(effect="unclear"), errand()
    lose(unclear), lose(clear)
    summary = reconcile_once()
    assert (summary.unclear, summary.requeued) == (1, 1)
    assert Errand.objects.get(pk=unclear.pk).display_state == "lost"


def test_a_lost_job_with_no_attempt_left_fails_with_a_sentence(errand: Make) -> None:
    lose(errand(max_attempts=1))
    assert reconcile_once().failed == 1
    job = Errand.objects.get()
    assert job.state == "failed"
    assert job.message.startswith("Its worker was lost once")


def test_a_lost_job_that_was_cancelled_is_not_run_again(errand: Make) -> None:
    job = errand()
    lose(job)
    actions.cancel(job, by=SYSTEM)
    assert reconcile_once().cancelled == 1
    assert Errand.objects.get().state == "cancelled"


def test_a_lost_and_cancelled_job_whose_effect_is_there_has_succeeded(errand: Make) -> None:
    job = errand(effect="published")
    lose(job)
    actions.cancel(job, by=SYSTEM)
    reconcile_once()
    assert Errand.objects.get().state == "succeeded", "the truth is what happened"


def test_a_job_queued_before_the_clock_was_set_back_keeps_its_delay_from_now_on(errand: Make) -> None:
    at_once, later = errand(), errand()
    ahead = clock.now() + timedelta(hours=1)
    Errand.objects.update(queued_at=ahead, available_at=ahead, send_after=ahead)
    Errand.objects.filter(pk=later.pk).update(available_at=ahead + timedelta(minutes=5))
    assert claim(Errand, at_once.pk) is None
    reconcile_once()
    assert claim(Errand, at_once.pk) is not None
    assert claim(Errand, later.pk) is None
    later.refresh_from_db()
    assert timedelta(minutes=4) < later.available_at - clock.now() <= timedelta(minutes=5)


def test_a_lease_from_before_the_clock_was_set_back_runs_out(errand: Make) -> None:
    job = errand()
    claim(Errand, job.pk)
    Errand.objects.update(lease_expires_at=clock.now() + timedelta(hours=1))
    reconcile_once()
    assert time_of("lease_expires_at") < clock.now() + timedelta(seconds=11)


def test_a_job_that_nobody_picked_up_is_sent_again_and_then_less_often(
    errand: Make, sent: list[int], worker: Worker
) -> None:
    job = errand()
    sent.clear()
    reconcile_once()
    assert sent == [], "its first message may still be on its way"
    waits_since(job, 20)
    for _ in range(3):
        reconcile_once()
    assert sent == [job.pk]
    assert time_of("send_after") > clock.now() + timedelta(seconds=10)
    Errand.objects.update(send_after=clock.now(), sends=3)
    reconcile_once()
    assert time_of("send_after") > clock.now() + timedelta(seconds=100)


def test_a_requeued_job_is_sent_in_the_same_pass(errand: Make, sent: list[int], worker: Worker) -> None:
    job = errand()
    lose(job)
    sent.clear()
    assert reconcile_once().resent == 1
    assert sent == [job.pk]


def test_a_delayed_job_is_sent_when_it_is_due(errand: Make, sent: list[int], worker: Worker) -> None:
    job = errand(delay=60)
    reconcile_once()
    assert sent == []
    waits_since(job, 0)
    reconcile_once()
    assert sent == [job.pk]


def test_neither_final_jobs_nor_those_never_queued_are_sent(errand: Make, sent: list[int], worker: Worker) -> None:
    done = errand()
    waits_since(done, 1000)
    with claim(Errand, done.pk) as lease:  # type: ignore[union-attr]
        lease.finish("failed", "no")
    Errand.objects.create(send_after=clock.now() - timedelta(hours=1), available_at=clock.now())
    sent.clear()
    assert not reconcile_once().any()
    assert sent == []


def test_messages_do_not_pile_up_where_no_worker_is_alive(errand: Make, sent: list[int], worker: Worker) -> None:
    job = errand()
    waits_since(job, 1000)
    sent.clear()
    Worker.objects.update(seen_at=clock.now() - timedelta(minutes=1))
    reconcile_once()
    assert sent == []
    assert "No worker is alive for queue flows.test" in workers.no_worker_for(job)


def test_while_the_broker_is_away_jobs_settle_and_messages_wait(
    errand: Make, worker: Worker, monkeypatch: pytest.MonkeyPatch, sent: list[int]
) -> None:
    job = errand()
    lose(job)
    sent.clear()
    with monkeypatch.context() as away:
        away.setattr(messages, "send", lambda kind, pk, queue: False)
        summary = reconcile_once()
    assert (summary.requeued, summary.resent) == (1, 0)
    reconcile_once()
    assert sent == [job.pk], "a send that failed costs no patience"


def test_a_resumed_job_skips_the_steps_that_are_done(errand: Make) -> None:
    def work(lease: Lease, until: str) -> None:
        for name in ("one", "two", "three"):
            if not Step.objects.filter(errand_id=lease.job.pk, name=name).exists():
                with lease.guarded():
                    Step.objects.create(errand_id=lease.job.pk, name=name, done_by_fence=lease.fence)
            if name == until:
                return

    job = errand()
    first = lose(job)
    Errand.objects.update(lease_expires_at=clock.now() + timedelta(seconds=10))
    work(first, "two")
    Errand.objects.update(lease_expires_at=clock.now() - timedelta(seconds=1))
    reconcile_once()
    second = claim(Errand, job.pk)
    assert second
    work(second, "three")
    assert second.finish("succeeded")
    done = Step.objects.order_by("pk").values_list("name", "done_by_fence")
    assert list(done) == [("one", 1), ("two", 1), ("three", 2)]


def test_two_threads_that_reconcile_at_once_do_everything_once(errand: Make, worker: Worker, sent: list[int]) -> None:
    jobs = [errand(effect=effect) for effect in ("none", "published") * 5]
    for job in jobs:
        lose(job)
    sent.clear()
    barrier = threading.Barrier(3)
    errors: list[BaseException] = []

    def race() -> None:
        try:
            barrier.wait()
            reconcile_once()
        except BaseException as error:  # noqa: BLE001 - reported below
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=race) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert sorted(Errand.objects.values_list("state", "ended")) == [("queued", 0)] * 5 + [("succeeded", 1)] * 5
    assert sorted(sent) == [job.pk for job in jobs if job.effect == "none"]
    assert JobEvent.objects.filter(kind="state").count() == 3 * len(jobs)


@pytest.mark.kill
def test_two_processes_that_reconcile_at_once_do_everything_once(
    errand: Make, process: Callable[..., subprocess.Popen[str]]
) -> None:
    for effect in ("none", "published") * 5:
        lose(errand(effect=effect))
    code = """
        import json
        from apps.jobs.reconciler import reconcile_once
        print("ready", flush=True); sys.stdin.readline()
        print(json.dumps(vars(reconcile_once())))
    """
    racers = [process(code) for _ in range(2)]
    for racer in racers:
        assert racer.stdout
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin
        racer.stdin.write("go\n")
        racer.stdin.flush()
    done = [json.loads(racer.communicate(timeout=60)[0]) for racer in racers]
    assert sum(each["requeued"] for each in done) == 5
    assert sum(each["finished"] for each in done) == 5
    assert sorted(Errand.objects.values_list("state", "ended")) == [("queued", 0)] * 5 + [("succeeded", 1)] * 5


def test_what_the_reconciler_asks_is_answered_from_indexes_of_live_jobs(errand: Make) -> None:
    with transaction.atomic():
        Errand.objects.bulk_create(
            Errand(state="succeeded", finished_at=clock.now(), queued_at=clock.now()) for _ in range(2000)
        )
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"ANALYZE {Errand._meta.db_table}")
    assert "errand_leases" in Errand.objects.lost().explain()
    waiting: Any = Errand.objects.queued().filter(queue="flows.test").order_by("queued_at")[:50]
    assert "errand_queued" in waiting.explain()


@pytest.mark.kill
@pytest.mark.slow
def test_the_job_of_a_killed_worker_is_finished_by_another_exactly_once(
    errand: Make, process: Callable[..., subprocess.Popen[str]], until: Callable[..., None]
) -> None:
    code = """
        import time
        from apps.jobs.leases import claim
        with claim(errands.Errand, int(sys.argv[1])) as lease:
            for name in ("one", "two", "three"):
                if not errands.Step.objects.filter(errand_id=lease.job.pk, name=name).exists():
                    with lease.guarded():
                        errands.Step.objects.create(errand_id=lease.job.pk, name=name, done_by_fence=lease.fence)
                    print(name, flush=True)
                    lease.wait(float(sys.argv[2]))
            lease.finish("succeeded")
    """
    job = errand()
    first = process(code, str(job.pk), "60", LEASE_SECONDS="2")
    assert first.stdout
    assert first.stdout.readline() == "one\n"
    first.kill()
    stop = threading.Event()
    loop = threading.Thread(target=Supervisor().run, args=(stop,))
    loop.start()
    try:
        until(lambda: Errand.objects.get().state == "queued", 15, "it is queued again")
    finally:
        stop.set()
        loop.join(10)
    second = process(code, str(job.pk), "0")
    assert second.communicate(timeout=30)[0] == "two\nthree\n"
    job.refresh_from_db()
    assert (job.state, job.attempt, job.fence, job.ended) == ("succeeded", 2, 2, 1)
    done = Step.objects.order_by("pk").values_list("name", "done_by_fence")
    assert list(done) == [("one", 1), ("two", 2), ("three", 2)]
