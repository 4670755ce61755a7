"""Which stages there are, and in what order they come for which stack."""

from __future__ import annotations

from collections.abc import Sequence

from apps.environments.models import Environment, StackJob
from apps.environments.stages.model import Stage

DEV = "dev"
OWN_DEV = ("platform", "bridge", "containers", "health", "tests", "reload")
OWN_BUILT = ("platform", "bridge", "build", "deploy", "health", "monitor")
OTHER = ("platform", "config", "build", "deploy", "health")
DOWN = ("platform", "stop")

_stages: dict[str, Stage] = {}


def register(stage: Stage) -> None:
    """Make a stage known. Registering the same name again replaces it, so that a reload does no harm."""
    _stages[stage.name] = stage


def stage(name: str) -> Stage:
    return _stages[name]


def stages_of(environment: Environment, action: str) -> Sequence[Stage]:
    """The stages of a change, in their order."""
    return [_stages[name] for name in _names(environment, action)]


def _names(environment: Environment, action: str) -> Sequence[str]:
    if action == StackJob.Action.DOWN:
        return DOWN
    if not environment.runs_ourselves:
        return OTHER
    return OWN_DEV if environment.slug == DEV else OWN_BUILT
