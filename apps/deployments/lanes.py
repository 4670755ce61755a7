"""How releases stand in the environments: one lane for each, in the order of promotion. Worked out from rows when it is read.

It costs a fixed number of queries, and a few more for each environment that a release may go to next; none grows with history.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from django.db.models import OuterRef, QuerySet, Subquery

from apps.deployments import gate
from apps.deployments.gate import Evidence
from apps.deployments.models import Deployment, DeploymentStage, Release
from apps.environments import queries as stacks
from apps.environments import standing
from apps.environments.models import Environment
from apps.environments.standing import Standing
from apps.jobs.states import State

# Read by no list: plans and descriptions are long.
LONG = ("plan", "release__description", "previous__description", "previous__manifest")


@dataclass(frozen=True, slots=True)
class Lane:
    """An environment: what serves there, what is under way, how the newest ended otherwise, and what could come next."""

    environment: Environment
    stack: Standing
    serves: Deployment | None  # the deployment by which the release that serves came
    live: Deployment | None
    stages: Sequence[DeploymentStage]  # of `live`
    failed: Deployment | None  # a newer one than that by which it serves, that did not come to serve
    next: Release | None
    evidence: Sequence[Evidence]  # of the gate for `next`

    @property
    def is_used(self) -> bool:
        """Whether anything was ever deployed there, or is about to be."""
        return bool(self.serves or self.live or self.failed or self.next)

    @property
    def is_pinned(self) -> bool:
        return self.serves is not None and is_pin(self.serves)

    @property
    def stage(self) -> DeploymentStage | None:
        """The stage of the live deployment that runs, else the one that comes next."""
        open_ones = [each for each in self.stages if each.status in ("running", "queued")]
        return next((each for each in open_ones if each.status == "running"), next(iter(open_ones), None))

    @property
    def stage_words(self) -> str:
        """For those who do not see the bar."""
        number = self.stages.index(self.stage) + 1 if self.stage else len(self.stages)
        return f"stage {number} of {len(self.stages)}"

    @property
    def shut(self) -> list[Evidence]:
        return [each for each in self.evidence if not each.ok]


def is_pin(serves: Deployment) -> bool:
    """Whether the deployment by which a release serves pins its environment."""
    return serves.kind == Deployment.Kind.ROLLBACK and serves.unpinned_at is None


def of(environments: Sequence[Environment]) -> dict[int, Lane]:
    """A lane for each of the environments (read with `after`), by key."""
    services = standing.grouped(stacks.services_of(environments))
    serving, live, last = serves(environments), under_way(environments), newest(environments)
    made = _newest_made([each for each in environments if each.after_id is None])
    before = serves([each.after for each in environments if each.after])
    found = {}
    for each in environments:
        here, job, ended = serving.get(each.pk), live.get(each.pk), last.get(each.pk)
        source = before.get(each.after_id) if each.after_id else None
        wanted = source.release if source else made.get(each.pk)
        if wanted and ((here and here.release_id == wanted.pk) or (job and job.release_id == wanted.pk)):
            wanted = None
        failed = ended if ended and ended.is_final and ended.state == State.FAILED else None
        found[each.pk] = Lane(
            environment=each,
            stack=standing.of(each, services.get(each.pk, [])),
            serves=here,
            live=job,
            stages=list(job.stages.all()) if job else (),
            failed=failed,
            next=wanted,
            evidence=gate.evidence(wanted, each) if wanted else (),
        )
    return found


def lines(environments: Sequence[Environment]) -> list[list[Environment]]:
    """The lines of promotion: each begins with an environment that comes after none of these; what follows another stands
    after it. Those that follow each other in a ring stand alone."""
    shown = {each.pk for each in environments}
    followers: dict[int | None, list[Environment]] = {}
    for each in environments:
        followers.setdefault(each.after_id if each.after_id in shown else None, []).append(each)

    def walk(first: Environment) -> Iterator[Environment]:
        yield first
        for each in followers.get(first.pk, []):
            yield from walk(each)

    found = [list(walk(first)) for first in followers.get(None, [])]
    placed = {each.pk for line in found for each in line}
    return found + [[each] for each in environments if each.pk not in placed]


# --- the newest of each environment --------------------------------------------------------------------


def serves(environments: Iterable[Environment]) -> dict[int, Deployment]:
    """The deployment by which what serves came to serve, by the environment's key: two queries."""
    return _by_environment(Deployment.objects.filter(state=State.SUCCEEDED), environments)


def newest(environments: Iterable[Environment]) -> dict[int, Deployment]:
    """The newest deployment of each environment, however it ended or goes: two queries."""
    return _by_environment(Deployment.objects.all(), environments)


def under_way(environments: Iterable[Environment]) -> dict[int, Deployment]:
    """The deployment of each environment that waits, is queued or runs, with its stages."""
    rows = Deployment.objects.filter(
        environment__in=[each.pk for each in environments], state__in=[State.QUEUED, State.RUNNING]
    )
    return {row.environment_id: row for row in _short(rows).prefetch_related("stages")}


def _by_environment(rows: QuerySet[Deployment], environments: Iterable[Environment]) -> dict[int, Deployment]:
    one = rows.filter(environment=OuterRef("pk")).order_by("-pk").values("pk")[:1]
    places = Environment.objects.filter(pk__in=[each.pk for each in environments])
    keys = [pk for pk in places.annotate(one=Subquery(one)).values_list("one", flat=True) if pk]
    return {row.environment_id: row for row in _short(Deployment.objects.filter(pk__in=keys))}


def _short(rows: QuerySet[Deployment]) -> QuerySet[Deployment]:
    return rows.select_related("environment", "release", "previous", "approval").defer(*LONG)


def _newest_made(environments: Iterable[Environment]) -> dict[int, Release]:
    """The newest release that was made of each environment."""
    one = Release.objects.filter(origin=OuterRef("pk")).order_by("-pk").values("pk")[:1]
    places = Environment.objects.filter(pk__in=[each.pk for each in environments])
    keys = [pk for pk in places.annotate(one=Subquery(one)).values_list("one", flat=True) if pk]
    return {row.origin_id: row for row in Release.objects.filter(pk__in=keys).defer("description")}
