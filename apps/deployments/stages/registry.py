"""Which stages a deployment has."""

from __future__ import annotations

from collections.abc import Sequence

from apps.deployments.stages import forward
from apps.environments.models import Environment
from apps.environments.stages.model import Stage


def deployment_stages(environment: Environment) -> Sequence[Stage]:
    return forward.STAGES
