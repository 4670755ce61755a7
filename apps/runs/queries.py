"""What pages, figures and commands ask about runs.

Each costs a fixed number of queries, answered from an index over what it shows: live runs, the last hours or days, or
the last runs of a flow. None grows with the history behind that.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.db.models import (
    Case,
    Count,
    DurationField,
    ExpressionWrapper,
    F,
    Min,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    When,
)
from django.db.models.functions import TruncDate
from django.utils import timezone

from apps.common import clock
from apps.environments.models import Environment
from apps.flows.models import Flow, FlowVersion
from apps.jobs.models import JobQuerySet
from apps.jobs.moment import moment
from apps.jobs.states import FINAL, LOST, State
from apps.runs.models import Output, Promotion, Run

DAY = timedelta(hours=24)
# How long a run that succeeded took. Not as a filter on the state: the window of time is the better index.
_TOOK = Case(
    When(
        state=State.SUCCEEDED,
        then=ExpressionWrapper(F("finished_at") - F("started_at"), output_field=DurationField()),
    )
)

# --- lists -------------------------------------------------------------------------------------------


def version_in(flow: Flow, environment: Environment) -> FlowVersion | None:
    """The version of a flow that an environment runs: the one that a release brought there, else the current one."""
    promoted = Promotion.objects.filter(flow=flow, environment=environment).select_related("version__flow").first()
    return promoted.version if promoted else flow.current


def promoted(flow: Flow) -> list[Promotion]:
    """Where another version than the current one runs."""
    rows = Promotion.objects.filter(flow=flow).exclude(version=flow.current_id)
    return list(rows.select_related("environment", "version").order_by("environment__position"))


def with_names(runs: QuerySet[Run]) -> QuerySet[Run]:
    """With what a row of a table says, and without what it does not: the text, the outcome."""
    return runs.select_related("flow", "version", "environment").defer(
        "version__text", "version__settings", "outcome", "flow__description"
    )


def within(slugs: Collection[str] | None) -> JobQuerySet:
    """The runs in environments of these slugs; all of them for None."""
    rows: JobQuerySet = Run.objects.all()
    if slugs is None:
        return rows
    # By key: a join would keep the database from taking the index.
    return rows.filter(environment__in=list(Environment.objects.filter(slug__in=slugs).values_list("pk", flat=True)))


def filtered(
    *, flow: str = "", state: str = "", environment: str = "", slugs: Collection[str] | None = None
) -> QuerySet[Run]:
    """Runs by the name of their flow (all of it, else a part), state (`lost` too), environment's slug; page by `pk`.
    Only in environments of `slugs`, where those are given."""
    rows = within(slugs)
    if flow:
        named = flow.replace("\0", "")
        ids = list(Flow.objects.filter(name=named).values_list("pk", flat=True))
        rows = rows.filter(
            flow__in=ids or list(Flow.objects.filter(name__icontains=named).values_list("pk", flat=True))
        )
    if state == LOST:
        rows = rows.lost()
    elif state:
        rows = rows.filter(state=state)
    if environment:
        rows = rows & within([environment])
    return with_names(rows)


def detail(pk: int) -> Run | None:
    """A run with its names, text, steps, checks and outputs: four queries."""
    rows: QuerySet[Run] = Run.objects.select_related("flow", "version__flow", "environment")
    return rows.prefetch_related("steps", "checks", "outputs").filter(pk=pk).first()


def newest_of(flows: Iterable[Flow]) -> dict[int, Run]:
    """The newest run of each flow, by the flow's key."""
    newest = Run.objects.filter(flow=OuterRef("pk")).order_by("-pk").values("pk")[:1]
    found = Flow.objects.filter(pk__in=[flow.pk for flow in flows]).annotate(newest=Subquery(newest))
    ids = [pk for pk in found.values_list("newest", flat=True) if pk is not None]
    return {run.flow_id: run for run in with_names(Run.objects.filter(pk__in=ids))}


def last_of(flows: Iterable[Flow], most: int = 30) -> dict[int, list[Run]]:
    """The last runs of each flow, oldest first, with their state alone; by the flow's key."""
    first = Run.objects.filter(flow=OuterRef("pk")).order_by("-pk").values("pk")[most - 1 : most]
    since = Flow.objects.filter(pk__in=[flow.pk for flow in flows]).annotate(first=Subquery(first))
    wanted = Q(pk__in=[])
    for pk, number in since.values_list("pk", "first"):
        wanted |= Q(flow=pk, pk__gte=number or 0)
    found: dict[int, list[Run]] = defaultdict(list)
    for run in Run.objects.filter(wanted).only("pk", "flow", "state", "lease_expires_at").order_by("pk"):
        found[run.flow_id].append(run)
    return found


def by_last_run(most: int) -> list[Flow]:
    """The flows that ran last, newest first; those that never ran come after, by name."""
    newest = Run.objects.filter(flow=OuterRef("pk")).order_by("-pk").values("pk")[:1]
    flows = Flow.objects.filter(archived_at__isnull=True, current__isnull=False).annotate(newest=Subquery(newest))
    return list(flows.order_by(F("newest").desc(nulls_last=True), "name")[:most])


