"""Taking a hook: believe it or not, write down what became of it, put the work in line. One transaction, no other I/O.

`take` does not raise for what a stranger sends. Killed anywhere, the hook is either written with its fetch, or not at all
and the sender, who got no answer, sends it again. Two of the same at once: one counts.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs

from django.db import transaction
from django.db.models import F, Q

from apps.audit.actions import record
from apps.audit.actors import Actor
from apps.common import clock, masking
from apps.common.errors import FlowControlError
from apps.deployments.hooks import signing
from apps.deployments.hooks.models import Delivery, Fetch, FetchStage, HookSource
from apps.deployments.hooks.signing import Trust
from apps.environments import variables
from apps.jobs import actions as jobs
from apps.jobs.states import State

Verdict = Delivery.Verdict


KEPT_BODY = 16 * 1024  # characters
# Within WINDOW: of a source, signed rightly; of an address, not.
WINDOW = timedelta(seconds=60)
MOST_OF_A_SOURCE = 60
MOST_OF_AN_ADDRESS = 30
# Rows that are kept of each source: those signed rightly know what was here before.
KEPT_SIGNED, KEPT_OTHERS, KEPT_BODIES = 2000, 500, 200
# Of a delivery's headers these are kept; no signature, token or cookie is.
KEPT_HEADERS = frozenset(
    {
        *("content-type", "content-length", "user-agent", "x-github-event", "x-github-delivery", "x-github-hook-id"),
        *("x-gitlab-event", "x-gitlab-event-uuid", "x-gitlab-instance", "x-gitlab-webhook-uuid", "idempotency-key"),
        *("webhook-id", "webhook-timestamp"),
    }
)
STAGES = (("fetch", "Fetch the branch"), ("build", "Make a release"), ("deploy", "Deploy it"))


@dataclass(frozen=True)
class Answer:
    status: int
    document: dict[str, Any]
    headers: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Asked:
    """What a payload says, as far as anybody looks."""

    event: str
    branch: str | None = None  # None: it speaks of no branch
    is_ping: bool = False
    is_deletion: bool = False


@dataclass(frozen=True)
class Hook:
    """A request as it came."""

    headers: Mapping[str, str]  # by lower-case name
    body: bytes
    address: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.body).hexdigest()


def take(name: str, headers: Iterable[tuple[str, str]], body: bytes, address: str) -> Answer:
    """Take one hook for the source `name`. Raises django.db.Error where the database is away: then nothing was done."""
    hook = Hook({key.lower(): value.replace("\0", "") for key, value in headers}, body, address[:100])
    source = HookSource.objects.select_related("environment").filter(name=name).first()
    if source is None:
        return _refuse(None, hook, Verdict.UNKNOWN, 404, "no_such_hook", f"There is no hook at /hooks/{name[:50]}.")
    try:
        known = [variables.revealed(source.environment, each) for each in (source.secret, source.old_secret) if each]
    except FlowControlError as error:
        return _refuse(source, hook, Verdict.UNREADABLE, 503, "hook_unreadable", error.message)
    trust = signing.check(source.provider, known, hook.headers, body, time.time())
    if trust is Trust.WRONG:
        return _refuse(source, hook, Verdict.UNSIGNED, 401, "hook_unsigned", "The signature is missing or wrong.")
    if trust is Trust.STALE:
        why = f"It was signed more than {signing.TOLERANCE_SECONDS} s away from the time here."
        return _refuse(source, hook, Verdict.STALE, 401, "hook_stale", why)
    with transaction.atomic():
        return _take_signed(HookSource.objects.select_for_update().get(pk=source.pk), hook)


# --- signed ------------------------------------------------------------------------------------------


def _take_signed(source: HookSource, hook: Hook) -> Answer:
    """Under the lock of the source's row: what was here before, how many, and one waiting fetch are asked one by one."""
    if _count(Q(source=source, is_signed=True)) >= MOST_OF_A_SOURCE:
        return _limited(source, hook)
    given_id = _delivery_id(source.provider, hook.headers)
    if first := _seen(source, given_id, hook.sha256):
        return _repeated(source, hook, given_id, first)
    try:
        asked = _asked(source.provider, hook)
    except (ValueError, RecursionError):
        why = "Its body is no JSON as that provider sends it."
        row = _write(source, hook, Verdict.MALFORMED, 400, why, delivery_id=given_id)
        return _told(row, error="hook_malformed")
    verdict, status, why = _judge(source, asked)
    fetch = waiting_fetch(source) if verdict == Verdict.ACCEPTED else None
    row = _write(source, hook, verdict, status, why, delivery_id=given_id, event=asked.event, fetch=fetch)
    if fetch:
        audit(row, Actor(f"hook:{source.name}", "system"))
    return _told(row)


