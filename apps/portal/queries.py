"""What pages that cross rooms ask. Each costs a fixed number of queries, however many rows there are."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db.models import Count, DurationField, ExpressionWrapper, F, Max, Min, Q, QuerySet, Window
from django.db.models.functions import RowNumber, TruncDate
from django.utils import timezone

from apps.audit.models import AuditEvent
from apps.common import clock
from apps.environments.models import Environment
from apps.flows.models import Flow
from apps.jobs import workers
from apps.jobs.models import Worker
from apps.jobs.states import State
from apps.portal.chart import Day
from apps.runs.models import Run

DAYS = 14
STRIP = 30  # runs of a flow on the overview
MOST_FLOWS = 12
MOST_TROUBLES = 8
_DAY = timedelta(hours=24)
_TOOK = ExpressionWrapper(F("finished_at") - F("started_at"), output_field=DurationField())


@dataclass(frozen=True, slots=True)
class Figures:
    """The last 24 hours and now. `success` is a fraction of what succeeded or failed, None where nothing did."""

    success: float | None
    finished: int
    failed: int
    running: int
    lost: int
    queued: int
    oldest: datetime | None
    median: timedelta | None
    longest: timedelta | None


@dataclass(frozen=True, slots=True)
class Strip:
    """A flow and how its last runs ended, oldest first. `success` as in Figures, of these runs."""

    name: str
    description: str
    runs: Sequence[tuple[int, str]] = field(default_factory=tuple)

    @property
    def success(self) -> float | None:
        ended = [state for _, state in self.runs if state in (State.SUCCEEDED, State.FAILED)]
        return ended.count(State.SUCCEEDED) / len(ended) if ended else None

    @property
    def words(self) -> str:
        counts = {state: sum(each == state for _, each in self.runs) for _, state in self.runs}
        return ", ".join(f"{count} {state}" for state, count in counts.items()) or "none yet"


def figures() -> Figures:
    since = clock.now() - _DAY
    live = Run.objects.aggregate(
        running=Count("pk", filter=Q(state=State.RUNNING)),
        lost=Count("pk", filter=Q(state=State.RUNNING, lease_expires_at__lt=clock.now())),
        queued=Count("pk", filter=Q(state=State.QUEUED)),
        oldest=Min("queued_at", filter=Q(state=State.QUEUED)),
    )
    ended = Run.objects.filter(finished_at__gte=since)
    counts = ended.aggregate(
        finished=Count("pk"),
        succeeded=Count("pk", filter=Q(state=State.SUCCEEDED)),
        failed=Count("pk", filter=Q(state=State.FAILED)),
    )
    judged = counts["succeeded"] + counts["failed"]
    took = ended.filter(state=State.SUCCEEDED).annotate(took=_TOOK).order_by("took").values_list("took", flat=True)
    middle = list(took[counts["succeeded"] // 2 :][:1])
    return Figures(
        success=counts["succeeded"] / judged if judged else None,
        finished=counts["finished"],
        failed=counts["failed"],
        median=middle[0] if middle else None,
        longest=took.reverse().first(),
        **live,
    )


def days() -> list[Day]:
    """How the runs queued on each of the last days ended, oldest first, days as the portal's time zone has them."""
    zone = timezone.get_current_timezone()
    today = timezone.localtime(clock.now(), zone).date()
    first = today - timedelta(days=DAYS - 1)
    rows = (
        Run.objects.filter(queued_at__gte=clock.now() - timedelta(days=DAYS))
        .annotate(day=TruncDate("queued_at", tzinfo=zone))
        .values("day")
        .annotate(
            succeeded=Count("pk", filter=Q(state=State.SUCCEEDED)),
            failed=Count("pk", filter=Q(state=State.FAILED)),
            total=Count("pk"),
        )
        .order_by("day")
    )
    found = {row["day"]: row for row in rows}
    shown = []
    for number in range(DAYS):
        day = first + timedelta(days=number)
        row = found.get(day, {"succeeded": 0, "failed": 0, "total": 0})
        shown.append(Day(day, row["succeeded"], row["failed"], row["total"] - row["succeeded"] - row["failed"]))
    return shown


