"""Plans, differences of plans, and the trouble of a deployment in words for pages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.core import signing
from django.utils import timezone

from apps.deployments.models import Build, Deployment
from apps.environments.models import StageRow
from apps.environments.standing import NOBODY, Trouble
from apps.jobs import workers
from apps.jobs.states import LOST, State

# How a service is changed, as `plans` names it.
HOW = {
    "beside": "A new one starts beside it, and traffic is switched.",
    "in place": "Stopped and started where its data is.",
    "restarted": "Stopped and started.",
}


def plan(made: Mapping[str, Any]) -> dict[str, Any]:
    """A plan as `plans.make` wrote it, as the page shows it: what changes apart from what stays."""
    services, configuration = made.get("services", []), made.get("configuration", {})
    names = [(word, configuration.get(word) or []) for word in ("added", "removed", "changed", "missing")]
    return {
        **made,
        "changes": [{**each, "words": _how(each)} for each in services if each["change"] != "same"],
        "same": [each["name"] for each in services if each["change"] == "same"],
        "names": [(word, found) for word, found in names if found],
        "again": list(_again(made.get("again") or {})),
    }


def _how(service: Mapping[str, Any]) -> str:
    if service["change"] == "added":
        return "Started."
    if service["change"] == "removed":
        return "Stopped and removed."
    return HOW.get(service["how"], service["how"])


def _again(again: Mapping[str, Any]) -> Iterator[str]:
    """What runs once more, a sentence each."""
    yield from (f"{name} does its work once more." for name in again.get("services", ()))
    yield from (f"{name} runs in its new version from its next run on." for name in again.get("flows", ()))


# --- a plan that is stale ------------------------------------------------------------------------------

_SALT = "deployments.plan"


def seal(made: Mapping[str, Any]) -> str:
    """The plan for a form, so that what somebody saw comes back with what they sent; nobody else can have written it."""
    return signing.dumps(made, salt=_SALT, compress=True)


def unseal(text: str) -> dict[str, Any]:
    """The plan that somebody saw; empty where the text is none of ours."""
    try:
        return dict(signing.loads(text, salt=_SALT))
    except (signing.BadSignature, ValueError, TypeError):
        return {}


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What makes `now` another plan than `before`, a sentence each; none where they are the same or `before` is empty."""
    if not before or before.get("digest") == now.get("digest"):
        return []
    found = [
        *_over(before, now), *_services(before, now), *_configuration(before, now), *_flows(before, now)
    ]  # fmt: skip
    if before.get("again") != now.get("again"):
        found.append("What runs once more is different.")
    if before.get("undo") != now.get("undo"):
        found.append("What can be undone is different.")
    return found or ["Something that this page does not show is different."]


def _over(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    if before.get("over") != now.get("over"):
        yield f"{now.get('over') or 'No release'} serves there now, not {before.get('over') or 'none'}."


def _services(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    was, will = ({each["name"]: each for each in side.get("services", ())} for side in (before, now))
    for name in sorted({*was, *will}):
        if was.get(name) != will.get(name):
            yield f"{name}: {_service(was.get(name))} before, {_service(will.get(name))} now."


def _service(service: Mapping[str, Any] | None) -> str:
    if service is None:
        return "not named"
    because = ", ".join(service["because"])
    return service["change"] + (f" ({because})" if because else "")


def _configuration(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    was, will = (side.get("configuration", {}).get("known", {}) for side in (before, now))
    for name in sorted({*was, *will}):
        if was.get(name) != will.get(name):
            how = "has a value now" if name not in was else "has none any more" if name not in will else "was changed"
            yield f"The variable {name} {how}."


def _flows(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    was, will = ({each["name"]: each for each in side.get("flows", ())} for side in (before, now))
    for name in sorted({*was, *will}):
        if was.get(name) != will.get(name):
            yield f"The flow {name} changes in another way."


# --- what is wrong -------------------------------------------------------------------------------------


def trouble(job: Build | Deployment, stages: Sequence[StageRow]) -> Trouble | None:
    """The first thing to say about a build or a deployment, if anything is."""
    if job.display_state == LOST and job.lease_expires_at:
        since = timezone.localtime(job.lease_expires_at)
        text = f"Its worker has not been heard of; its lease ran out at {since:%H:%M:%S %Z}."
        return Trouble("warn", text, "Another worker asks the engine what is true, and goes on by itself.")
    if job.state == State.FAILED:
        failed = next((each for each in stages if each.status == StageRow.Status.FAILED), None)
        return Trouble("bad", _why(job), failed.hint if failed else "")
    if job.state == State.CANCELLED:
        return Trouble("warn", job.message or "It was cancelled.")
    if isinstance(job, Deployment) and job.status == "waiting":
        return Trouble("warn", f"{job.requested_by} asked for it; it waits for somebody else to approve it.")
    return _open_trouble(job)


def _why(job: Build | Deployment) -> str:
    said = job.message or "It failed and left no reason."
    if isinstance(job, Deployment) and job.outcome == Deployment.Outcome.REVERTED:
        return f"{job.release} was taken back. {said}"
    return said


def _open_trouble(job: Build | Deployment) -> Trouble | None:
    if isinstance(job, Deployment) and job.reverting:
        return Trouble("warn", f"It is being taken back. {job.reverting}")
    if job.state == State.QUEUED and (waits := workers.no_worker_for(job)):
        return Trouble("warn", waits, NOBODY)
    if not job.is_final and job.cancel_requested_at:
        return Trouble("warn", f"{job.cancel_requested_by} asked to cancel it; it stops within seconds.")
    if job.state == State.QUEUED and job.message:
        return Trouble("warn", job.message)
    return None


def figures(job: Deployment) -> dict[str, Any] | None:
    """What the watch window has seen: {"seconds", "window", "requests", "errors", "share", "fraction"}; None before it."""
    if "seconds" not in job.watched:
        return None
    seconds, requests, errors = job.watched["seconds"], job.watched["requests"], job.watched["errors"]
    window = job.environment.watch_seconds
    return {
        "seconds": min(seconds, window),
        "window": window,
        "requests": requests,
        "errors": errors,
        "share": errors / requests if requests else None,
        "fraction": min(1.0, seconds / window) if window else 1.0,
    }
