"""The controller: one leads, a second stands by and takes over; it stops when asked and needs no bus."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from apps.common import clock
from apps.jobs import leadership, queries, reconciler, supervisor
from apps.jobs.leadership import Leadership
from apps.jobs.leases import claim
from apps.jobs.models import Leader
from tests.jobs.conftest import ROOT, child_environment
from tests.jobs.errands import Errand

pytestmark = pytest.mark.usefixtures("rows")
Start = Callable[[], subprocess.Popen[bytes]]


@pytest.fixture
def controller(rows: None) -> Iterator[Start]:
    """Starts `manage.py controller`, with no bus to be had."""
    running: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        environment = child_environment(REDIS_URL="unix:///nowhere/bus.sock", LEASE_SECONDS="4")
        running.append(subprocess.Popen([sys.executable, "manage.py", "controller"], cwd=ROOT, env=environment))
        return running[-1]

    yield start
    for child in running:
        child.kill()
        child.wait()


def leader() -> str:
    return Leader.objects.values_list("holder", flat=True).first() or ""


def leads(child: subprocess.Popen[bytes]) -> Callable[[], bool]:
    return lambda: f":{child.pid}:" in leader()


def test_one_leads_and_the_other_stands_by() -> None:
    one, two = Leadership("test"), Leadership("test")
    assert one.lead()
    assert not two.lead()
    assert one.lead(), "renewed"
    assert one.fence == 1


def test_a_lease_that_ran_out_goes_to_who_stands_by_under_a_higher_number() -> None:
    one, two = Leadership("test"), Leadership("test")
    one.lead()
    Leader.objects.update(expires_at=clock.now() - timedelta(seconds=1))
    assert two.lead()
    assert two.fence == 2
    assert not one.lead()
    assert not one.ticked(0.1), "a deposed leader leaves no tick"


def test_a_lease_from_before_the_clock_was_set_back_is_free() -> None:
    Leadership("test").lead()
    Leader.objects.update(expires_at=clock.now() + timedelta(hours=1))
    assert Leadership("test").lead()


def test_who_resigns_leaves_the_lease_free() -> None:
    one, two = Leadership("test"), Leadership("test")
    one.lead()
    one.resign()
    assert two.lead()


def test_of_many_candidates_one_leads() -> None:
    candidates = [Leadership("test") for _ in range(6)]
    barrier = threading.Barrier(6)
    led: list[bool] = []

    def run(candidate: Leadership) -> None:
        from django.db import connection

        barrier.wait()
        led.append(candidate.lead())
        connection.close()

    threads = [threading.Thread(target=run, args=(each,)) for each in candidates]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(led) == [False] * 5 + [True]


def test_a_pass_that_fails_does_not_end_the_loop(
    monkeypatch: pytest.MonkeyPatch, settings: Any, until: Callable[..., None]
) -> None:
    settings.RECONCILE_SECONDS = 0.1
    monkeypatch.setattr(supervisor, "LOOK_SECONDS", 0.05)
    failures = iter([ValueError("a defect")] * 2)

    def flaky() -> Any:
        if error := next(failures, None):
            raise error
        return reconciler.reconcile_once()

    monkeypatch.setattr(supervisor, "reconcile_once", flaky)
    stop = threading.Event()
    thread = threading.Thread(target=supervisor.Supervisor().run, args=(stop,))
    thread.start()
    try:
        until(lambda: queries.tick_age() is not None, what="a tick after two failures")
    finally:
        stop.set()
        thread.join(10)
    assert leader() == ""


def test_a_lease_that_runs_out_is_seen_to_before_the_next_pass_is_due(errand: Callable[..., Errand]) -> None:
    leading = supervisor.Supervisor()
    leading.look()
    job = errand(effect="unclear")
    claim(Errand, job.pk)
    Errand.objects.update(lease_expires_at=clock.now())
    leading.look()
    assert Errand.objects.get().display_state == "lost", "asked, without an answer"
    Errand.objects.update(effect="none")
    leading.look()
    assert Errand.objects.get().state == "running", "asked again only when the next pass is due"
    leading._pass_at = 0.0
    leading.look()
    assert Errand.objects.get().state == "queued"


@pytest.mark.kill
@pytest.mark.slow
def test_a_second_controller_takes_over_when_the_first_is_killed(controller: Start, until: Callable[..., None]) -> None:
    first = controller()
    until(leads(first), 30, "the first leads")
    until(lambda: queries.tick_age() is not None, what="a tick")
    second = controller()
    first.kill()
    began = time.monotonic()
    until(leads(second), 30, "the second leads")
    assert time.monotonic() - began < 15
    assert Leader.objects.get().fence == 2


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_cleanly_when_asked(controller: Start, until: Callable[..., None], number: int) -> None:
    child = controller()
    until(leads(child), 30, "it leads")
    os.kill(child.pid, number)
    assert child.wait(10) == 0
    assert leader() == "", "the lease is free for the next"


def test_readiness_tells_of_a_controller_that_never_ran_runs_and_stopped() -> None:
    assert queries.readiness()["ready"] is False
    leading = Leadership(leadership.CONTROLLER)
    leading.lead()
    leading.ticked(0.1)
    ready = queries.readiness()
    assert (ready["ready"], ready["reasons"], ready["workers"]) == (True, [], [])
    assert 0 <= ready["supervisor_tick_seconds"] < 5
    Leader.objects.update(ticked_at=clock.now() - timedelta(minutes=1))
    late = queries.readiness()
    assert late["ready"] is False
    assert "60 s ago" in late["reasons"][0]


def test_a_candidate_is_named_by_host_and_process() -> None:
    assert f":{os.getpid()}:" in leadership.Leadership("test").name
