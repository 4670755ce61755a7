"""Long work as rows. Rows are the truth; messages and live events only hint at them."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from django.db import models
from django.db.models import Q

from apps.common import clock
from apps.jobs.moment import moment
from apps.jobs.states import ARROWS, FINAL, LOST, Arrow, State


class JobQuerySet(models.QuerySet[Any]):
    """Rows by state. Each of these is answered from an index that holds live jobs only."""

    def queued(self) -> Self:
        """Enqueued and not yet claimed, due or not."""
        return self.filter(state=State.QUEUED, queued_at__isnull=False)

    def running(self) -> Self:
        return self.filter(state=State.RUNNING)

    def lost(self) -> Self:
        """Running by their row, but the lease has run out."""
        return self.running().filter(lease_expires_at__lt=moment())


JobManager = models.Manager.from_queryset(JobQuerySet)


class Job(models.Model):
    """Leased, fenced, reconciled work. A subclass's Meta inherits `Job.Meta`, and its room registers a JobKind.

    Nothing changes these fields but this room's functions: `actions`, `leases`, `reconciler`.
    """

    ARROWS: ClassVar[tuple[Arrow, ...]] = ARROWS

    state = models.CharField(max_length=9, choices=State.choices, default=State.QUEUED)
    # How often a worker has claimed it, and how often it may be.
    attempt = models.PositiveIntegerField(default=0)
    max_attempts = models.PositiveIntegerField(default=3)
    # The fencing number: it grows with each claim, and each write of the work names it.
    fence = models.BigIntegerField(default=0)
    # Who claimed it last: "host:pid", or the Celery worker's name.
    worker = models.CharField(max_length=200, blank=True, default="")
    # The queue its messages go to. Set when it is enqueued.
    queue = models.CharField(max_length=100, blank=True, default="")
    # Until when the work is believed to be alive. Set at claim, renewed by the heartbeat; null when not running.
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=clock.now)
    # When it was last put in line. Null until `actions.enqueue`: such a row is neither sent nor claimed.
    queued_at = models.DateTimeField(null=True, blank=True)
    # Not to be claimed before this moment.
    available_at = models.DateTimeField(null=True, blank=True)
    # When the reconciler sends its message (again), and how often it did so since it was queued.
    send_after = models.DateTimeField(null=True, blank=True)
    sends = models.PositiveIntegerField(default=0)
    # First claim, and the end.
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    # 0 to 1, as far as the work knows.
    progress = models.FloatField(default=0.0)
    # A plain sentence: what went wrong, or why it was stopped.
    message = models.TextField(blank=True, default="")
    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    # Names of accounts as text: the row outlives them.
    cancel_requested_by = models.CharField(max_length=200, blank=True, default="")
    requested_by = models.CharField(max_length=200, blank=True, default="")
    # The number of the newest JobEvent; the row's lock hands the numbers out.
    event_seq = models.BigIntegerField(default=0)

    objects = JobManager()

    class Meta:
        abstract = True
        # Only live jobs are in these, so what the reconciler and the pages ask does not grow with history.
        indexes = [
            models.Index("lease_expires_at", condition=Q(state="running"), name="%(class)s_leases"),
            models.Index("queue", "queued_at", condition=Q(state="queued"), name="%(class)s_queued"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=~Q(state="running") | Q(lease_expires_at__isnull=False), name="%(class)s_running_is_leased"
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["succeeded", "failed", "cancelled"]) | Q(finished_at__isnull=False),
                name="%(class)s_final_is_finished",
            ),
        ]

    @property
    def is_final(self) -> bool:
        return self.state in FINAL

    @property
    def is_lost(self) -> bool:
        """Running by its row, but the lease has run out, by this machine's clock."""
        expires = self.lease_expires_at
        return self.state == State.RUNNING and expires is not None and expires < clock.now()

    @property
    def display_state(self) -> str:
        """The state to show: `lost` as soon as the lease has run out, also before anyone has reconciled it."""
        return LOST if self.is_lost else self.state


class JobEvent(models.Model):
    """Something that happened to a job. The live page is the tail of this table."""

    id = models.BigAutoField(primary_key=True)
    job_kind = models.CharField(max_length=40)  # the name in the registry
    job_id = models.BigIntegerField()
    seq = models.BigIntegerField()  # 1, 2, 3 … for each job, without gaps
    at = models.DateTimeField(default=clock.now)
    kind = models.CharField(max_length=40)  # "state", "log", "progress", "step" …
    data = models.JSONField(default=dict)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["job_kind", "job_id", "seq"], name="jobevent_sequence")]

    def __str__(self) -> str:
        return f"{self.job_kind} {self.job_id} #{self.seq} {self.kind}"


class Worker(models.Model):
    """A worker process that has said it is alive. Its row is written anew every few seconds."""

    name = models.CharField(max_length=200, primary_key=True)  # as Celery names it: worker@host
    host = models.CharField(max_length=200)
    pid = models.PositiveIntegerField()
    queues = models.JSONField(default=list)  # names of the queues it takes work from
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return self.name


class Leader(models.Model):
    """Which process leads in a role. It holds a lease with a fencing number; others stand by."""

    role = models.CharField(max_length=40, primary_key=True)  # "controller"
    holder = models.CharField(max_length=200, blank=True, default="")  # "host:pid:nonce", "" for none
    fence = models.BigIntegerField(default=0)  # grows whenever the lease changes hands
    expires_at = models.DateTimeField()
    ticked_at = models.DateTimeField(null=True, blank=True)  # end of the last complete pass
    tick_seconds = models.FloatField(default=0.0)  # how long that pass took

    def __str__(self) -> str:
        return f"{self.role}: {self.holder or 'nobody'}"