def troubled(slugs: Collection[str] | None = None, most: int = 8) -> list[Run]:
    """The newest run of each flow in each environment (of `slugs`), where that failed or is lost; newest first."""
    ids = []
    environments = Environment.objects.all() if slugs is None else Environment.objects.filter(slug__in=slugs)
    for environment in environments.values_list("pk", flat=True):
        newest = Run.objects.filter(flow=OuterRef("pk"), environment=environment).order_by("-pk").values("pk")[:1]
        flows = Flow.objects.filter(archived_at__isnull=True).annotate(newest=Subquery(newest))
        ids += [pk for pk in flows.values_list("newest", flat=True) if pk is not None]
    bad = Q(state=State.FAILED) | Q(state=State.RUNNING, lease_expires_at__lt=moment())
    return list(with_names(Run.objects.filter(bad, pk__in=ids)).order_by("-pk")[:most])


def replaced_by(output: Output) -> Run | None:
    """The newest run that has since written the same path in the same environment."""
    later = Output.objects.filter(path=output.path, run__environment=output.run.environment_id, pk__gt=output.pk)
    newest = later.exclude(run=output.run_id).select_related("run").order_by("-pk").first()
    return newest.run if newest else None


# --- figures -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LiveCounts:
    """Now. `lost` are counted in `running` too; `oldest` is when the first of the due ones was put in line."""

    running: int
    lost: int
    queued: int
    oldest: datetime | None


@dataclass(frozen=True, slots=True)
class LastDay:
    """The runs that ended in the last 24 hours. `success` is a fraction of what succeeded or failed, None for neither;
    `median` and `longest` are of those that succeeded."""

    finished: int
    succeeded: int
    failed: int
    median: timedelta | None
    longest: timedelta | None

    @property
    def success(self) -> float | None:
        judged = self.succeeded + self.failed
        return self.succeeded / judged if judged else None


def live() -> LiveCounts:
    """Two queries, over live runs alone."""
    running = Run.objects.running().aggregate(
        running=Count("pk"), lost=Count("pk", filter=Q(lease_expires_at__lt=moment()))
    )
    queued = Run.objects.queued().aggregate(
        queued=Count("pk"), oldest=Min("queued_at", filter=Q(available_at__lte=moment()))
    )
    return LiveCounts(**running, **queued)


def last_day() -> LastDay:
    """Three queries, over the last 24 hours alone."""
    ended = Run.objects.filter(finished_at__gte=clock.now() - DAY)
    counts = ended.aggregate(
        finished=Count("pk"),
        succeeded=Count("pk", filter=Q(state=State.SUCCEEDED)),
        failed=Count("pk", filter=Q(state=State.FAILED)),
    )
    took = ended.annotate(took=_TOOK).filter(took__isnull=False).order_by("took").values_list("took", flat=True)
    middle = list(took[counts["succeeded"] // 2 :][:1])
    return LastDay(**counts, median=middle[0] if middle else None, longest=took.reverse().first())


@dataclass(frozen=True, slots=True)
class DayCount:
    """How the runs that were put in line on a day ended; `total` has the cancelled and the live ones too."""

    day: date
    succeeded: int = 0
    failed: int = 0
    total: int = 0


def per_day(days: int = 14) -> list[DayCount]:
    """The last days, oldest first, each there; days begin as the portal's time zone has them."""
    zone = timezone.get_current_timezone()
    today = timezone.localtime(clock.now(), zone).date()
    first = today - timedelta(days=days - 1)
    midnight = datetime.combine(first, datetime.min.time(), tzinfo=zone)
    rows = (
        Run.objects.filter(queued_at__gte=midnight)
        .annotate(day=TruncDate("queued_at", tzinfo=zone))
        .values("day")
        .annotate(
            succeeded=Count("pk", filter=Q(state=State.SUCCEEDED)),
            failed=Count("pk", filter=Q(state=State.FAILED)),
            total=Count("pk"),
        )
        .order_by()
    )
    found = {row["day"]: DayCount(**row) for row in rows}
    every = (first + timedelta(days=number) for number in range(days))
    return [found.get(day, DayCount(day)) for day in every]


def live_counts() -> Mapping[str, dict[str, int]]:
    """{environment: {"queued", "running", "lost"}}, each environment there; lost ones are running too."""
    counts = {slug: dict.fromkeys(("queued", "running", "lost"), 0) for slug in _slugs()}
    rows: Any = Run.objects.filter(state__in=[State.QUEUED, State.RUNNING]).order_by()
    of_each = rows.values("environment__slug", "state").annotate(
        number=Count("pk"), lost=Count("pk", filter=Q(state=State.RUNNING, lease_expires_at__lt=moment()))
    )
    for row in of_each:
        counts[row["environment__slug"]][row["state"]] = row["number"]
        counts[row["environment__slug"]]["lost"] += row["lost"]
    return counts


def ended_counts() -> Mapping[str, dict[str, int]]:
    """{environment: {"succeeded", "failed", "cancelled"}} of the last 24 hours, each environment there."""
    counts = {slug: dict.fromkeys(map(str, sorted(FINAL)), 0) for slug in _slugs()}
    rows = Run.objects.filter(finished_at__gte=clock.now() - DAY).order_by()
    for slug, state, number in rows.values_list("environment__slug", "state").annotate(number=Count("pk")):
        counts[slug][state] = number
    return counts


def _slugs() -> Sequence[str]:
    return list(Environment.objects.values_list("slug", flat=True))
