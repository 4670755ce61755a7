"""Where flows run. `dev` is there from the first migration on."""

from pathlib import Path

from django.conf import settings
from django.db import models

from apps.common import clock
from apps.common.errors import FlowControlError


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
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["position", "slug"]

    def __str__(self) -> str:
        return self.name

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
