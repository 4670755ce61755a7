"""Where flows run, the stack of containers that serves each of them, and what brought that stack up or down.

`dev` is there from the first migration on.
"""

from pathlib import Path

from django.conf import settings
from django.db import models
from django.db.models import Q

from apps.common import clock
from apps.common.errors import FlowControlError
from apps.jobs.models import Job


class WorkspaceUnavailable(FlowControlError):  # noqa: N818  it is what the person reads
    """The environment's folder cannot be used."""

    code = "workspace_unavailable"


class Environment(models.Model):
    """dev, staging, production: each has a workspace that its flows may read and write, and a queue of its own."""

    # Its name in addresses, queues, rights and on disk. It never changes.
    slug = models.SlugField(max_length=50, unique=True)
    name = models.CharField(max_length=100)  # as people call it
    position = models.PositiveSmallIntegerField(default=0)  # the order of promotion: dev first
    colour = models.CharField(max_length=20, blank=True, default="")  # of its badge, as CSS writes it; "" for the usual
    # Where what it runs comes from: releases move from there to here. Null for the first.
    after = models.ForeignKey("self", on_delete=models.PROTECT, null=True, blank=True, related_name="followers")
    # The Docker Engine: "" for the one of this machine, else ssh://user@host or tcp://host:2376 (with TLS).
    engine_url = models.CharField(max_length=300, blank=True, default="")
    # The folder of ca.pem, cert.pem and key.pem, for an engine over TLS.
    engine_certificates = models.CharField(max_length=500, blank=True, default="")
    # The compose file it deploys; "" for Flow Control's own stack.
    compose_file = models.CharField(max_length=500, blank=True, default="")
    # The name of its compose project, by which its containers are known on the engine; "" for flow-control-<slug>.
    project = models.CharField(max_length=60, blank=True, default="")
    # How a release comes into it: how long a new one is watched before the old one goes, and whether a second person has
    # to agree first.
    watch_seconds = models.PositiveIntegerField(default=30)
    needs_approval = models.BooleanField(default=False)
    # Since when every service was seen well at each look; null while one is not, or nobody looks.
    well_since = models.DateTimeField(null=True, blank=True, editable=False)
    # When whoever has its socket last got an answer from the engine, and what was wrong since; "" while it answers.
    engine_seen_at = models.DateTimeField(null=True, blank=True, editable=False)
    engine_error = models.CharField(max_length=300, blank=True, default="", editable=False)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["position", "slug"]

    def __str__(self) -> str:
        return self.name

    @property
    def project_name(self) -> str:
        """The name of its compose project, whether it was given one or not: that of the stack in which this portal runs
        where it is its own environment."""
        own: str = settings.STACK if self.slug == settings.ENVIRONMENT else ""
        return self.project or own or f"flow-control-{self.slug}"

    @property
    def runs_ourselves(self) -> bool:
        """Whether its stack is Flow Control's own."""
        return not self.compose_file

    @property
    def queue(self) -> str:
        """The queue from which its workers take runs."""
        return f"flows.{self.slug}"

    @property
    def workspace(self) -> Path:
        """The only folder that its flows may read and write, made if it is not there.

        Raises WorkspaceUnavailable where it cannot be made.
        """
        folder: Path = settings.WORKSPACES / self.slug
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WorkspaceUnavailable(
                f"The workspace of {self.slug} cannot be made in the portal's data folder: {error.strerror}.",
                hint="Make room there, or let the portal's account write to it; then try again.",
            ) from error
        return folder


class StackJob(Job):
    """One change of an environment's stack as a whole. `succeeded` means that each stage did, `failed` that one did not."""

    class Action(models.TextChoices):
        UP = "up"  # start it, or bring what runs to what the files say
        DOWN = "down"  # stop and remove it; its volumes stay

    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="stack_jobs")
    action = models.CharField(max_length=4, choices=Action.choices)
    # Where it was done, "host:number", for a change that a stack's own portal was told of afterwards; "" for its own.
    origin = models.CharField(max_length=200, blank=True, default="")
    # Variables that differ from the stack's settings file in this change alone: {"APP_PORT": "8090"}. No secrets.
    settings = models.JSONField(default=dict)

    class Meta(Job.Meta):
        indexes = [
            *Job.Meta.indexes,
            models.Index(fields=["environment", "-id"], name="stackjob_of_environment"),
        ]
        constraints = [
            *Job.Meta.constraints,
            models.UniqueConstraint(
                fields=["environment"], condition=Q(state__in=["queued", "running"]), name="stackjob_one_at_a_time"
            ),
            models.UniqueConstraint(fields=["origin"], condition=~Q(origin=""), name="stackjob_told_once"),
        ]

    def __str__(self) -> str:
        return f"{self.action} of {self.environment.slug}"


class StageRow(models.Model):
    """How far one stage of a change is. A subclass adds the change it belongs to, as `job`, with `stages` for the way back."""

    class Status(models.TextChoices):
        QUEUED = "queued"  # not begun
        RUNNING = "running"
        SUCCEEDED = "succeeded"
        FAILED = "failed"
        SKIPPED = "skipped"  # switched off, or not reached

    name = models.CharField(max_length=20)  # "health": its name in the registry of stages
    title = models.CharField(max_length=60)
    position = models.PositiveSmallIntegerField()
    status = models.CharField(max_length=9, choices=Status.choices, default=Status.QUEUED)
    progress = models.FloatField(default=0.0)  # 0 to 1, as far as the stage knows
    message = models.TextField(blank=True, default="")  # what was found or done; for a failure, the cause
    hint = models.TextField(blank=True, default="")  # what to do about a failure
    tail = models.TextField(blank=True, default="")  # the last lines of what failed, secrets masked
    refers_to = models.CharField(max_length=100, blank=True, default="")  # "testrun:12": where more is to be seen
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        abstract = True
        ordering = ["position"]
        constraints = [models.UniqueConstraint(fields=["job", "name"], name="%(class)s_once")]

    @property
    def seconds(self) -> float | None:
        """How long it took, or has taken so far; None before it began."""
        if self.started_at is None:
            return None
        return ((self.finished_at or clock.now()) - self.started_at).total_seconds()


