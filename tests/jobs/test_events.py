"""Events are numbered 1, 2, 3 … for each job, whoever writes them, and written in batches."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from apps.jobs import events, queries
from apps.jobs.leases import Lease, claim
from apps.jobs.models import JobEvent
from tests.jobs.errands import Errand

Make = Callable[..., Errand]
pytestmark = pytest.mark.usefixtures("rows")


@pytest.fixture
def lease(errand: Make) -> Lease:
    held = claim(Errand, errand().pk)
    assert held
    return held


def numbers(job: Errand) -> list[int]:
    return list(JobEvent.objects.filter(job_id=job.pk).order_by("seq").values_list("seq", flat=True))


def test_each_job_counts_for_itself(errand: Make) -> None:
    one, two = errand(), errand()
    assert events.append(one, "log", {}) == 2
    assert events.append(two, "log", {}) == 2
    assert events.append_many(one, [("log", {}), ("log", {})]) == 4
    assert [event.seq for event in queries.events_of(one, after=2)] == [3, 4]


def test_threads_leave_no_gap_and_no_double(errand: Make) -> None:
    job = errand()

    def write() -> None:
        for count in range(25):
            events.append_many(job, [("log", {"n": count})] * (1 + count % 3))
        connection.close()

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    job.refresh_from_db()
    assert numbers(job) == list(range(1, job.event_seq + 1))
    assert job.event_seq == 1 + 4 * (9 + 16 + 24)


@pytest.mark.kill
def test_processes_leave_no_gap_also_when_one_is_killed(
    errand: Make, process: Callable[..., subprocess.Popen[str]], until: Callable[..., None]
) -> None:
    job = errand()
    code = """
        from apps.jobs import events
        job = errands.Errand.objects.get(pk=int(sys.argv[1]))
        print("ready", flush=True)
        while True:
            events.append_many(job, [("log", {}), ("log", {})])
    """
    writers = [process(code, str(job.pk)) for _ in range(3)]
    for writer in writers:
        assert writer.stdout
        assert writer.stdout.readline() == "ready\n"
    until(lambda: JobEvent.objects.count() > 50, 30, "fifty events")
    for writer in writers:
        writer.kill()
        writer.wait()
    job.refresh_from_db()
    assert numbers(job) == list(range(1, job.event_seq + 1))


def test_a_thousand_lines_are_a_handful_of_transactions(lease: Lease) -> None:
    with CaptureQueriesContext(connection) as captured:
        for count in range(999):
            lease.events.add("log", {"n": count})
        lease.events.flush()
    lease.events.close()
    assert JobEvent.objects.filter(kind="log").count() == 999
    assert len(captured) < 50
    assert numbers(lease.job) == list(range(1, 1002))


def test_a_lonely_line_is_written_soon(lease: Lease, until: Callable[..., None]) -> None:
    lease.events.add("log", {"text": "still here"})
    until(lambda: JobEvent.objects.filter(kind="log").exists(), 3)
    lease.events.close()


def test_only_the_newest_progress_of_a_batch_is_kept(lease: Lease) -> None:
    for percent in range(100):
        lease.events.progress(percent / 100)
    lease.events.flush()
    lease.events.close()
    written = list(JobEvent.objects.filter(kind="progress").values_list("data", flat=True))
    assert written[-1] == {"fraction": 0.99}
    assert len(written) <= 2
    assert Errand.objects.get().progress == 0.99


def test_a_stale_workers_lines_are_dropped(lease: Lease) -> None:
    Errand.objects.update(fence=7)
    lease.events.add("log", {"text": "stale"})
    assert not lease.events.flush()
    lease.events.close()
    assert lease.lost
    assert not JobEvent.objects.filter(kind="log").exists()


def test_lines_wait_for_a_database_that_is_away(lease: Lease, monkeypatch: pytest.MonkeyPatch) -> None:
    lease.events.close()  # its thread would write them by itself
    append_many, failures = events.append_many, iter([OperationalError("locked")])

    def flaky(*arguments: Any, **more: Any) -> int:
        if error := next(failures, None):
            raise error
        return append_many(*arguments, **more)

    monkeypatch.setattr(events, "append_many", flaky)
    lease.events.add("log", {"n": 1})
    with pytest.raises(OperationalError):
        lease.events.flush()
    lease.events.add("log", {"n": 2})
    assert lease.events.flush()
    assert list(JobEvent.objects.filter(kind="log").order_by("seq").values_list("data__n", flat=True)) == [1, 2]