def troubled_runs() -> list[Run]:
    """The newest run of each flow in each environment, where that failed or is lost, newest first."""
    newest = (
        Run.objects.filter(flow__archived_at__isnull=True)
        .order_by()
        .values("flow", "environment")
        .annotate(newest=Max("pk"))
        .values("newest")
    )
    bad = Q(state=State.FAILED) | Q(state=State.RUNNING, lease_expires_at__lt=clock.now())
    return list(with_names(Run.objects.filter(bad, pk__in=newest)).order_by("-pk")[:MOST_TROUBLES])


def recent_runs(most: int = 8) -> list[Run]:
    return list(with_names(Run.objects.all()).order_by("-pk")[:most])


def with_names(runs: QuerySet[Run]) -> QuerySet[Run]:
    """With what a row of a table says: flow, version, environment."""
    return runs.select_related("flow", "version", "environment").defer("version__text", "version__settings", "outcome")


def strips() -> list[Strip]:
    """The flows that ran last, each with its last runs; flows that never ran come after those."""
    flows = list(
        Flow.objects.filter(archived_at__isnull=True)
        .annotate(newest=Max("runs__pk"))
        .order_by(F("newest").desc(nulls_last=True), "name")[:MOST_FLOWS]
    )
    numbered = (
        Run.objects.filter(flow__in=flows)
        .annotate(place=Window(RowNumber(), partition_by=F("flow"), order_by=F("pk").desc()))
        .filter(place__lte=STRIP)
    )
    by_flow: dict[int, list[tuple[int, str]]] = {}
    for run in numbered.order_by("pk").only("pk", "flow", "state", "lease_expires_at"):
        by_flow.setdefault(run.flow_id, []).append((run.pk, run.display_state))
    return [Strip(flow.name, flow.description, by_flow.get(flow.pk, [])) for flow in flows]


@dataclass(frozen=True, slots=True)
class EnvironmentRow:
    slug: str
    name: str
    workers: Sequence[Worker]
    running: int
    queued: int
    last: Run | None


def environment_rows() -> list[EnvironmentRow]:
    """Each environment with its workers, live runs and newest run."""
    environments = list(
        Environment.objects.order_by("position").annotate(
            running=Count("runs", filter=Q(runs__state=State.RUNNING)),
            queued=Count("runs", filter=Q(runs__state=State.QUEUED)),
            newest=Max("runs__pk"),
        )
    )
    last = Run.objects.in_bulk([each.newest for each in environments if each.newest])
    alive = workers.alive()
    return [
        EnvironmentRow(
            each.slug,
            each.name,
            [worker for worker in alive if each.queue in worker.queues],
            each.running,
            each.queued,
            last.get(each.newest),
        )
        for each in environments
    ]


def found_flows(query: str, most: int = 20) -> list[Flow]:
    wanted = Q(name__icontains=query) | Q(description__icontains=query)
    return list(Flow.objects.filter(wanted, archived_at__isnull=True).order_by("name")[:most])


def found_runs(query: str, most: int = 20) -> list[Run]:
    """By number, by flow, or by a word of the message."""
    wanted = Q(flow__name__icontains=query) | Q(message__icontains=query)
    number = query.removeprefix("#")
    if number.isascii() and number.isdigit() and len(number) < 19:
        wanted |= Q(pk=int(number))
    return list(with_names(Run.objects.filter(wanted)).order_by("-pk")[:most])


def audit_rows(query: str) -> QuerySet[AuditEvent]:
    """Audit events, or those whose kind, actor or target holds the words."""
    rows = AuditEvent.objects.all()
    if query:
        rows = rows.filter(Q(kind__icontains=query) | Q(actor__icontains=query) | Q(target__icontains=query))
    return rows
