"""Putting a job in line, and cancelling one in each state."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from django.db import transaction

from apps.audit.actors import SYSTEM
from apps.common import clock
from apps.jobs import actions, hints, messages, registry, transitions
from apps.jobs.leases import claim
from apps.jobs.models import JobEvent
from tests.jobs import errands
from tests.jobs.errands import Errand, time_of
from tests.jobs.servers import Bus

Make = Callable[..., Errand]
pytestmark = pytest.mark.usefixtures("rows")


@pytest.fixture
def audited(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The kinds and targets of audit rows, besides writing them."""
    kinds: list[str] = []
    from apps.audit.actions import record as write

    def record(kind: str, **more: Any) -> Any:
        kinds.append(f"{kind} {more['target']} {more['environment']}")
        return write(kind, **more)

    monkeypatch.setattr(transitions, "record", record)
    return kinds


def test_the_message_goes_out_when_the_transaction_commits(sent: list[int]) -> None:
    with transaction.atomic():
        job = Errand.objects.create()
        actions.enqueue(job)
        assert sent == []
        assert job.queue == "flows.test"
    assert sent == [job.pk]


def test_nothing_is_sent_for_a_row_that_is_rolled_back(sent: list[int]) -> None:
    with transaction.atomic():
        actions.enqueue(Errand.objects.create())
        transaction.set_rollback(True)
    assert sent == []
    assert not JobEvent.objects.exists()


def test_a_delayed_job_is_not_sent_at_once(errand: Make, sent: list[int]) -> None:
    errand(delay=60)
    assert sent == []


def test_a_job_is_put_in_line_once(errand: Make, sent: list[int]) -> None:
    job = errand()
    with transaction.atomic():
        actions.enqueue(job)
    assert sent == [job.pk]
    assert JobEvent.objects.count() == 1


def test_a_dead_broker_does_not_harm_the_caller(rows: None, settings: Any, tmp_path: Any) -> None:
    settings.CELERY_BROKER_URL = f"redis+socket://{tmp_path}/none.sock"
    messages._sender.cache_clear()
    with transaction.atomic():
        job = Errand.objects.create()
        actions.enqueue(job)
    messages._sender.cache_clear()
    assert time_of("send_after") <= clock.now(), "the reconciler's next pass sends it"


def test_the_message_names_the_task_and_the_row_also_after_the_bus_was_restarted(settings: Any, tmp_path: Path) -> None:
    bus = Bus(tmp_path)
    settings.CELERY_BROKER_URL = f"redis+socket://{bus.socket}"
    messages._sender.cache_clear()
    try:
        bus.start()
        assert messages.send(errands.KIND, 7, "flows.test")
        redis.Redis.from_url(bus.url).execute_command("WAITAOF", 1, 0, 20_000)  # a busy disk is no part of this
        bus.kill()
        assert not messages.send(errands.KIND, 8, "flows.test")
        bus.start()
        assert messages.send(errands.KIND, 9, "flows.test")
        queued = [json.loads(each) for each in redis.Redis.from_url(bus.url).lrange("flows.test", 0, -1)]
    finally:
        bus.kill()
        messages._sender.cache_clear()
    assert [each["headers"]["task"] for each in queued] == ["tests.errand"] * 2
    assert [json.loads(base64.b64decode(each["body"]))[0] for each in queued] == [[9], [7]]


def test_a_dead_bus_does_not_harm_the_caller(settings: Any, tmp_path: Any) -> None:
    settings.REDIS_URL = f"unix://{tmp_path}/none.sock"
    assert hints.Bus().publish("job-errand-1", 1) is False


def test_a_queued_job_is_cancelled_at_once(errand: Make, audited: list[str]) -> None:
    job = errand()
    assert actions.cancel(job, by=SYSTEM) == "cancelled"
    assert (job.state, job.ended, job.cancel_requested_by) == ("cancelled", 1, SYSTEM.name)
    assert claim(Errand, job.pk) is None
    assert audited == [f"errand.cancel errand:{job.pk} dev"]


def test_a_running_job_is_asked_and_its_worker_finishes_it(errand: Make, audited: list[str]) -> None:
    job = errand()
    with claim(Errand, job.pk) as lease:  # type: ignore[union-attr]
        assert not lease.cancel_requested()
        assert actions.cancel(job, by=SYSTEM) == "running"
        assert actions.cancel(job, by=SYSTEM) == "running"
        assert lease.wait(5), "the heartbeat tells the work"
        assert lease.cancel_requested()
        assert not lease.lost
        assert lease.finish("cancelled", "Cancelled as asked.")
    assert Errand.objects.get().state == "cancelled"
    assert audited == [f"errand.cancel errand:{job.pk} dev"], "asked twice, written once"


def test_a_final_job_is_left_as_it_is(errand: Make, audited: list[str]) -> None:
    job = errand()
    with claim(Errand, job.pk) as lease:  # type: ignore[union-attr]
        lease.finish("succeeded")
    assert actions.cancel(job, by=SYSTEM) == "succeeded"
    assert audited == []


def test_without_its_audit_row_the_cancellation_does_not_happen(errand: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(kind: str, **more: Any) -> Any:
        raise RuntimeError("the audit cannot be written")

    monkeypatch.setattr(transitions, "record", refuse)
    job = errand()
    with pytest.raises(RuntimeError):
        actions.cancel(job, by=SYSTEM)
    assert Errand.objects.get().state == "queued"


def test_a_kind_must_inherit_the_indexes() -> None:
    with pytest.raises(AssertionError, match=r"Job\.Meta"):
        registry.register(registry.JobKind("bad", JobEvent, "", lambda job: ""))  # type: ignore[arg-type]
