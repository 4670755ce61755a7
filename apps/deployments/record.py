"""Rows of stages of builds and deployments: made with their job, and made true once more when it ends."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from apps.deployments.models import Build, BuildStage, Deployment, DeploymentStage
from apps.environments import record
from apps.environments.stages.model import Stage


def open_stages(job: Build | Deployment, stages: Iterable[Stage]) -> None:
    """Make the rows of a new job, in the transaction that makes it."""
    model: Any = BuildStage if isinstance(job, Build) else DeploymentStage
    model.objects.bulk_create(
        model(job=job, name=stage.name, title=stage.title, position=position) for position, stage in enumerate(stages)
    )


close = record.close
