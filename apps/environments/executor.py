"""One change of a stack, from its claim to its end. A stage that fails ends the change; what ran before still runs."""

from __future__ import annotations

import contextlib

from apps.environments import handover, observer
from apps.environments.containers.found import EngineAway
from apps.environments.models import StackJob
from apps.environments.stages.attempt import Attempt
from apps.jobs import leases


def execute(pk: int, *, worker: str = "") -> StackJob | None:
    """Do the stack job `pk` if it is to be had. Returns its row as it is after this attempt, None where there was
    nothing to do."""
    lease = leases.claim(StackJob, pk, worker=worker)
    if lease is None:
        return None
    job = StackJob.objects.select_related("environment").get(pk=pk)
    with lease:
        Attempt(lease, job, lambda: sentence(job)).perform()
    _look(job)
    job.refresh_from_db()
    handover.tell(job)
    return job


def _look(job: StackJob) -> None:
    """Let the rows of services say at once what the change left, also where no controller watches. An engine that is
    away has been told of by the stages; the rows then stay as they were. Over ssh, which may wait for minutes, it is left
    to the observer."""
    if job.environment.engine_url.startswith("ssh://"):
        return
    with contextlib.suppress(EngineAway):
        observer.look(job.environment)


def sentence(job: StackJob) -> str:
    """What is to be said of a change that went well."""
    if job.action == StackJob.Action.DOWN:
        return f"{job.environment.name} is down. Its volumes, and what is in them, are still there."
    return f"{job.environment.name} is up."
