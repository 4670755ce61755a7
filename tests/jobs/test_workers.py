"""Workers say that they are alive, and a page can say that none is."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from apps.common import clock
from apps.jobs import workers
from apps.jobs.leases import claim
from apps.jobs.models import Worker
from tests.jobs.conftest import ROOT, child_environment
from tests.jobs.errands import Errand
from tests.jobs.servers import Bus

Make = Callable[..., Errand]
pytestmark = pytest.mark.usefixtures("rows")


def seen(seconds_ago: float, name: str = "worker@here") -> Worker:
    at = clock.now() - timedelta(seconds=seconds_ago)
    return Worker.objects.create(name=name, host="h", pid=1, queues=["flows.test"], started_at=at, seen_at=at)


def test_a_worker_is_alive_for_its_own_queues() -> None:
    worker = seen(1)
    assert workers.alive("flows.test") == [worker]
    assert workers.alive() == [worker]
    assert workers.alive("flows.dev") == []


def test_a_worker_that_was_not_seen_for_a_while_is_dead(errand: Make) -> None:
    seen(15)
    assert workers.alive() == []
    assert workers.no_worker_for(errand()).startswith("No worker is alive for queue flows.test.")


def test_a_sign_of_life_from_before_the_clock_was_set_back_counts_for_nothing() -> None:
    seen(-3600)
    assert workers.alive() == []


def test_only_queued_jobs_lack_a_worker(errand: Make) -> None:
    job = errand()
    claim(Errand, job.pk)
    job.refresh_from_db()
    assert workers.no_worker_for(job) == ""


def test_a_worker_not_seen_for_a_day_is_forgotten() -> None:
    seen(25 * 3600, "old@here"), seen(15)
    workers.forget_dead()
    assert [worker.name for worker in Worker.objects.all()] == ["worker@here"]


def test_the_heartbeat_writes_the_row_and_takes_it_away(until: Callable[..., None]) -> None:
    heartbeat = workers.Heartbeat("beating@here", ["b", "a"])
    heartbeat.start()
    until(lambda: workers.alive("a"))
    assert Worker.objects.get().queues == ["a", "b"]
    heartbeat.stop()
    heartbeat.join()
    assert not Worker.objects.exists()


@pytest.fixture
def celery_worker(rows: None, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    bus = Bus(tmp_path)
    bus.start()
    command = [sys.executable, "-m", "celery", "-A", "flowcontrol", "worker", "-Q", "flows.test,control"]
    command += ["--pool", "threads", "-c", "1", "-n", "tested@%h", "--without-gossip", "--without-mingle"]
    child = subprocess.Popen(
        command,
        cwd=ROOT,
        env=child_environment(REDIS_URL=bus.url),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    yield child
    child.kill()
    child.wait()
    bus.kill()


@pytest.mark.slow
def test_a_real_worker_appears_and_says_goodbye(
    celery_worker: subprocess.Popen[bytes], until: Callable[..., None]
) -> None:
    until(lambda: workers.alive("flows.test"), 40, "the worker's row")
    row = Worker.objects.get()
    assert row.name.startswith("tested@")
    assert row.pid == celery_worker.pid
    assert row.queues == ["control", "flows.test"]
    celery_worker.terminate()
    assert celery_worker.wait(20) == 0
    assert not Worker.objects.exists()


@pytest.mark.slow
@pytest.mark.kill
def test_a_killed_worker_is_dead_soon(celery_worker: subprocess.Popen[bytes], until: Callable[..., None]) -> None:
    until(lambda: workers.alive("flows.test"), 40, "the worker's row")
    celery_worker.kill()
    until(lambda: not workers.alive("flows.test"), 15, "it counts as dead")


def test_the_figures_count_live_jobs_by_kind_and_state(errand: Make) -> None:
    waiting, running, lost = errand(), errand(), errand()
    claim(Errand, running.pk), claim(Errand, lost.pk)
    past = clock.now() - timedelta(seconds=100)
    Errand.objects.filter(pk=lost.pk).update(lease_expires_at=past)
    Errand.objects.filter(pk=waiting.pk).update(available_at=past)

    def figure(state: str) -> float | None:
        return REGISTRY.get_sample_value("flowcontrol_jobs", {"kind": "errand", "state": state})

    assert [figure(state) for state in ("queued", "running", "lost")] == [1, 2, 1]
    age = REGISTRY.get_sample_value("flowcontrol_jobs_oldest_queued_seconds", {"kind": "errand"})
    assert age == pytest.approx(100, abs=10)
    assert REGISTRY.get_sample_value("flowcontrol_supervisor_tick_seconds") == -1
