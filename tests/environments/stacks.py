"""Rows of stacks, for tests that need no engine."""

from datetime import timedelta

from apps.common import clock
from apps.environments.models import Environment, Service, StackJob, StageResult
from apps.jobs.models import Worker

RUNNING = {"state": "running", "health": "healthy"}


def environment(slug="shop", **fields):
    """An environment whose engine has just been looked at."""
    values = {"name": slug.title(), "compose_file": f"/srv/{slug}.yaml", "engine_seen_at": clock.now(), **fields}
    return Environment.objects.create(slug=slug, **values)


def service(where, name="web", **fields):
    values = {
        "container": f"{where.slug}-{name}-1",
        "container_id": f"{name}0123456789ab",
        "image": "busybox:1",
        "seen_at": clock.now(),
        "started_at": clock.now(),
        **RUNNING,
        **fields,
    }
    return Service.objects.create(environment=where, name=name, **values)


def job(where, state="succeeded", action="up", stages=(), **fields):
    """A stack job; `stages` are (title, status, more fields)."""
    now = clock.now()
    ended = {"finished_at": now} if state in ("succeeded", "failed", "cancelled") else {}
    lease = {"lease_expires_at": now + timedelta(seconds=60)} if state == "running" else {}
    values = {"requested_by": "ann", "queue": "docker", "queued_at": now, "started_at": now, **ended, **lease, **fields}
    row = StackJob.objects.create(environment=where, action=action, state=state, **values)
    for position, (title, status, more) in enumerate(stages):
        StageResult.objects.create(
            job=row, name=title.lower(), title=title, status=status, position=position, started_at=now, **more
        )
    return row


def docker_worker():
    now = clock.now()
    return Worker.objects.create(
        name="worker@box", host="box", pid=1, queues=["flows.dev", "docker"], started_at=now, seen_at=now
    )
