"""What the stages of a deployment stand on: the release's own files, in forward or in backward direction."""

from __future__ import annotations

import time
from collections.abc import Mapping
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

    is_forward = True

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

    is_forward = False

    @property
    def config(self) -> dict[str, Any]:
        """The description of the release before. A container that this deployment did not make counts as described, also
        where a variable has another value since: that value may be what is wrong."""
        if self._config is None:
            config = super().config
            if self.deployment.previous is not None and self.release == self.deployment.previous:
                for name, mark in self._marks_of_before(config).items():
                    config["services"][name]["labels"][routing.MADE_FROM_LABEL] = mark
        assert self._config is not None
        return self._config

    def _marks_of_before(self, config: Mapping[str, Any]) -> dict[str, str]:
        """Service → the mark of its container of before, where none there is as described."""
        found = {}
        everything = deploy.with_kept(self, config, config["services"])
        for name, service in config["services"].items():
            before = [each for each in everything if each.service == name and self._is_of_before(each)]
            if before and routing.MADE_FROM_LABEL in (service.get("labels") or {}):
                found[name] = max(before, key=self._nearness).made_from
                if any(each.is_current for each in before):
                    del found[name]
        return found

    def _is_of_before(self, each: Routed) -> bool:
        is_there = each.state == "running" or self._is_kept(each)
        return is_there and each.has_image and bool(each.made_from) and each.deployment != str(self.deployment.pk)

    def _is_kept(self, each: Routed) -> bool:
        return each.name == routing.kept_name(self.environment.project_name, each.service)

    def _nearness(self, each: Routed) -> tuple[bool, bool, int]:
        is_named = self.release is not None and each.release == self.release.name
        return is_named, not self._is_kept(each), int(each.deployment or 0)

    def check(self) -> None:
        if self.lease.lost:
            raise Stopped

    def wait(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while (rest := deadline - time.monotonic()) > 0:
            self.check()
            time.sleep(min(rest, LOOK_SECONDS))
