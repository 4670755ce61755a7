"""Rows of stages of builds and deployments: made with their job, and made true once more when it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from apps.deployments.models import Build, BuildStage, Deployment, DeploymentStage
from apps.environments import record
from apps.environments.stages.model import Stage
from apps.flows.checked import HOME
from apps.jobs.states import State
from apps.runs.actions import promote


def open_stages(job: Build | Deployment, stages: Iterable[Stage]) -> None:
    """Make the rows of a new job, in the transaction that makes it."""
    model: Any = BuildStage if isinstance(job, Build) else DeploymentStage
    model.objects.bulk_create(
        model(job=job, name=stage.name, title=stage.title, position=position) for position, stage in enumerate(stages)
    )


_endings: dict[str, Callable[[Any], None]] = {}


def when_ended(name: str, tell: Callable[[Any], None]) -> None:
    """Call `tell` with each build and deployment that ends, in the transaction that ends it: rows only, no I/O. Registering
    the same name again replaces it."""
    _endings[name] = tell


def close(job: Build | Deployment) -> None:
    """Make the rows say how the job ended, in the transaction that ends it, and let others write what follows. With a release
    that comes to serve, its versions of flows come to run; where flows are written the current ones do."""
    close_stages(job)
    if isinstance(job, Deployment) and job.state == State.SUCCEEDED and job.environment.slug != HOME:
        versions = {each["name"]: each["sha256"] for each in job.release.manifest["flows"]}
        promote(job.environment, job.release.name, versions)
    for tell in _endings.values():
        tell(job)


close_stages: Callable[[Any], None] = record.close
