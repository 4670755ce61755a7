"""Runs of flows, and what is known of each: steps, checks, outputs."""

from __future__ import annotations

import secrets

from django.db import models

from apps.environments.models import Environment
from apps.flows.models import Flow, FlowVersion
from apps.jobs.models import Job


def new_nonce() -> str:
    return secrets.token_hex(4)


class Run(Job):
    """One execution of a version in an environment.

    The columns of `Job` say where it stands; `message` what went wrong and what to do. Rows of steps, checks and outputs
    are of the newest attempt.
    """

    flow = models.ForeignKey(Flow, on_delete=models.PROTECT, related_name="runs")  # always the version's own
    version = models.ForeignKey(FlowVersion, on_delete=models.PROTECT, related_name="runs")
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="runs")
    params = models.JSONField(default=dict)  # name → value as a person wrote it; defaults are left out
    logical_time = models.DateTimeField()  # what `now()` and `today()` say in the flow
    rerun_of = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="reruns")
    # Makes the run's name in its workspace its own for ever, also where a database was begun anew beside old files.
    nonce = models.CharField(max_length=8, default=new_nonce, editable=False)
    # How often it failed and was begun again because the flow says `retries`.
    retried = models.PositiveIntegerField(default=0)
    # What went wrong, for people and programs: {"code", "message", "hint", "line", "column"}; null when nothing did.
    error = models.JSONField(null=True, blank=True)
    # How it ended, in the engine's own words (RunOutcome): the record from which steps, checks and outputs are written.
    outcome = models.JSONField(null=True, blank=True)
    seconds = models.FloatField(null=True, blank=True)  # the engine's time for the attempt that ended it

    class Meta(Job.Meta):
        indexes = [
            *Job.Meta.indexes,
            models.Index(fields=["flow", "-id"], name="run_of_flow"),
            models.Index(fields=["environment", "-id"], name="run_of_environment"),
            models.Index(fields=["state", "-id"], name="run_in_state"),
            models.Index(fields=["finished_at", "state"], name="run_finished"),
            models.Index(fields=["queued_at", "state"], name="run_queued_on"),
        ]

    def __str__(self) -> str:
        return f"run {self.pk}"

    @property
    def key(self) -> str:
        """Its name in the workspace: of the folder for its files, and of what it appends. The same for each attempt."""
        return f"run-{self.pk}-{self.nonce}"


class StepRun(models.Model):
    """A source, step or sink of a run. `state` is queued, running, succeeded, failed, cancelled or skipped."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="steps")
    name = models.CharField(max_length=250)
    kind = models.CharField(max_length=10)  # source, step, sink
    state = models.CharField(max_length=10, default="queued")
    rows = models.BigIntegerField(null=True, blank=True)  # rows out; null where they were not counted
    seconds = models.FloatField(null=True, blank=True)
    position = models.PositiveIntegerField(default=0)  # in the order of the flow

    class Meta:
        ordering = ["position"]
        constraints = [models.UniqueConstraint(fields=["run", "kind", "name"], name="steprun_once")]

    def __str__(self) -> str:
        return f"{self.kind} {self.name} of run {self.run_id}"


class RunCheck(models.Model):
    """What an expectation said in a run."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="checks")
    position = models.PositiveIntegerField(default=0)
    step = models.CharField(max_length=250)
    rule = models.TextField()  # as it is written
    severity = models.CharField(max_length=20)  # fail, warn
    ok = models.BooleanField()
    failed_rows = models.BigIntegerField(default=0)

    class Meta:
        ordering = ["position"]

    def __str__(self) -> str:
        return f"{self.step}: {self.rule}"


class Output(models.Model):
    """What a run that succeeded has published. A later run may have replaced it since."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="outputs")
    position = models.PositiveIntegerField(default=0)
    name = models.CharField(max_length=250)  # the sink's: its step, or `step:2`
    path = models.TextField()  # relative to the workspace
    rows = models.BigIntegerField(default=0)
    bytes = models.BigIntegerField(default=0)

    class Meta:
        ordering = ["position"]
        indexes = [models.Index(fields=["path", "-id"], name="output_path")]

    def __str__(self) -> str:
        return self.path


class Promotion(models.Model):
    """Which version of a flow an environment runs, where a release has brought one; elsewhere the current one runs."""

    environment = models.ForeignKey(Environment, on_delete=models.CASCADE, related_name="promotions")
    flow = models.ForeignKey(Flow, on_delete=models.CASCADE, related_name="promotions")
    version = models.ForeignKey(FlowVersion, on_delete=models.PROTECT, related_name="promotions")
    release = models.CharField(max_length=40)  # the name of the release that brought it

    class Meta:
        constraints = [models.UniqueConstraint(fields=["environment", "flow"], name="promotion_once")]

    def __str__(self) -> str:
        return f"{self.version} in {self.environment.slug}"
