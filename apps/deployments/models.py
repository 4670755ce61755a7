"""Releases, and how they go into environments. A release is never changed: what runs, ran or may come back is one of them."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models
from django.db.models import Q

from apps.common import clock
from apps.deployments.hooks.models import Delivery as Delivery  # Django looks for models here
from apps.deployments.hooks.models import Fetch as Fetch
from apps.deployments.hooks.models import FetchStage as FetchStage
from apps.deployments.hooks.models import HookSource as HookSource
from apps.deployments.hooks.models import HookTarget as HookTarget
from apps.deployments.hooks.models import Notice as Notice
from apps.environments.models import Environment, StageRow
from apps.jobs.models import Job
from apps.jobs.states import State


class NeverChangedError(TypeError):
    """A release is never changed or removed; make another."""


class ReleaseQuerySet(models.QuerySet["Release"]):
    def update(self, **fields: Any) -> int:
        raise NeverChangedError(NeverChangedError.__doc__)

    def delete(self) -> tuple[int, dict[str, int]]:
        raise NeverChangedError(NeverChangedError.__doc__)


class Release(models.Model):
    """What is promoted: images by their content, the description of the stack, versions of flows.

    `manifest` says all of it and `digest` is the SHA-256 of that, so the same content is the same release, made once.
    `docs/reference/release.md` has its format, `releases.manifest_of` writes it.
    """

    name = models.CharField(max_length=40, unique=True)  # r1, r2 …: as people and commands call it
    digest = models.CharField(max_length=64, unique=True)  # SHA-256 of the manifest as `releases.canonical` writes it
    origin = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="releases_made")
    manifest = models.JSONField()
    # The description of the stack that the manifest names by its hash: what compose says of its files, variables in it not
    # yet filled in, images pinned, nothing to build.
    description = models.JSONField()
    revision = models.CharField(max_length=80, blank=True, default="")  # of the sources: a commit; "" where not known
    note = models.CharField(max_length=200, blank=True, default="")
    created_by = models.CharField(max_length=200)
    created_at = models.DateTimeField(default=clock.now)

    objects: ClassVar[models.Manager[Release]] = ReleaseQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise NeverChangedError(NeverChangedError.__doc__)
        super().save(*args, **{**kwargs, "force_insert": True})

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        raise NeverChangedError(NeverChangedError.__doc__)

    @property
    def services(self) -> list[dict[str, str]]:
        """[{"name", "image", "id", "digest"}]: the image as the file calls it, its id on the engine that built it, and
        name@sha256:… where it came from a registry."""
        return list(self.manifest["services"])


class Build(Job):
    """The making of a release: images are built, everything is pinned. `succeeded` names the release."""

    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="builds")
    release = models.ForeignKey(Release, on_delete=models.PROTECT, null=True, blank=True, related_name="builds")
    settings = models.JSONField(default=dict)  # as a stack job has them
    note = models.CharField(max_length=200, blank=True, default="")
    # The compose file of what was fetched for this build, and its commit; "" for the environment's own file.
    file = models.CharField(max_length=1000, blank=True, default="")
    revision = models.CharField(max_length=80, blank=True, default="")
    action = "build"

    class Meta(Job.Meta):
        indexes = [*Job.Meta.indexes, models.Index(fields=["environment", "-id"], name="build_of_environment")]
        constraints = [
            *Job.Meta.constraints,
            models.UniqueConstraint(
                fields=["environment"], condition=Q(state__in=["queued", "running"]), name="build_one_at_a_time"
            ),
        ]

    def __str__(self) -> str:
        return f"build {self.pk}"


class Deployment(Job):
    """A release going into an environment. `succeeded`: it serves. `failed`: the one before still serves, or serves again
    (`outcome` is then `reverted`). `cancelled` before the switch: nothing was changed; after it, reverted as well.

    Not in line (`queued_at` is null) while it waits for approval.
    """

    class Kind(models.TextChoices):
        DEPLOY = "deploy"
        ROLLBACK = "rollback"  # to one that was there before: no gate, and it pins

    class Outcome(models.TextChoices):
        NONE = ""
        REVERTED = "reverted"

    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="deployments")
    release = models.ForeignKey(Release, on_delete=models.PROTECT, related_name="deployments")
    kind = models.CharField(max_length=8, choices=Kind.choices, default=Kind.DEPLOY)
    # What served when this was planned, and what is served again when it turns out bad; null for the first.
    previous = models.ForeignKey(Release, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    plan = models.JSONField(default=dict)  # as `plans.make` wrote it; it is made again before the first effect
    plan_digest = models.CharField(max_length=64, blank=True, default="")
    settings = models.JSONField(default=dict)  # variables that differ in this deployment alone; no secrets
    snapshot = models.CharField(max_length=100, blank=True, default="")  # of the state before; "" for none
    switched_at = models.DateTimeField(null=True, blank=True)  # when traffic first went to the new release
    # Why it is being taken back: written before the first step of that, so that whoever goes on takes it back, too.
    reverting = models.TextField(blank=True, default="")
    outcome = models.CharField(max_length=8, choices=Outcome.choices, blank=True, default=Outcome.NONE)
    watched = models.JSONField(default=dict)  # figures of the watch window: {"seconds", "requests", "errors", …}
    # A rollback pins: nothing else is deployed by itself until somebody says so, or deploys by hand.
    unpinned_at = models.DateTimeField(null=True, blank=True)
    unpinned_by = models.CharField(max_length=200, blank=True, default="")
    action = "deploy"

    class Meta(Job.Meta):
        indexes = [
            *Job.Meta.indexes,
            models.Index(fields=["environment", "-id"], name="deployment_of_environment"),
            models.Index(fields=["environment", "-id"], condition=Q(state="succeeded"), name="deployment_in_force"),
        ]
        constraints = [
            *Job.Meta.constraints,
            models.UniqueConstraint(
                fields=["environment"], condition=Q(state__in=["queued", "running"]), name="deployment_one_at_a_time"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.release} into {self.environment.slug}"

    @property
    def status(self) -> str:
        """The word for it: waiting (for approval), queued, running, lost, succeeded, reverted, failed, cancelled."""
        if self.state == State.QUEUED and self.queued_at is None:
            return "waiting"
        return str(self.outcome or self.display_state)


class BuildStage(StageRow):
    """How far one stage of a build is."""

    job = models.ForeignKey(Build, on_delete=models.CASCADE, related_name="stages")

    class Meta(StageRow.Meta):
        pass

    def __str__(self) -> str:
        return f"{self.name} of {self.job}"


class DeploymentStage(StageRow):
    """How far one stage of a deployment is."""

    job = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="stages")

    class Meta(StageRow.Meta):
        pass

    def __str__(self) -> str:
        return f"{self.name} of {self.job}"


class Approval(models.Model):
    """A second person's word for a deployment. Never the one who asked for it."""

    deployment = models.OneToOneField(Deployment, on_delete=models.CASCADE, related_name="approval")
    by = models.CharField(max_length=200)  # the account, as text: the row outlives it
    at = models.DateTimeField(default=clock.now)
    note = models.CharField(max_length=200, blank=True, default="")

    def __str__(self) -> str:
        return f"{self.deployment} approved by {self.by}"
