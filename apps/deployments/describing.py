"""A release as a file that compose reads: its description, with marks that say what each container was made of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.conf import settings

from apps.common.files import write_atomic
from apps.deployments import queries
from apps.deployments.models import Release
from apps.environments.containers import routing
from apps.environments.models import Environment
from apps.environments.stages import stack

Described = tuple[tuple[Path, ...], Path | None]


def write(environment: Environment, release: Release, deployment: int, fence: int) -> Described:
    """Write the file for this environment: the files of the stack, and where its relative paths start. Written again it is
    the same."""
    marks = {
        routing.RELEASE_LABEL: release.name,
        routing.DEPLOYMENT_LABEL: str(deployment),
        routing.FENCE_LABEL: str(fence),
    }
    path = Path(settings.DATA) / "run" / "stacks" / f"{environment.slug}.release.json"
    write_atomic(path, json.dumps(marked(release.description, marks), indent=2))
    return (path,), stack.compose_file(environment).parent


def marked(description: dict[str, Any], marks: dict[str, str]) -> dict[str, Any]:
    services = {
        name: {**service, "labels": {**(service.get("labels") or {}), **marks}}
        for name, service in description["services"].items()
    }
    return {**description, "services": services}


def in_force(environment: Environment) -> Described | None:
    """The release that serves in the environment, so that `environment up` brings that one up; None before the first."""
    found = queries.newest_good(environment)
    return write(environment, found.release, found.pk, found.fence) if found else None