def _judge(source: HookSource, asked: Asked) -> tuple[Verdict, int, str]:
    if asked.is_ping:
        return Verdict.PING, 200, "Pong."
    if not source.enabled:
        return Verdict.DISABLED, 403, "This hook is switched off."
    if asked.event not in source.events:
        return Verdict.IGNORED, 200, f"It is about {asked.event or 'nothing'}, not {' or '.join(source.events)}."
    if asked.is_deletion:
        return Verdict.IGNORED, 200, "The branch was deleted."
    if asked.branch is not None and asked.branch != source.branch:
        return Verdict.IGNORED, 200, f"It is about {asked.branch[:100]}, not {source.branch}."
    return Verdict.ACCEPTED, 202, f"{source.branch} is fetched."


def waiting_fetch(source: HookSource, *, by: str = "") -> Fetch:
    """The fetch that does what a hook asks for: one that waits already, which will find the newest commit too, else a new
    one. In a transaction that holds the source's row."""
    found: Fetch | None = Fetch.objects.filter(source=source, state=State.QUEUED, attempt=0).order_by("-id").first()
    if found:
        return found
    job: Fetch = Fetch.objects.create(
        source=source, environment=source.environment, requested_by=by or f"hook:{source.name}"
    )
    FetchStage.objects.bulk_create(
        FetchStage(job=job, name=name, title=title, position=position) for position, (name, title) in enumerate(STAGES)
    )
    jobs.enqueue(job)
    return job


def _seen(source: HookSource, given_id: str, sha256: str) -> Delivery | None:
    """A delivery that was taken before with this id or this body."""
    same = Q(body_sha256=sha256) | (Q(delivery_id=given_id) if given_id else Q(pk__in=[]))
    answered = [Verdict.ACCEPTED, Verdict.IGNORED, Verdict.MALFORMED]
    rows = Delivery.objects.filter(same, source=source, is_signed=True, by="", verdict__in=answered)
    return rows.order_by("id").first()


def _repeated(source: HookSource, hook: Hook, given_id: str, first: Delivery) -> Answer:
    """The very same once more is told that all is well, since its sender may not have got our answer. The same body under
    another id, or another body under the same id, no provider sends."""
    is_same = (first.delivery_id, first.body_sha256) == (given_id, hook.sha256)
    why = f"It was here before, as delivery {first.pk}; nothing is started."
    row = _write(source, hook, Verdict.REPEATED, 200 if is_same else 409, why, delivery_id=given_id, keep_body=False)
    return _told(row, error="" if is_same else "hook_repeated")


def _delivery_id(provider: str, headers: Mapping[str, str]) -> str:
    names = {
        "github": ("x-github-delivery",),
        "gitlab": ("webhook-id", "idempotency-key", "x-gitlab-event-uuid"),
        "generic": ("webhook-id",),
    }[provider]
    return next((headers[each] for each in names if headers.get(each)), "")[:200]


# --- what a payload says --------------------------------------------------------------------------------


def _asked(provider: str, hook: Hook) -> Asked:
    """Raises ValueError where the body is no JSON object."""
    payload = _payload(hook)
    if provider == "github":
        event = hook.headers.get("x-github-event", "")[:100]
        return Asked(event, _branch(payload.get("ref")), event == "ping", payload.get("deleted") is True)
    if provider == "gitlab":
        event = hook.headers.get("x-gitlab-event", "").lower().removesuffix(" hook").replace(" ", "_")[:100]
        gone = isinstance(after := payload.get("after"), str) and bool(after) and not after.strip("0")
        return Asked(event, _branch(payload.get("ref")), False, gone)
    event = _plain(str(payload.get("type") or "push"))[:100]
    data = payload.get("data")
    found = data if isinstance(data, dict) else payload
    branch = _branch(found.get("ref")) or (_plain(str(found["branch"])) if found.get("branch") else None)
    return Asked(event, branch, event == "ping")


def _payload(hook: Hook) -> dict[str, Any]:
    body = hook.body.decode("utf-8")
    if hook.headers.get("content-type", "").partition(";")[0].strip() == "application/x-www-form-urlencoded":
        body = parse_qs(body, max_num_fields=10).get("payload", [""])[0]
    found = json.loads(body)
    if not isinstance(found, dict):
        raise ValueError("not an object")
    return found


def _branch(ref: Any) -> str | None:
    """The branch of refs/heads/<branch>; another ref as it is, so that it fits none."""
    return _plain(ref.removeprefix("refs/heads/")) if isinstance(ref, str) else None


