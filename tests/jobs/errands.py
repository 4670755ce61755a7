"""A kind of long work for these tests alone: an errand has steps, each done once, and says what became of it.

Its table belongs to an app that is not installed, so no other room's test and no migration sees it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from django.db import connection, models

from apps.jobs import registry
from apps.jobs.models import Job
from apps.jobs.registry import JobKind, Verdict


class Errand(Job):
    effect = models.CharField(max_length=20, default="none")  # what the outside world would say of it
    ended = models.IntegerField(default=0)  # how often the final hook ran

    class Meta(Job.Meta):
        app_label = "jobs_tests"


class Step(models.Model):
    errand_id = models.BigIntegerField()
    name = models.CharField(max_length=20)
    done_by_fence = models.BigIntegerField()
    objects: ClassVar[models.Manager[Step]] = models.Manager()

    class Meta:
        app_label = "jobs_tests"

    def __str__(self) -> str:
        return self.name


def reconcile(errand: Any) -> Verdict:
    if errand.effect == "published":
        return Verdict.finish("succeeded", "Its output was in place.", effect="seen")
    if errand.effect == "unclear":
        raise RuntimeError("the outside world does not answer")
    return Verdict.requeue()


def on_final(errand: Any) -> None:
    Errand.objects.filter(pk=errand.pk).update(ended=models.F("ended") + 1)


KIND = JobKind(
    name="errand",
    model=Errand,
    task="tests.errand",
    queue=lambda errand: "flows.test",
    reconcile=reconcile,
    on_final=on_final,
    view_action="errands.view",
    environment=lambda errand: "dev",
)


def time_of(field: str) -> datetime:
    """A time of the only errand there is, as its row has it."""
    at: datetime | None = Errand.objects.values_list(field, flat=True).get()
    assert at, f"{field} is not set"
    return at


def create_tables() -> None:
    existing = connection.introspection.table_names()
    with connection.schema_editor() as editor:
        for model in (Errand, Step):
            if model._meta.db_table not in existing:
                editor.create_model(model)


def register() -> None:
    registry.register(KIND)
