"""Layered tests of an environment: what was run, layer by layer and case by case, and which cases are in quarantine."""

from __future__ import annotations

from typing import Literal, cast

from django.db import models
from django.db.models import Q

from apps.common import clock
from apps.common.files import sha256
from apps.environments.models import Environment
from apps.jobs.models import Job


class Status(models.TextChoices):
    """Of a layer or a case. A layer has cases that wait or run; a case's row is written when it has ended."""

    QUEUED = "queued"  # not begun
    RUNNING = "running"
    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"  # a case that could not be tried here, with its reason; a layer above a failed one


Word = Literal["passed", "failed", "skipped"]  # of a case that has ended


def key_of(layer: str, source: str, title: str) -> str:
    """What one case is known by from run to run, in an index of fixed width."""
    return sha256("\0".join((layer, source, title)))[:32]


class TestRun(Job):
    """Layers run against an environment. `succeeded` means that each layer passed, `failed` that one did not, or that
    the run could not be done; `message` says which."""

    __test__ = False  # no class of tests, whatever pytest reads in its name

    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="test_runs")
    layers = models.JSONField(default=list)  # which were asked for, in their order: ["L0", "L1"]
    keep_going = models.BooleanField(default=False)  # also above a layer that failed
    # The bridge session that carries it from the shell framework to the application framework; "" before it began.
    session = models.CharField(max_length=64, blank=True, default="")

    class Meta(Job.Meta):
        indexes = [
            *Job.Meta.indexes,
            models.Index(fields=["environment", "-id"], name="testrun_of_environment"),
        ]

    def __str__(self) -> str:
        return f"test run {self.pk}"


class LayerResult(models.Model):
    """How one layer of a test run went. Its counts are of the rows of its cases."""

    test_run = models.ForeignKey(TestRun, on_delete=models.CASCADE, related_name="layer_results")
    layer = models.CharField(max_length=2)  # L0 … L5
    position = models.PositiveSmallIntegerField()
    status = models.CharField(max_length=7, choices=Status.choices, default=Status.QUEUED)
    planned = models.PositiveIntegerField(default=0)  # cases found; one executable may answer for several
    ended = models.PositiveIntegerField(default=0)  # of those
    passed = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    skipped = models.PositiveIntegerField(default=0)
    flaky = models.PositiveIntegerField(default=0)  # of the passed: only after a retry
    quarantined = models.PositiveIntegerField(default=0)  # of the failed: they do not fail the layer
    message = models.TextField(blank=True, default="")
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["position"]
        constraints = [models.UniqueConstraint(fields=["test_run", "layer"], name="layerresult_once")]

    def __str__(self) -> str:
        return f"{self.layer} of test run {self.test_run_id}"


class CaseResult(models.Model):
    """How one case of a test run ended."""

    test_run = models.ForeignKey(TestRun, on_delete=models.CASCADE, related_name="case_results")
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="+")  # the run's, for history
    layer = models.CharField(max_length=2)
    source = models.CharField(max_length=300)  # the file, or the check's name
    title = models.CharField(max_length=500)
    key = models.CharField(max_length=32)  # key_of(layer, source, title)
    status = models.CharField(max_length=7, choices=Status.choices)
    is_flaky = models.BooleanField(default=False)  # passed only after a retry
    is_quarantined = models.BooleanField(default=False)  # failed, and did not count
    seconds = models.FloatField(default=0.0)
    attempts = models.PositiveIntegerField(default=1)
    message = models.TextField(blank=True, default="")  # why it failed, or was skipped
    output = models.TextField(blank=True, default="")  # what it printed, its head and its tail
    position = models.PositiveIntegerField(default=0)  # within the layer, in the order in which they ended
    at = models.DateTimeField(default=clock.now)

    class Meta:
        ordering = ["layer", "position"]
        constraints = [models.UniqueConstraint(fields=["test_run", "key"], name="caseresult_once")]
        indexes = [
            models.Index(fields=["environment", "key", "-id"], name="caseresult_history"),
            models.Index(fields=["test_run", "layer", "position"], name="caseresult_of_layer"),
            models.Index(fields=["test_run"], condition=Q(status="failed"), name="caseresult_failed"),
        ]

    def __str__(self) -> str:
        return f"{self.layer} {self.title}"

    @property
    def word(self) -> str:
        """The status with what is to be known of it: `flaky` passed at last, `quarantined` failed and did not count."""
        if self.is_flaky:
            return "flaky"
        return "quarantined" if self.is_quarantined else self.status

    @property
    def told(self) -> tuple[Word, str]:
        """Status and message for those who know no quarantine: a failure that does not count is told as skipped."""
        if self.is_quarantined:
            return "skipped", f"in quarantine; failed: {self.message}"
        return cast(Word, str(self.status)), self.message


class Quarantine(models.Model):
    """A case whose failure does not count for a while. It is run and shown all the same."""

    environment = models.ForeignKey(Environment, on_delete=models.CASCADE, related_name="+")
    layer = models.CharField(max_length=2)
    source = models.CharField(max_length=300)
    title = models.CharField(max_length=500)
    key = models.CharField(max_length=32)
    until = models.DateTimeField()  # from then on it counts again, by itself
    reason = models.TextField()
    created_by = models.CharField(max_length=200)  # as text: the row outlives the account
    created_at = models.DateTimeField(default=clock.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["environment", "key"], name="quarantine_once")]

    def __str__(self) -> str:
        return f"{self.title} until {self.until:%d %b %Y}"
