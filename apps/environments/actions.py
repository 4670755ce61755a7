"""What people do with environments: make one, bring its stack up or down. Each is one transaction with its audit event."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Max

from apps.accounts import policy
from apps.audit.actions import record
from apps.audit.actors import actor_of
from apps.common.errors import FlowControlError
from apps.environments import claims, standing
from apps.environments.models import Environment, StackJob, StageResult
from apps.environments.stages import registry
from apps.jobs import actions as jobs

NAMES = {"dev": "Development", "staging": "Staging", "production": "Production"}
LONGEST_WATCH_SECONDS = 24 * 3600
# No password, and nothing that ssh would take for an option: it gets user and host as arguments.
_HOST = r"(?:[A-Za-z0-9][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?"
ENGINE = rf"ssh://(?:[A-Za-z0-9_][A-Za-z0-9._-]*@)?{_HOST}(?:/[\w./-]*)?|tcp://{_HOST}/?|unix:///[\w./@+-]+"


class EnvironmentInvalid(FlowControlError):  # noqa: N818  it is what the person reads
    """The environment cannot be made like this."""

    code = "environment_invalid"


class StackIsOurOwn(FlowControlError):  # noqa: N818
    """The portal does not stop or renew the stack that it runs in."""

    code = "stack_is_our_own"


class EnvironmentBusy(FlowControlError):  # noqa: N818
    """Something else is changing this environment."""

    code = "environment_busy"

    def __init__(self, environment: Environment, what: str) -> None:
        super().__init__(
            f"{environment.slug} is being changed already: {what}.",
            hint="Wait until that has ended, or cancel it first.",
        )


class StackBusy(FlowControlError):  # noqa: N818
    """The stack of this environment is being changed already."""

    code = "stack_busy"

    def __init__(self, job: StackJob) -> None:
        self.job = job
        super().__init__(
            f"{job.environment.slug} is being brought {job.action} already, by {job.requested_by}.",
            hint="Follow that one, or cancel it first.",
        )


def add_environment(
    *,
    by: Any,
    slug: str,
    name: str = "",
    compose_file: str = "",
    engine_url: str = "",
    engine_certificates: str = "",
    project: str = "",
    after: Environment | None = None,
) -> Environment:
    """Make an environment; it comes after `after` in the order of promotion, else last.

    Raises Denied, EnvironmentInvalid; then there is none. Two at once: one makes it, the other is told that it is there.
    """
    policy.check(by, "environments.manage")
    _check_slug(slug)
    _check_engine(engine_url, engine_certificates)
    _check_project(Environment(slug=slug, project=project).project_name, engine_url)
    path = str(Path(compose_file).expanduser().absolute()) if compose_file else ""
    if path and not Path(path).is_file():
        raise EnvironmentInvalid(f"There is no file {path}.", hint="Name the compose file that describes the stack.")
    try:
        with transaction.atomic():
            environment: Environment = Environment.objects.create(
                slug=slug,
                name=name or NAMES.get(slug, slug.replace("-", " ").capitalize()),
                position=_position(after),
                after=after,
                compose_file=path,
                engine_url=engine_url,
                engine_certificates=engine_certificates,
                project=project,
                needs_approval=slug == "production",
            )
            detail = {
                "compose_file": path,
                "engine": engine_url,
                "after": after.slug if after else "",
            }
            record("environment.add", by=by, target=f"environment:{slug}", environment=slug, detail=detail)
    except IntegrityError:
        raise EnvironmentInvalid(
            f"There is an environment '{slug}' already.", hint="Choose another name; see `manage.py environment list`."
        ) from None
    return environment


def _check_slug(slug: str) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,39}", slug) or slug.endswith("-"):
        raise EnvironmentInvalid(
            f"'{slug}' cannot be the name of an environment.",
            hint="Use up to 40 small letters, digits and dashes, beginning with a letter: `staging-eu`.",
        )


def _check_engine(url: str, certificates: str) -> None:
    if url and not re.fullmatch(ENGINE, url):
        raise EnvironmentInvalid(
            "That is no address of a Docker Engine.",
            hint="Write ssh://user@host, tcp://host:2376 or unix:///path, without a password; nothing for this machine's own.",
        )
    if url.startswith("tcp:") and not certificates:
        raise EnvironmentInvalid(
            "An engine over tcp:// is spoken to by TLS only.",
            hint="Name the folder of ca.pem, cert.pem and key.pem: --certificates DIR. Or use ssh://.",
        )


def _check_project(project: str, engine_url: str) -> None:
    """Two environments of one project on one engine would take each other's containers for what was left behind."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,59}", project):
        raise EnvironmentInvalid(
            f"'{project}' cannot be the name of a compose project.",
            hint="Use small letters, digits, dashes and underscores, beginning with a letter or digit.",
        )
    for other in Environment.objects.filter(engine_url=engine_url):
        if other.project_name == project:
            raise EnvironmentInvalid(
                f"The project {project} is {other.slug}'s already, on the same engine.",
                hint="Give it another: --project NAME.",
            )


