"""What pages and commands ask about environments. Each costs a fixed number of queries, none grows with history."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from django.db.models import OuterRef, Q, QuerySet, Subquery

from apps.environments.apps import DOCKER_QUEUE
from apps.environments.models import Environment, Service, StackJob
from apps.jobs import workers
from apps.jobs.models import JobEvent, Worker
from apps.jobs.moment import moment
from apps.jobs.states import State

SHOWN_JOBS = 8
SHOWN_LINES = 1000  # of a job's log; the download has all
MOST_TROUBLED = 8


def within(slugs: Collection[str] | None) -> QuerySet[Environment]:
    """The environments of `slugs`; all where it is None."""
    rows = Environment.objects.all()
    return rows if slugs is None else rows.filter(slug__in=slugs)


def last_jobs(environments: Iterable[Environment]) -> dict[int, StackJob]:
    """The newest stack job of each environment that has one, by the environment's key: two queries."""
    rows = StackJob.objects.filter(pk__in=_newest([each.pk for each in environments]))
    return {row.environment_id: row for row in rows.select_related("environment")}


def _newest(environments: Collection[int]) -> list[int]:
    """The keys of the newest stack job of each of the environments."""
    newest = StackJob.objects.filter(environment=OuterRef("pk")).order_by("-pk").values("pk")[:1]
    rows = Environment.objects.filter(pk__in=environments).annotate(newest=Subquery(newest))
    return [pk for pk in rows.values_list("newest", flat=True) if pk is not None]


def jobs_of(environment: Environment, most: int = SHOWN_JOBS) -> list[StackJob]:
    """The newest stack jobs."""
    return list(environment.stack_jobs.order_by("-pk")[:most])


def change_under_way(environment: Environment) -> str:
    """What a stack job is doing with the environment now, in words; "" for nothing."""
    job = environment.stack_jobs.filter(state__in=[State.QUEUED, State.RUNNING]).first()
    return f"stack job {job.pk} brings it {job.action}, asked for by {job.requested_by}" if job else ""


def services(environment: Environment) -> list[Service]:
    """The containers of its stack as they were last seen."""
    return list(environment.services.all())


def services_of(environments: Iterable[Environment]) -> list[Service]:
    """The containers of several environments: one query."""
    return list(Service.objects.filter(environment__in=[each.pk for each in environments]))


def docker_workers() -> list[Worker]:
    """Who has the socket of a Docker Engine, and is alive."""
    return workers.alive(DOCKER_QUEUE)


def log_of(job: StackJob, most: int | None = SHOWN_LINES) -> list[JobEvent]:
    """The newest lines of a job's log, oldest first; all of them for None."""
    rows = JobEvent.objects.filter(job_kind="stack", job_id=job.pk, kind="log").order_by("-seq")
    return list(rows if most is None else rows[:most])[::-1]


# --- what needs attention -----------------------------------------------------------------------------


def troubled_jobs(slugs: Collection[str] | None = None) -> list[StackJob]:
    """The newest stack job of each environment (of `slugs`), where that failed or is lost; newest first."""
    bad = Q(state=State.FAILED) | Q(state=State.RUNNING, lease_expires_at__lt=moment())
    ids = _newest(list(within(slugs).values_list("pk", flat=True)))
    return list(StackJob.objects.filter(bad, pk__in=ids).select_related("environment").order_by("-pk")[:MOST_TROUBLED])


def troubled_services(slugs: Collection[str] | None = None) -> list[Service]:
    """Containers that are not well beside others that run: unhealthy, restarting, ended with an error. A stack that was
    stopped as a whole is no trouble."""
    runs = Service.objects.filter(environment=OuterRef("environment"), state="running").values("pk")[:1]
    ended_badly = Q(state__in=["exited", "dead"]) & ~Q(exit_code=0)
    bad = Q(health="unhealthy") | Q(state="restarting") | ended_badly
    rows = Service.objects.filter(bad).annotate(beside=Subquery(runs)).filter(beside__isnull=False)
    if slugs is not None:
        rows = rows.filter(environment__slug__in=slugs)
    return list(rows.select_related("environment").order_by("environment__position", "container")[:MOST_TROUBLED])
