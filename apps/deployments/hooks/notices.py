"""What goes out when a deployment has ended: a row for each target in the transaction that ends it, sent as a job after.

A notice is sent until it is taken, later each time, for a day and a half. Killed while it is being sent, it is sent again:
the receiver knows it by its webhook-id.
"""

from __future__ import annotations

import json
import secrets
import time
from typing import Any

from django.db.models import Q

from apps.audit.actions import record
from apps.audit.actors import SYSTEM
from apps.common import clock, masking
from apps.common.errors import FlowControlError
from apps.deployments import record as stages
from apps.deployments.hooks import sending, signing
from apps.deployments.hooks.models import LIVE, Fetch, HookTarget, Notice
from apps.deployments.models import Build, Deployment
from apps.environments import variables
from apps.jobs import actions as jobs
from apps.jobs import leases
from apps.jobs.leases import Lease
from apps.jobs.states import State

# Between one try and the next. After the last of them it is given up.
AFTER_SECONDS = (5.0, 30.0, 120.0, 600.0, 3600.0, 4 * 3600.0, 12 * 3600.0, 20 * 3600.0)
GONE = 410
KEPT_NOTICES = 1000  # of each target
TITLE = {HookTarget.SUCCESS: "deployed", HookTarget.FAILURE: "not deployed", HookTarget.TEST: "a test"}


def of_deployment(job: Build | Deployment) -> None:
    """Make the notices of a deployment that has ended. Rows only, in the transaction that ends it."""
    if not isinstance(job, Deployment):
        return
    event = HookTarget.SUCCESS if job.state == State.SUCCEEDED else HookTarget.FAILURE
    _make(job.environment_id, event, deployment_data(job))


def close_fetch(job: Fetch) -> None:
    """A fetch has ended: its stages say so, and who is to know is told. Rows only."""
    stages.close_stages(job)
    of_fetch(job)


def of_fetch(job: Fetch) -> None:
    """A fetch that came to no deployment is told of as one that failed. Rows only."""
    if job.state != State.FAILED or job.deployment_id is not None:
        return
    data = {
        "environment": job.environment.slug,
        "deployment": None,
        "release": None,
        "previous": None,
        "kind": "deploy",
        "status": "failed",
        "message": job.message,
        "requested_by": job.requested_by,
        "source": job.source.name,
        "revision": job.commit,
    }
    _make(job.environment_id, HookTarget.FAILURE, data)


def deployment_data(job: Deployment) -> dict[str, Any]:
    """The `data` of its message; `docs/reference/webhooks.md` says what each is."""
    source = Fetch.objects.filter(deployment=job).select_related("source").first()
    return {
        "environment": job.environment.slug,
        "deployment": job.pk,
        "release": job.release.name,
        "previous": job.previous.name if job.previous else None,
        "kind": str(job.kind),
        "status": job.status,
        "message": job.message,
        "requested_by": job.requested_by,
        "source": source.source.name if source else None,
        "revision": job.release.revision,
    }


def _make(environment_id: int, event: str, data: dict[str, Any]) -> None:
    rows = HookTarget.objects.filter(environment_id=environment_id, enabled=True)
    for target in rows:
        if event in target.events:
            make(target, event, data)


def make(target: HookTarget, event: str, data: dict[str, Any]) -> Notice:
    """One message, put in line, in the transaction that is open."""
    message = {
        "type": event,
        "timestamp": clock.now().isoformat(),
        "data": {"version": 1, **masking.current().data(data)},
    }
    body = json.dumps(message, ensure_ascii=False, separators=(",", ":"))
    return put(Notice(target=target, event=event, message_id=f"msg_{secrets.token_hex(16)}", body=body))


def put(notice: Notice) -> Notice:
    # Workers that die count as attempts of the job; how often it is sent is counted by its tries.
    notice.max_attempts = 1000
    notice.save()
    jobs.enqueue(notice)
    _forget(notice.target)
    return notice


def _forget(target: HookTarget) -> None:
    ended = Notice.objects.filter(target=target).exclude(LIVE)
    oldest = ended.order_by("-id").values_list("pk", flat=True)[KEPT_NOTICES : KEPT_NOTICES + 1].first()
    if oldest:
        ended.filter(pk__lte=oldest).delete()


# --- sending ----------------------------------------------------------------------------------------------


def execute(pk: int, *, worker: str = "") -> Notice | None:
    """Try once to send the notice `pk`, if it is to be had. Returns its row as it is after, None where there was nothing
    to do."""
    lease = leases.claim(Notice, pk, worker=worker)
    if lease is None:
        return None
    job = Notice.objects.select_related("target__environment").get(pk=pk)
    with lease:
        _try(lease, job)
    job.refresh_from_db()
    return job


def _try(lease: Lease, job: Notice) -> None:
    if not job.target.enabled:
        lease.finish(State.FAILED, f"{job.target} is switched off.")
        return
    began, said = time.monotonic(), {"at": clock.now().isoformat(), "status": 0, "error": "", "response": ""}
    is_final = False
    try:
        got = _send(job)
        said |= {"status": got.status, "response": masking.current().text(got.body)}
    except sending.AddressRefused as error:
        is_final = True
        said["error"] = f"{error.message} {error.hint}".strip()
    except FlowControlError as error:
        said["error"] = error.message
    tries = [*job.tries, {**said, "seconds": round(time.monotonic() - began, 3)}]
    _end(lease, job, tries, is_final=is_final)


def _send(job: Notice) -> sending.Got:
    target = job.target
    known = [variables.revealed(target.environment, each) for each in (target.secret, target.old_secret) if each]
    body = job.body.encode()
    headers = signing.standard_headers(known, job.message_id, int(time.time()), body)
    return sending.post(target.url, body, {"content-type": "application/json", **headers}, internal=target.is_internal)


def _end(lease: Lease, job: Notice, tries: list[dict[str, Any]], *, is_final: bool) -> None:
    last = tries[-1]
    said = last["error"] or f"It answered {last['status']}."
    if 200 <= last["status"] < 300:
        lease.finish(State.SUCCEEDED, f"{said[:-1]} in {last['seconds']:g} s.", tries=tries)
    elif last["status"] == GONE:
        lease.finish(State.FAILED, "It answered 410: nobody wants it any more.", tries=tries, on_final=_switch_off)
    elif is_final or len(tries) > len(AFTER_SECONDS):
        lease.finish(State.FAILED, said if is_final else f"{said} Given up after {len(tries)} tries.", tries=tries)
    else:
        seconds = AFTER_SECONDS[len(tries) - 1]
        lease.give_back(f"{said} Tried again in {_words(seconds)}.", delay=seconds, tries=tries)


def _switch_off(job: Notice) -> None:
    """In the transaction that ends the notice: whoever answers 410 is not asked again."""
    reason = "It answered 410: nobody wants it any more."
    if HookTarget.objects.filter(Q(pk=job.target_id) & Q(enabled=True)).update(enabled=False, disabled_because=reason):
        target = HookTarget.objects.select_related("environment").get(pk=job.target_id)
        record(
            "hook.disable",
            by=SYSTEM,
            target=f"hook-target:{target.name}",
            environment=target.environment.slug,
            detail={"because": reason, "notice": job.pk},
        )


def _words(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:g} s"
    return f"{seconds / 60:g} min" if seconds < 3600 else f"{seconds / 3600:g} h"
