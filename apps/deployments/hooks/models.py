"""Hooks that come in and start deployments, and notices that go out when one has ended."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import Q

from apps.common import clock
from apps.environments.models import Environment, StageRow
from apps.jobs.models import Job


def only_pushes() -> list[str]:
    return ["push"]


def both_ends() -> list[str]:
    return [HookTarget.SUCCESS, HookTarget.FAILURE]


class HookSource(models.Model):
    """A repository whose hooks start a deployment: what comes to /hooks/<name> is believed when it is signed with `secret`.

    A hook only says that there is something new. What is fetched, and from where, stands here alone.
    """

    class Provider(models.TextChoices):
        GITHUB = "github", "GitHub"
        GITLAB = "gitlab", "GitLab"
        GENERIC = "generic", "Standard Webhooks"

    name = models.SlugField(max_length=50, unique=True)  # in its address; it never changes
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="hook_sources")
    provider = models.CharField(max_length=8, choices=Provider.choices)
    repository = models.CharField(
        max_length=500
    )  # https://…, ssh://…, git@host:path, or a path on the worker's machine
    branch = models.CharField(max_length=200, default="main")
    # The compose file in the repository that describes the stack.
    compose_path = models.CharField(max_length=300, default="compose.yaml")
    # Names of secrets of the environment: what hooks are signed with, what they were signed with before (while it is
    # being changed both count), and what opens the repository ("user:token" for https, a private key for ssh).
    secret = models.CharField(max_length=100)
    old_secret = models.CharField(max_length=100, blank=True, default="")
    credential = models.CharField(max_length=100, blank=True, default="")
    events = models.JSONField(default=only_pushes)  # the provider's words for them: ["push"]
    enabled = models.BooleanField(default=True)
    created_by = models.CharField(max_length=200)
    created_at = models.DateTimeField(default=clock.now)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def path(self) -> str:
        """Where its hooks come to, at the webhook service."""
        return f"/hooks/{self.name}"


class Fetch(Job):
    """What a hook starts: the branch is fetched, a release is made of it, and deployed."""

    source = models.ForeignKey(HookSource, on_delete=models.PROTECT, related_name="fetches")
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="fetches")
    settings = models.JSONField(default=dict)  # as a stack job has them
    commit = models.CharField(max_length=64, blank=True, default="")  # of the branch as it was fetched
    build = models.ForeignKey(
        "deployments.Build", on_delete=models.PROTECT, null=True, blank=True, related_name="fetches"
    )
    deployment = models.ForeignKey(
        "deployments.Deployment", on_delete=models.PROTECT, null=True, blank=True, related_name="fetches"
    )
    action = "fetch"

    class Meta(Job.Meta):
        indexes = [*Job.Meta.indexes, models.Index(fields=["source", "-id"], name="fetch_of_source")]

    def __str__(self) -> str:
        return f"fetch {self.pk} of {self.source}"


class FetchStage(StageRow):
    """How far one stage of a fetch is."""

    job = models.ForeignKey(Fetch, on_delete=models.CASCADE, related_name="stages")

    class Meta(StageRow.Meta):
        pass

    def __str__(self) -> str:
        return f"{self.name} of {self.job}"


class Delivery(models.Model):
    """A hook that came in, and what became of it. Of one that was not signed rightly no body is kept."""

    class Verdict(models.TextChoices):
        ACCEPTED = "accepted"  # it started a fetch, or came while one was waiting
        PING = "ping"  # the provider asks whether somebody is there
        IGNORED = "ignored"  # another branch or event than the source is about
        REPEATED = "repeated"  # the same id or body was here before
        MALFORMED = "malformed"  # signed rightly, and no JSON of that provider
        DISABLED = "disabled"  # the source is switched off
        UNSIGNED = "unsigned"  # the signature is missing or wrong
        STALE = "stale"  # signed too long ago, or in the future
        LIMITED = "limited"  # too many; `count` of them within a minute
        UNKNOWN = "unknown"  # no source has that name
        UNREADABLE = "unreadable"  # the secret cannot be read here: ours to mend

    source = models.ForeignKey(HookSource, on_delete=models.CASCADE, null=True, related_name="deliveries")
    received_at = models.DateTimeField(default=clock.now)
    address = models.CharField(max_length=100, blank=True, default="")  # who sent it
    event = models.CharField(max_length=100, blank=True, default="")
    delivery_id = models.CharField(max_length=200, blank=True, default="")  # as the provider counts it
    is_signed = models.BooleanField(default=False)  # its signature was right
    headers = models.JSONField(default=dict)  # those that are no secret
    body = models.TextField(blank=True, default="")  # its beginning
    body_bytes = models.PositiveIntegerField(default=0)
    body_sha256 = models.CharField(max_length=64, blank=True, default="")
    verdict = models.CharField(max_length=10, choices=Verdict.choices)
    status = models.PositiveSmallIntegerField(default=0)  # of our answer
    message = models.CharField(max_length=300, blank=True, default="")
    count = models.PositiveIntegerField(default=1)
    fetch = models.ForeignKey(Fetch, on_delete=models.PROTECT, null=True, related_name="deliveries")
    redelivery_of = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, related_name="redeliveries")
    by = models.CharField(max_length=200, blank=True, default="")  # who redelivered it; "" for what came from outside

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["source", "-id"], name="delivery_of_source"),
            models.Index(fields=["source", "body_sha256"], name="delivery_of_body"),
            models.Index(fields=["source", "delivery_id"], name="delivery_of_id"),
            models.Index(fields=["address", "received_at"], name="delivery_of_address"),
        ]

    def __str__(self) -> str:
        return f"delivery {self.pk}"


class HookTarget(models.Model):
    """Who is told when a deployment of an environment has ended, by Standard Webhooks."""

    SUCCESS, FAILURE, TEST = "on_deploy_success", "on_deploy_failure", "test"

    name = models.SlugField(max_length=50, unique=True)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="hook_targets")
    url = models.CharField(max_length=500)
    # Names of secrets of the environment. Where there are two, both sign, so that the receiver can change over.
    secret = models.CharField(max_length=100)
    old_secret = models.CharField(max_length=100, blank=True, default="")
    events = models.JSONField(default=both_ends)
    is_internal = models.BooleanField(default=False)  # its address may be a private one
    enabled = models.BooleanField(default=True)
    disabled_because = models.CharField(max_length=300, blank=True, default="")  # where it was not a person
    created_by = models.CharField(max_length=200)
    created_at = models.DateTimeField(default=clock.now)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Notice(Job):
    """One message to one target. `succeeded`: it was taken. It is tried again, later each time, under the same id."""

    target = models.ForeignKey(HookTarget, on_delete=models.PROTECT, related_name="notices")
    event = models.CharField(max_length=40)
    message_id = models.CharField(max_length=60)  # the receiver's key to know a repeated one; a redelivery has the same
    body = models.TextField()  # JSON, sent as it stands here
    tries = models.JSONField(default=list)  # [{"at", "seconds", "status", "error", "response"}], the first one first
    redelivery_of = models.ForeignKey(
        "self", on_delete=models.SET_NULL, null=True, blank=True, related_name="redeliveries"
    )

    class Meta(Job.Meta):
        indexes = [*Job.Meta.indexes, models.Index(fields=["target", "-id"], name="notice_of_target")]

    def __str__(self) -> str:
        return f"notice {self.pk} to {self.target}"

    @property
    def last_try(self) -> dict[str, Any] | None:
        return self.tries[-1] if self.tries else None


LIVE = Q(state__in=["queued", "running"])
