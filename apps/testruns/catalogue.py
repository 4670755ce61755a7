"""Which cases a layer has in an environment: what ships with the project, and what the environment adds."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings

from apps.testruns.cases import executables
from apps.testruns.cases.checks import registry
from apps.testruns.cases.model import Case


def folder_of(environment: str) -> Path:
    """Where an environment adds cases of its own, below a folder for each layer. Flows cannot write there."""
    folder: Path = settings.DATA / "checks" / environment
    return folder


def cases(layer: str, environment: str) -> list[Case]:
    """The cases of a layer: checks first, then the environment's own files by name."""
    own = executables.discover(folder_of(environment), (layer,)).cases
    return [*registry.cases(environment, layer), *own]