def _position(after: Environment | None) -> int:
    if after is not None:
        return int(after.position) + 1
    last = Environment.objects.aggregate(last=Max("position"))["last"]
    return 0 if last is None else int(last) + 1


def change_environment(
    *, by: Any, environment: Environment, watch_seconds: int | None = None, needs_approval: bool | None = None
) -> Environment:
    """Say how releases come into an environment; None leaves a setting as it is. Raises Denied, EnvironmentInvalid."""
    policy.check(by, "environments.manage")
    if watch_seconds is not None and not 0 <= watch_seconds <= LONGEST_WATCH_SECONDS:
        raise EnvironmentInvalid(
            f"A release cannot be watched for {watch_seconds} s.", hint=f"Write 0 to {LONGEST_WATCH_SECONDS} seconds."
        )
    asked = {"watch_seconds": watch_seconds, "needs_approval": needs_approval}
    changes = {name: value for name, value in asked.items() if value is not None}
    with transaction.atomic():
        Environment.objects.filter(pk=environment.pk).update(**changes)
        target = f"environment:{environment.slug}"
        record("environment.change", by=by, target=target, environment=environment.slug, detail=changes)
    environment.refresh_from_db()
    return environment


def ensure_environment(*, by: Any, slug: str) -> Environment:
    """The environment of that name, made if it is one of those that Flow Control has a stack of its own for."""
    found = Environment.objects.filter(slug=slug).first()
    if found is None and slug in NAMES:
        return add_environment(by=by, slug=slug, after=Environment.objects.order_by("position").last())
    if found is None:
        known = ", ".join(Environment.objects.values_list("slug", flat=True))
        raise EnvironmentInvalid(
            f"There is no environment '{slug}'.",
            hint=f"There are: {known}. Make one with `manage.py environment add {slug} --compose FILE`.",
        )
    return found


def change_stack(
    *, by: Any, environment: Environment, action: str, settings: Mapping[str, str] | None = None
) -> StackJob:
    """Put a change of the environment's stack in line: StackJob.Action `up` or `down`. `settings` are variables that
    differ from the stack's settings file in this change alone.

    One at a time: raises StackBusy with the job that is there, EnvironmentBusy, StackIsOurOwn, Denied; then nothing is
    changed.
    """
    policy.check(by, "environments.change", environment.slug)
    if reason := standing.own_stack(environment):
        raise StackIsOurOwn(reason)
    try:
        with transaction.atomic():
            claims.lock(environment)
            if what := claims.held_by(environment, but="stack"):
                raise EnvironmentBusy(environment, what)
            job: StackJob = StackJob.objects.create(
                environment=environment,
                action=action,
                settings=dict(settings or {}),
                requested_by=actor_of(by).name,
            )
            StageResult.objects.bulk_create(
                StageResult(job=job, name=stage.name, title=stage.title, position=position)
                for position, stage in enumerate(registry.stages_of(environment, action))
            )
            record(
                f"stack.{action}",
                by=by,
                target=f"stack:{job.pk}",
                environment=environment.slug,
                detail=dict(settings or {}),
            )
            jobs.enqueue(job)
    except IntegrityError:
        busy = environment.stack_jobs.filter(state__in=["queued", "running"]).select_related("environment").first()
        if busy is None:  # it has just ended
            return change_stack(by=by, environment=environment, action=action, settings=settings)
        raise StackBusy(busy) from None
    return job


def cancel(*, by: Any, job: StackJob) -> str:
    """Cancel a change: a queued one at once, a running one at the next look. What ran before still runs. Returns the
    state it is in now. Raises Denied."""
    policy.check(by, "environments.change", job.environment.slug)
    return jobs.cancel(job, by=by)
