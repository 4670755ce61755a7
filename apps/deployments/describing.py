"""A release as a file that compose reads: its description, with marks that say what each container was made of."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
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
_VARIABLE = re.compile(r"\$(?:\$|\{?([A-Za-z_][A-Za-z0-9_]*))")


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


# --- what it reads ------------------------------------------------------------------------------------


def variables_in(description: Mapping[str, Any]) -> set[str]:
    """The names of all variables that a description reads."""
    return _filled_in(description).union(*(read_by(description, name) for name in description["services"]))


def read_by(description: Mapping[str, Any], service: str) -> set[str]:
    """The names of the variables that a service reads: filled into its description (`${NAME}`), handed on as they are
    (`environment: [NAME]`), given to it as a secret or a config."""
    mine = description["services"][service]
    return _filled_in(mine) | set(_handed_on(mine.get("environment") or {})) | set(_given_as_files(description, mine))


def _filled_in(part: Any) -> set[str]:
    return {name for name in _VARIABLE.findall(json.dumps(part)) if name}


def _handed_on(environment: Mapping[str, Any] | list[str]) -> Iterator[str]:
    if isinstance(environment, list):
        environment = {
            name: value if found else None for name, found, value in (each.partition("=") for each in environment)
        }
    return (name for name, value in environment.items() if value is None)


def _given_as_files(description: Mapping[str, Any], service: Mapping[str, Any]) -> Iterator[str]:
    for kind in ("secrets", "configs"):
        for each in service.get(kind) or ():
            source = each["source"] if isinstance(each, Mapping) else each
            if name := ((description.get(kind) or {}).get(source) or {}).get("environment"):
                yield name
