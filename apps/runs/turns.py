"""Who may begin now: a flow that says `concurrency: n` has at most n runs at work in an environment, oldest first."""

from __future__ import annotations

from django.db import transaction
from django.db.models import Q, QuerySet

from apps.flows.models import Flow
from apps.jobs import leases, messages, registry
from apps.jobs.leases import Lease
from apps.jobs.moment import moment
from apps.jobs.states import State
from apps.runs.models import Run

LOOK_AGAIN_SECONDS = 2.0
NEXT_SENT_SECONDS = 15.0


def claim(pk: int, *, worker: str = "") -> Lease | None:
    """The lease of a run. None when it is not to be had, or its flow has as many runs at work as it allows: then the run
    stays in line and says so, and is looked at again when one of them ends."""
    run = Run.objects.select_related("version").defer("version__text").filter(pk=pk).first()
    if run is None or run.state != State.QUEUED:
        return None
    limit = run.version.settings.get("concurrency")
    if not limit:
        return leases.claim(Run, pk, worker=worker)
    with transaction.atomic():
        Flow.objects.select_for_update().get(pk=run.flow_id)  # two that count at once would both begin
        if _before(run).count() < limit:
            return leases.claim(Run, pk, worker=worker)
        Run.objects.filter(pk=pk, state=State.QUEUED).update(
            message=f"Waits for its turn: the flow allows {limit} at a time.",
            send_after=moment(LOOK_AGAIN_SECONDS),
            sends=0,
        )
    return None


def _before(run: Run) -> QuerySet[Run]:
    """The runs that are at work, and those that are due and were in line before."""
    older = Q(state=State.QUEUED, queued_at__isnull=False, available_at__lte=moment(), pk__lt=run.pk)
    siblings: QuerySet[Run] = Run.objects.filter(flow=run.flow_id, environment=run.environment_id)
    return siblings.filter(Q(state=State.RUNNING) | older).exclude(pk=run.pk)


def call_next(run: Run) -> None:
    """After `run` has ended: send the message of the run that waited for it longest. Lost, the reconciler sends it."""
    if not run.version.settings.get("concurrency"):
        return
    waiting = Run.objects.queued().filter(flow=run.flow_id, environment=run.environment_id, available_at__lte=moment())
    if following := waiting.order_by("pk").first():
        rows = Run.objects.filter(pk=following.pk, state=State.QUEUED)
        if rows.update(send_after=moment(NEXT_SENT_SECONDS)):
            messages.send(registry.kind_of(following), following.pk, following.queue)