class StageResult(StageRow):
    """How far one stage of a stack job is."""

    job = models.ForeignKey(StackJob, on_delete=models.CASCADE, related_name="stages")

    class Meta(StageRow.Meta):
        pass

    def __str__(self) -> str:
        return f"{self.name} of {self.job}"


class Service(models.Model):
    """A container of an environment's stack as it was last seen on the engine, by whoever has the engine's socket."""

    environment = models.ForeignKey(Environment, on_delete=models.CASCADE, related_name="services")
    name = models.CharField(max_length=100)  # of the service in the compose file
    container = models.CharField(max_length=100)  # its name on the engine; one service may have several
    container_id = models.CharField(max_length=64)
    image = models.CharField(max_length=300)
    state = models.CharField(max_length=20)  # as the engine says: running, exited, restarting, paused, created, dead
    health = models.CharField(max_length=20, blank=True, default="")  # healthy, unhealthy, starting; "" without a check
    exit_code = models.IntegerField(null=True, blank=True)  # of one that has ended
    restarts = models.PositiveIntegerField(default=0)
    cpu = models.FloatField(null=True, blank=True)  # cores in use, between the last two looks
    cpu_limit = models.FloatField(null=True, blank=True)  # cores; null for none
    memory_bytes = models.BigIntegerField(null=True, blank=True)
    memory_limit_bytes = models.BigIntegerField(null=True, blank=True)  # null for none
    ports = models.JSONField(default=list)  # published: ["127.0.0.1:8080->8080/tcp"]
    started_at = models.DateTimeField(null=True, blank=True)
    seen_at = models.DateTimeField()

    class Meta:
        ordering = ["name", "container"]
        constraints = [models.UniqueConstraint(fields=["environment", "container"], name="service_once")]

    def __str__(self) -> str:
        return self.container


class Snapshot(models.Model):
    """The state of an environment as it was saved. The folder with its sealed manifest is the truth; this is how it is
    found. A folder without a row gets one when the snapshots are listed, as after a `kill -9` between the two."""

    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="snapshots")
    name = models.CharField(max_length=100, unique=True)  # of its folder: <environment>-<date>-<time>-<random>
    reason = models.CharField(max_length=200, blank=True, default="")  # why it was saved, for people
    release = models.CharField(max_length=50, blank=True, default="")  # that served then, "r4"; "" where nobody said
    deployment = models.BigIntegerField(null=True, blank=True)  # before which it was saved
    bytes = models.BigIntegerField(default=0)  # of all members
    members = models.PositiveIntegerField(default=0)
    seconds = models.FloatField(default=0.0)  # that saving took
    created_at = models.DateTimeField(default=clock.now, db_index=True)
    created_by = models.CharField(max_length=200, default="")
    checked_at = models.DateTimeField(null=True, blank=True)  # when it was verified last
    damage = models.CharField(max_length=300, blank=True, default="")  # what was found then; "" for nothing

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [models.Index(fields=["environment", "-created_at"], name="snapshot_of_environment")]

    def __str__(self) -> str:
        return self.name


# --- variables and secrets: read and changed by apps/environments/variables.py alone ------------


class Variable(models.Model):
    """One variable of the process environment in which an environment's compose project is run."""

    environment = models.ForeignKey(Environment, on_delete=models.CASCADE, related_name="variables")
    name = models.CharField(max_length=100)  # [A-Z][A-Z0-9_]*
    value = models.TextField(blank=True, default="")  # plain text, for all who may see variables
    reference = models.CharField(
        max_length=100, blank=True, default=""
    )  # or a secret's name: then the value is that one's
    changed_at = models.DateTimeField(default=clock.now)
    changed_by = models.CharField(max_length=200, default="")

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["environment", "name"], name="variable_once_in_an_environment"),
            models.CheckConstraint(condition=Q(value="") | Q(reference=""), name="variable_is_a_value_or_a_reference"),
        ]

    def __str__(self) -> str:
        return f"{self.environment.slug}/{self.name}"


class Secret(models.Model):
    """A value that can be set and used, and never be read: encrypted here, with keys that are elsewhere (`keys`)."""

    environment = models.ForeignKey(Environment, on_delete=models.CASCADE, related_name="secrets")
    name = models.CharField(max_length=100)  # [A-Z][A-Z0-9_]*
    ciphertext = models.BinaryField(editable=False)  # bound to environment, name and version, see `sealing`
    key_id = models.CharField(max_length=16, db_index=True)  # of the key that opens it
    version = models.PositiveIntegerField(default=1)  # how often it was set
    length = models.PositiveIntegerField(default=0)  # characters
    fingerprint = models.CharField(max_length=16, default="")  # keyed: says whether it changed, and nothing else
    changed_at = models.DateTimeField(default=clock.now)
    changed_by = models.CharField(max_length=200, default="")

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["environment", "name"], name="secret_once_in_an_environment")]

    def __str__(self) -> str:
        return f"{self.environment.slug}/{self.name}"


class SecretGeneration(models.Model):
    """One row. Its number is another one after each change of any secret: processes see by it that theirs are old.

    Whoever changes a variable, a secret or the keys locks it first, so that such changes come one after the other.
    """

    id = models.SmallIntegerField(primary_key=True, default=1)
    number = models.BigIntegerField(default=0)  # random: two histories never share one

    def __str__(self) -> str:
        return f"generation {self.number}"
