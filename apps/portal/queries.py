"""What pages that cross rooms ask. Each costs a fixed number of queries, however many rows there are."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from django.db.models import OuterRef, Q, QuerySet, Subquery

from apps.audit.models import AuditEvent
from apps.deployments import lanes
from apps.deployments.models import Deployment
from apps.environments import queries as stacks
from apps.environments import standing
from apps.environments.models import Environment, StackJob
from apps.environments.standing import Standing
from apps.flows import queries as flows
from apps.flows.models import Flow
from apps.jobs import workers
from apps.jobs.models import Worker
from apps.jobs.states import State
from apps.runs import queries as runs
from apps.runs.models import Run

STRIP = 30  # runs of a flow on the overview
MOST_FLOWS = 12
MOST_FOUND = 20


@dataclass(frozen=True, slots=True)
class Strip:
    """A flow and how its last runs ended, oldest first, as (number, state)."""

    name: str
    description: str
    runs: Sequence[tuple[int, str]] = ()

    @property
    def success(self) -> float | None:
        """The fraction that succeeded of what succeeded or failed; None for neither."""
        ended = [state for _, state in self.runs if state in (State.SUCCEEDED, State.FAILED)]
        return ended.count(State.SUCCEEDED) / len(ended) if ended else None

    @property
    def words(self) -> str:
        states = [state for _, state in self.runs]
        return ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states)) or "none yet"


def strips() -> list[Strip]:
    """The flows that ran last, each with its last runs; flows that never ran come after those."""
    shown = runs.by_last_run(MOST_FLOWS)
    last = runs.last_of(shown, STRIP)
    return [
        Strip(flow.name, flow.description, [(run.pk, run.display_state) for run in last.get(flow.pk, [])])
        for flow in shown
    ]


def recent_runs(slugs: Collection[str] | None, most: int = 8) -> list[Run]:
    return list(runs.with_names(runs.within(slugs)).order_by("-pk")[:most])


@dataclass(frozen=True, slots=True)
class EnvironmentRow:
    """An environment with its stack and its newest change, its living workers, its live runs and its newest run."""

    slug: str
    name: str
    after: str
    queue: str
    stack: Standing
    job: StackJob | None
    serves: Deployment | None
    workers: Sequence[Worker]
    running: int
    queued: int
    last: Run | None


def environment_rows(slugs: Collection[str] | None = None) -> list[EnvironmentRow]:
    """The environments of `slugs` (None: all), in the order of promotion."""
    newest = Run.objects.filter(environment=OuterRef("pk")).order_by("-pk").values("pk")[:1]
    environments = list(stacks.within(slugs).select_related("after").annotate(newest=Subquery(newest)))
    last = Run.objects.in_bulk([each.newest for each in environments if each.newest])
    alive, counts = workers.alive(), runs.live_counts()
    serving = lanes.serves(environments)
    services, jobs = standing.grouped(stacks.services_of(environments)), stacks.last_jobs(environments)
    return [
        EnvironmentRow(
            slug=each.slug,
            name=each.name,
            after=each.after.name if each.after else "",
            queue=each.queue,
            stack=standing.of(each, services.get(each.pk, [])),
            job=jobs.get(each.pk),
            serves=serving.get(each.pk),
            workers=[worker for worker in alive if each.queue in worker.queues],
            running=counts[each.slug]["running"],
            queued=counts[each.slug]["queued"],
            last=last.get(each.newest),
        )
        for each in environments
    ]


@dataclass(frozen=True, slots=True)
class Serving:
    """An environment with the release that serves in it, and the newest deployment where that is another."""

    environment: Environment
    serves: Deployment | None
    newest: Deployment | None

    @property
    def is_pinned(self) -> bool:
        return self.serves is not None and lanes.is_pin(self.serves)


def serving(slugs: Collection[str] | None) -> list[Serving]:
    """Environments (of `slugs`; None: all) into which something was deployed, in the order of promotion."""
    environments = list(stacks.within(slugs))
    serves, newest = lanes.serves(environments), lanes.newest(environments)
    rows = [(each, serves.get(each.pk), newest.get(each.pk)) for each in environments]
    return [Serving(each, here, last if last != here else None) for each, here, last in rows if here or last]


def found_flows(query: str) -> list[Flow]:
    return list(flows.listed(query)[:MOST_FOUND])


def found_runs(query: str, slugs: Collection[str] | None) -> list[Run]:
    """By number, by flow, or by a word of the message, in environments of `slugs` (None: all)."""
    wanted = Q(flow__name__icontains=query) | Q(message__icontains=query)
    number = query.removeprefix("#")
    if number.isascii() and number.isdigit() and len(number) < 19:
        wanted |= Q(pk=int(number))
    return list(runs.with_names(runs.within(slugs).filter(wanted)).order_by("-pk")[:MOST_FOUND])


def audit_rows(query: str) -> QuerySet[AuditEvent]:
    """Audit events, or those whose kind, actor or target holds the words."""
    rows = AuditEvent.objects.all()
    if query:
        rows = rows.filter(Q(kind__icontains=query) | Q(actor__icontains=query) | Q(target__icontains=query))
    return rows
