"""Flows and their versions. A version is never changed: what was run, tested or promoted can always be read again."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models

from apps.common import clock
from apps.jobs.models import Job
from apps.jobs.states import FINAL, State


class Flow(models.Model):
    """A pipeline by its name. The text is in its versions; `current` is the one that runs when nobody names another."""

    name = models.CharField(max_length=100, unique=True)  # as the head of its text says
    description = models.TextField(blank=True, default="")  # of the current version, for lists and search
    current = models.ForeignKey("flows.FlowVersion", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(default=clock.now)
    updated_at = models.DateTimeField(default=clock.now)
    # Set while it is put aside: it is not listed and not run; its versions and runs stay.
    archived_at = models.DateTimeField(null=True, blank=True)
    archived_by = models.CharField(max_length=200, blank=True, default="")

    def __str__(self) -> str:
        return self.name

    @property
    def is_archived(self) -> bool:
        return self.archived_at is not None


class NeverChangedError(TypeError):
    """A version is never changed or removed; save the new text as a new one."""


class VersionQuerySet(models.QuerySet["FlowVersion"]):
    def update(self, **fields: Any) -> int:
        raise NeverChangedError(NeverChangedError.__doc__)

    def delete(self) -> tuple[int, dict[str, int]]:
        raise NeverChangedError(NeverChangedError.__doc__)


class FlowVersion(models.Model):
    """One text of a flow, for ever. The database refuses to change or remove one too (triggers)."""

    flow = models.ForeignKey(Flow, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()  # 1, 2, 3 … of its flow
    sha256 = models.CharField(max_length=64)  # of the text's exact UTF-8 bytes, in hexadecimal
    text = models.TextField()
    # What the head of the text says about how to run it, as `settings_of` writes it: known without parsing.
    settings = models.JSONField(default=dict)
    # The version that was current when this one was saved.
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    note = models.CharField(max_length=200, blank=True, default="")
    created_by = models.CharField(max_length=200)
    created_at = models.DateTimeField(default=clock.now)

    objects: ClassVar[models.Manager[FlowVersion]] = VersionQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["flow", "number"], name="flowversion_number"),
            models.UniqueConstraint(fields=["flow", "sha256"], name="flowversion_text"),
        ]

    def __str__(self) -> str:
        return f"{self.flow} v{self.number}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise NeverChangedError(NeverChangedError.__doc__)
        super().save(*args, **{**kwargs, "force_insert": True})

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        raise NeverChangedError(NeverChangedError.__doc__)


class FlowTestResult(Job):
    """What a version's own tests said. The job succeeds when they were executed, whether or not they passed."""

    version = models.ForeignKey(FlowVersion, on_delete=models.PROTECT, related_name="test_results")
    passed = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    # [{"title", "ok", "message", "seconds"}] in the order of the text.
    cases = models.JSONField(default=list)
    seconds = models.FloatField(null=True, blank=True)  # of all cases together

    class Meta(Job.Meta):
        indexes = [*Job.Meta.indexes, models.Index(fields=["version", "-id"], name="flowtestresult_latest")]

    def __str__(self) -> str:
        return f"tests of {self.version}: {self.outcome}"

    @property
    def total(self) -> int:
        return self.passed + self.failed

    @property
    def is_green(self) -> bool:
        """Executed, and none failed: what a gate asks. A version without tests is green."""
        return self.state == State.SUCCEEDED and self.failed == 0

    @property
    def is_pending(self) -> bool:
        return self.state not in FINAL

    @property
    def outcome(self) -> str:
        """`pending`, `passed`, `failed`, `none` (the flow has no tests) or `error` (they could not be executed)."""
        if self.is_pending:
            return "pending"
        if self.state != State.SUCCEEDED:
            return "error"
        if not self.total:
            return "none"
        return "failed" if self.failed else "passed"
