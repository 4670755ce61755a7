"""What people do with releases: make one, deploy it, approve, cancel, take back. Each is one transaction with its audit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction

from apps.accounts import policy
from apps.audit.actions import record
from apps.audit.actors import actor_of
from apps.common import clock
from apps.common.errors import FlowControlError
from apps.deployments import building, gate, plans, queries
from apps.deployments.models import Approval, Build, Deployment, Release
from apps.deployments.record import open_stages
from apps.deployments.stages.registry import deployment_stages
from apps.environments import claims, standing
from apps.environments.actions import EnvironmentBusy, StackIsOurOwn
from apps.environments.models import Environment
from apps.jobs import actions as jobs
from apps.jobs.states import State

MOST_ATTEMPTS = 100  # one that was begun is brought to its end, however often its worker dies


class GateShut(FlowControlError):  # noqa: N818  it is what the person reads
    """The record does not say that this release may go there."""

    code = "gate_shut"


class PlanStale(FlowControlError):  # noqa: N818
    """What would happen is not what was planned any more."""

    code = "plan_stale"


class EnvironmentPinned(FlowControlError):  # noqa: N818
    """A rollback pins the environment."""

    code = "environment_pinned"


class ApprovalRefused(FlowControlError):  # noqa: N818
    """This approval does not count."""

    code = "approval_refused"


class NothingToRollBack(FlowControlError):  # noqa: N818
    """There is no release to go back to."""

    code = "nothing_to_roll_back"


# --- releases ------------------------------------------------------------------------------------------


def build_release(
    *,
    by: Any,
    environment: Environment,
    note: str = "",
    settings: Mapping[str, str] | None = None,
    file: str = "",
    revision: str = "",
) -> Build:
    """Put the making of a release of the environment's stack, as its files say it now, in line; with `file` as that
    compose file says it, which was fetched at the commit `revision`. Raises Denied, EnvironmentBusy where one is being
    made; then nothing is begun."""
    policy.check(by, "deployments.release", environment.slug)
    try:
        with transaction.atomic():
            job: Build = Build.objects.create(
                environment=environment,
                note=note[:200],
                settings=dict(settings or {}),
                requested_by=actor_of(by).name,
                file=file,
                revision=revision,
            )
            open_stages(job, building.STAGES)
            record(
                "release.build", by=by, target=f"build:{job.pk}", environment=environment.slug, detail={"note": note}
            )
            jobs.enqueue(job)
    except IntegrityError:
        first = Build.objects.filter(environment=environment, state__in=[State.QUEUED, State.RUNNING]).first()
        what = f"build {first.pk}, asked for by {first.requested_by}" if first else "a build that has just ended"
        raise EnvironmentBusy(environment, what) from None
    return job


# --- deployments ---------------------------------------------------------------------------------------


def start(
    *,
    by: Any,
    environment: Environment,
    release: Release,
    plan_digest: str = "",
    by_itself: bool = False,
    settings: Mapping[str, str] | None = None,
) -> Deployment:
    """Deploy a release. It is put in line, or waits for approval where the environment asks for one.

    `plan_digest` is of the plan that somebody saw; another one now is refused. `by_itself`: nobody asks but a hook, which
    a pinned environment refuses. Raises Denied, GateShut, PlanStale, EnvironmentPinned, EnvironmentBusy with the name of
    the first; then nothing has changed.
    """
    policy.check(by, "deployments.start", environment.slug)
    if by_itself and (pin := queries.pin(environment)):
        raise EnvironmentPinned(
            f"{environment.slug} is pinned to {pin.release} by the rollback of {pin.requested_by}.",
            hint=f"Deploy by hand, or `manage.py deployment unpin {environment.slug}`.",
        )
    shut = [each for each in gate.evidence(release, environment) if not each.ok]
    if shut:
        raise GateShut(
            f"{release} may not go to {environment.slug}: {' '.join(each.words for each in shut)}",
            hint=shut[0].hint or "See `manage.py deployment plan`.",
        )
    plan = plans.make(release, environment)
    if plan_digest and plan_digest != plan["digest"]:
        raise PlanStale(
            f"The plan for {release} in {environment.slug} is another one now.", hint="Look at it again, then deploy."
        )
    return _begin(by, environment, release, Deployment.Kind.DEPLOY, plan, settings)


def rollback(
    *, by: Any, environment: Environment, to: Release | None = None, settings: Mapping[str, str] | None = None
) -> Deployment:
    """Deploy a release that served before: the one before this, or `to`. It needs no gate, and pins the environment. Raises
    Denied, NothingToRollBack, EnvironmentBusy."""
    policy.check(by, "deployments.start", environment.slug)
    served = queries.served(environment)
    now = queries.in_force(environment)
    target = to or next((each for each in served if each != now), None)
    if target is None or target not in served:
        names = ", ".join(each.name for each in served) or "none"
        raise NothingToRollBack(
            f"{to or 'No other release'} has not served in {environment.slug}.", hint=f"These have: {names}."
        )
    plan = plans.make(target, environment)
    return _begin(by, environment, target, Deployment.Kind.ROLLBACK, plan, settings)


def _begin(
    by: Any,
    environment: Environment,
    release: Release,
    kind: str,
    plan: Mapping[str, Any],
    settings: Mapping[str, str] | None,
) -> Deployment:
    if reason := standing.own_stack(environment):
        raise StackIsOurOwn(reason)
    waits = environment.needs_approval and kind == Deployment.Kind.DEPLOY
    with transaction.atomic():
        claims.lock(environment)
        if what := claims.held_by(environment):
            raise EnvironmentBusy(environment, what)
        job: Deployment = Deployment.objects.create(
            environment=environment,
            release=release,
            kind=kind,
            previous=queries.in_force(environment),
            plan=dict(plan),
            plan_digest=plan["digest"],
            settings=dict(settings or {}),
            requested_by=actor_of(by).name,
            max_attempts=MOST_ATTEMPTS,
        )
        open_stages(job, deployment_stages(environment))
        record(
            f"deployment.{kind}",
            by=by,
            target=f"deployment:{job.pk}",
            environment=environment.slug,
            detail={"release": release.name, "digest": release.digest, "plan": plan["digest"], "waits": waits},
        )
        if not waits:
            jobs.enqueue(job)
    return job


def approve(*, by: Any, deployment: Deployment, note: str = "") -> Deployment:
    """A second person's word; the deployment is put in line. Raises Denied, ApprovalRefused: by the one who asked, of one
    that does not wait. Two at once: one counts, the other is told."""
    policy.check(by, "deployments.approve", deployment.environment.slug)
    actor = actor_of(by)
    if actor.name == deployment.requested_by.removeprefix("cli:"):  # also where he had no account yet
        raise ApprovalRefused(
            f"{actor.name} has asked for this deployment, and cannot approve it.",
            hint="Ask somebody else to look at it.",
        )
    with transaction.atomic():
        claims.lock(deployment.environment)
        job = Deployment.objects.select_related("environment", "release").get(pk=deployment.pk)
        if job.status != "waiting":
            raise ApprovalRefused(f"Deployment {job.pk} does not wait for approval: it is {job.status}.")
        Approval.objects.create(deployment=job, by=actor.name, note=note[:200])
        record(
            "deployment.approve",
            by=by,
            target=f"deployment:{job.pk}",
            environment=job.environment.slug,
            detail={"release": job.release.name, "plan": job.plan_digest, "note": note[:200]},
        )
        jobs.enqueue(job)
    return job


def cancel(*, by: Any, deployment: Deployment) -> str:
    """Cancel a deployment: one that waits at once, a running one is taken back. Returns the state it is in now. Raises
    Denied."""
    policy.check(by, "deployments.start", deployment.environment.slug)
    return jobs.cancel(deployment, by=by)


def cancel_build(*, by: Any, build: Build) -> str:
    """Cancel the making of a release. Raises Denied."""
    policy.check(by, "deployments.release", build.environment.slug)
    return jobs.cancel(build, by=by)


def unpin(*, by: Any, environment: Environment) -> bool:
    """Let releases come in by themselves again after a rollback. Returns whether it was pinned. Raises Denied."""
    policy.check(by, "deployments.start", environment.slug)
    with transaction.atomic():
        claims.lock(environment)
        pin = queries.pin(environment)
        if pin is None:
            return False
        Deployment.objects.filter(pk=pin.pk).update(unpinned_at=clock.now(), unpinned_by=actor_of(by).name)
        record("deployment.unpin", by=by, target=f"deployment:{pin.pk}", environment=environment.slug, detail={})
    return True
