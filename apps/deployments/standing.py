"""What serves, as the engine alone tells it: by the marks on the containers, should the rows be lost."""

from __future__ import annotations

from dataclasses import dataclass

from apps.environments.containers import found, routing
from apps.environments.models import Environment


@dataclass(frozen=True, slots=True)
class Serving:
    release: str
    deployment: int
    fence: int


def from_engine(environment: Environment) -> Serving | None:
    """The release of the newest deployment that has a running container; one that did not differ keeps the marks of the
    deployment that made it. None where no container carries marks. Raises EngineAway."""
    with found.engine(environment.engine_url, environment.engine_certificates) as client:
        there = found.services(client, environment.project_name)
    marks = [each.labels for each in there if each.state == "running" and routing.RELEASE_LABEL in each.labels]
    serving = (
        Serving(
            each[routing.RELEASE_LABEL],
            int(each.get(routing.DEPLOYMENT_LABEL, "0")),
            int(each.get(routing.FENCE_LABEL, "0")),
        )
        for each in marks
    )
    return max(serving, key=lambda each: (each.deployment, each.fence), default=None)
