"""What the stages of a deployment stand on: the release's own files, in forward or in backward direction."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from apps.deployments import describing
from apps.deployments.models import Deployment, Release
from apps.environments.containers import routing
from apps.environments.stages import containers, deploy, stack
from apps.environments.stages.deploy import Routed
from apps.environments.stages.model import Stopped
from apps.environments.stages.stand import Stand
from apps.jobs.leases import Lease

LOOK_SECONDS = 0.2


class DeploymentStand(Stand):
    """A stack as a release describes it. `release` None is the stack as its own files say: before the first release."""

    def __init__(self, job: Deployment, lease: Lease, release: Release | None) -> None:
        self.deployment, self.release, self.fence = job, release, lease.fence
        self._config: dict[str, Any] | None = None
        super().__init__(job, lease)

    def describe(self) -> tuple[tuple[Path, ...], Path | None]:
        environment = self.deployment.environment
        if self.release is None:
            return (stack.compose_file(environment),), None
        return describing.write(environment, self.release, self.deployment.pk, self.fence)

    @property
    def config(self) -> dict[str, Any]:
        """The description with its variables filled in; asked once an attempt. Raises StageFailed."""
        if self._config is None:
            self._config = containers.described(self)
        return self._config

    @property
    def routes(self) -> routing.Routes:
        return routing.routes_of(self.config)

    def there(self) -> list[Routed]:
        """The containers of all services, as they are now."""
        return deploy.routed(self, self.config, self.config["services"])

    def changed(self) -> set[str]:
        """The services that do not run as the release describes them. One that has done its work as described is none."""
        there = self.there()
        done = {each.service for each in there if each.is_current and (each.state, each.exit_code) == ("exited", 0)}
        return set(self.config["services"]) - deploy.settled(self.config, there) - done


class BackwardStand(DeploymentStand):
    """For what has to be brought to its end whether or not somebody asks to cancel."""

    def check(self) -> None:
        if self.lease.lost:
            raise Stopped

    def wait(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while (rest := deadline - time.monotonic()) > 0:
            self.check()
            time.sleep(min(rest, LOOK_SECONDS))
