"""Telling a stack's own portal how it came up.

A stack of our own that is built (staging) has a portal and a database of its own, which were not there when the change
began: the record was kept by whoever did it. When the change has ended the stack's portal is told, so that its pages show
it as well. Told twice it is kept once; where nobody answers the record stays where it is.
"""

from __future__ import annotations

import json
import logging
import socket
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils.dateparse import parse_datetime

from apps.audit.actions import record
from apps.audit.actors import Actor
from apps.common.errors import FlowControlError
from apps.environments.actions import ensure_environment
from apps.environments.containers import running
from apps.environments.containers.commands import Compose
from apps.environments.models import StackJob, StageResult
from apps.environments.stages import stack
from apps.environments.stages.model import StageFailed
from apps.environments.stages.registry import DEV
from apps.environments.stages.stand import passed_on
from apps.jobs.states import FINAL

PORTAL = "app"  # the service of the portal
SECONDS = 60.0
STAGE_FIELDS = ("name", "title", "position", "status", "progress", "message", "hint", "tail", "refers_to")

logger = logging.getLogger(__name__)


class RecordInvalid(FlowControlError):  # noqa: N818  it is what the person reads
    """This is no record of a change of a stack."""

    code = "record_invalid"


def tell(job: StackJob) -> bool:
    """Tell the stack's portal of a change that has ended. Returns whether it was taken; never raises for an answer that
    does not come."""
    environment = job.environment
    if (
        not environment.runs_ourselves
        or environment.slug == DEV
        or job.action != StackJob.Action.UP
        or not job.is_final
    ):
        return False
    try:
        compose = Compose(
            environment.project_name, (stack.compose_file(environment),), stack.settings_file(environment)
        )
        running.run(
            compose.execute(PORTAL, "python", "manage.py", "environment", "adopt", "--json"),
            environment={**passed_on(), **stack.settings_of(job), **stack.engine_variables(environment)},
            folder=Path(settings.BASE_DIR),
            timeout=SECONDS,
            stdin=json.dumps(document(job)),
        )
    except (running.CommandFailed, StageFailed) as error:
        logger.info("The portal of %s was not told of job %s: %s", environment.slug, job.pk, error.message)
        return False
    return True


def document(job: StackJob) -> dict[str, Any]:
    """All that is to be known of a change that has ended, for another database."""
    return {
        "version": 1,
        "environment": job.environment.slug,
        "origin": f"{socket.gethostname()}:{job.pk}",
        "action": job.action,
        "state": job.state,
        "message": job.message,
        "requested_by": job.requested_by,
        "worker": job.worker,
        "attempt": job.attempt,
        "created_at": _text(job.created_at),
        "started_at": _text(job.started_at),
        "finished_at": _text(job.finished_at),
        "stages": [
            {name: getattr(row, name) for name in STAGE_FIELDS}
            | {"started_at": _text(row.started_at), "finished_at": _text(row.finished_at)}
            for row in job.stages.all()
        ],
    }


def _text(moment: Any) -> str | None:
    return moment.isoformat() if moment else None


def adopt(told: Any) -> StackJob:
    """Keep a change that was done elsewhere. Raises RecordInvalid; then nothing is kept. Told again it is the same row."""
    try:
        fields, stages = _fields(told)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        hint = "It is made by `environment up` and is not written by hand."
        raise RecordInvalid(f"This is no record of a change: {error!r}.", hint=hint) from error
    by = Actor(fields["requested_by"], "system")
    environment = ensure_environment(by=by, slug=str(told["environment"]))
    known = StackJob.objects.filter(origin=fields["origin"]).first()
    if known is not None:
        return known
    try:
        with transaction.atomic():
            job: StackJob = StackJob.objects.create(environment=environment, progress=1.0, **fields)
            StageResult.objects.bulk_create(StageResult(job=job, **each) for each in stages)
            record(
                "stack.adopt",
                by=by,
                target=f"stack:{job.pk}",
                environment=environment.slug,
                detail={"origin": job.origin, "action": job.action, "state": job.state},
            )
    except IntegrityError:  # another was first
        return StackJob.objects.get(origin=fields["origin"])
    return job


def _fields(told: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    if told["version"] != 1:
        raise ValueError(f"its version is {told['version']}, not 1")
    if told["state"] not in FINAL or told["action"] not in StackJob.Action.values or not told["origin"]:
        raise ValueError("it has not ended")
    names = ("origin", "action", "state", "message", "requested_by", "worker")
    fields: dict[str, Any] = {name: str(told[name]) for name in names} | {"attempt": int(told["attempt"])}
    fields |= {name: _moment(told[name]) for name in ("started_at", "finished_at")}
    fields["created_at"] = _moment(told["created_at"]) or fields["finished_at"]
    stages = [
        {name: each[name] for name in STAGE_FIELDS}
        | {name: _moment(each[name]) for name in ("started_at", "finished_at")}
        for each in told["stages"]
    ]
    if any(each["status"] not in StageResult.Status.values for each in stages):
        raise ValueError("a stage has no known status")
    return fields, stages


def _moment(text: str | None) -> Any:
    return parse_datetime(text) if text else None