def _plain(text: str) -> str:
    """What a database takes: JSON may spell a NUL, or half a character."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


# --- not signed, or too many ----------------------------------------------------------------------------


def _refuse(source: HookSource | None, hook: Hook, verdict: Verdict, status: int, code: str, why: str) -> Answer:
    """Written down without its body. Too many of an address are only counted."""
    with transaction.atomic():
        if _count(Q(address=hook.address, is_signed=False)) >= MOST_OF_AN_ADDRESS:
            return _limited(source, hook)
        row = _write(source, hook, verdict, status, why, is_signed=False, keep_body=False)
    return _told(row, error=code)


def _count(which: Q) -> int:
    rows = Delivery.objects.filter(which, received_at__gt=clock.now() - WINDOW, by="")
    return rows.exclude(verdict=Verdict.LIMITED).count()


def _limited(source: HookSource | None, hook: Hook) -> Answer:
    """One row for all within a minute."""
    since = clock.now() - WINDOW
    rows = Delivery.objects.filter(
        source=source, address=hook.address, verdict=Verdict.LIMITED, received_at__gt=since, by=""
    )
    row = rows.order_by("-id").first()
    if row:
        Delivery.objects.filter(pk=row.pk).update(count=F("count") + 1)
    else:
        row = _write(source, hook, Verdict.LIMITED, 429, "Too many within a minute.", is_signed=False, keep_body=False)
    return _told(row, error="hook_limited", headers=[("retry-after", str(int(WINDOW.total_seconds())))])


# --- the row ---------------------------------------------------------------------------------------------


def _write(
    source: HookSource | None,
    hook: Hook,
    verdict: Verdict,
    status: int,
    why: str,
    *,
    is_signed: bool = True,
    keep_body: bool = True,
    **fields: Any,
) -> Delivery:
    mask = masking.current().text
    row = Delivery.objects.create(
        source=source,
        address=hook.address,
        verdict=verdict,
        status=status,
        message=mask(why)[:300],
        is_signed=is_signed,
        headers={name: mask(value[:300]) for name, value in hook.headers.items() if name in KEPT_HEADERS},
        body=mask(hook.body[: KEPT_BODY * 4].decode("utf-8", "replace"))[:KEPT_BODY].replace("\0", "\ufffd")
        if keep_body
        else "",
        body_bytes=len(hook.body),
        body_sha256=hook.sha256,
        **{"event": _event_of(hook), **fields},
    )
    _forget(source)
    return row


def _event_of(hook: Hook) -> str:
    return (hook.headers.get("x-github-event") or hook.headers.get("x-gitlab-event") or "")[:100]


def _forget(source: HookSource | None) -> None:
    """Keep the log bounded. What strangers send does not push out what was signed."""
    for is_signed, most in ((True, KEPT_SIGNED), (False, KEPT_OTHERS)):
        rows = Delivery.objects.filter(source=source, is_signed=is_signed)
        oldest = rows.order_by("-id").values_list("pk", flat=True)[most : most + 1].first()
        if oldest:
            rows.filter(pk__lte=oldest).delete()
    kept = Delivery.objects.filter(source=source).exclude(body="")
    oldest = kept.order_by("-id").values_list("pk", flat=True)[KEPT_BODIES : KEPT_BODIES + 1].first()
    if oldest:
        kept.filter(pk__lte=oldest).update(body="")


def _told(row: Delivery, *, error: str = "", headers: list[tuple[str, str]] | None = None) -> Answer:
    document: dict[str, Any] = {"version": 1, "status": str(row.verdict), "delivery": row.pk, "message": row.message}
    if row.fetch_id:
        document["fetch"] = row.fetch_id
    if error:
        document = {
            "version": 1,
            "error": error,
            "message": row.message,
            "hint": _HINTS.get(error, ""),
            "delivery": row.pk,
        }
    return Answer(int(row.status), document, headers or [])


_HINTS = {
    "no_such_hook": "Compare the address with the one on the page of webhooks.",
    "hook_unsigned": "Compare the secret at the sender with the one here.",
    "hook_stale": "Set the clock of the sender, or of this machine.",
    "hook_limited": "Send it again later.",
    "hook_repeated": "To start it once more, redeliver it from the log of the portal.",
    "hook_malformed": "Send JSON, and see that the hook is of the right provider.",
    "hook_unreadable": "Set the secret of the hook again in the portal.",
}


def audit(row: Delivery, by: Any) -> None:
    assert row.source is not None
    record(
        "hook.accept" if not row.by else "hook.redeliver",
        by=by,
        target=f"hook:{row.source.name}",
        environment=row.source.environment.slug,
        detail={"delivery": row.pk, "fetch": row.fetch_id, "of": row.redelivery_of_id, "address": row.address},
    )
