"""Taking a deployment back: the stack as the release before describes it, traffic first."""

from __future__ import annotations

import time

from apps.deployments.stages import moving
from apps.deployments.stages.stand import BackwardStand
from apps.environments.stages import deploy
from apps.environments.stages.model import Outcome, Stage, StageFailed

PATIENCE_SECONDS = 120.0  # for an engine that is away just then
LOOK_SECONDS = 2.0


def take_back(stand: BackwardStand) -> Outcome:
    """Bring the stack to what it was: the containers of before are started where they were stopped, traffic goes to them,
    the others are changed back, and the new ones are removed. Done again it changes nothing. Raises StageFailed."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return _take_back(stand)
        except StageFailed as failure:
            if time.monotonic() > deadline:
                raise
            stand.progress(0.1, f"trying again: {failure.message}")
            stand.wait(LOOK_SECONDS)


def _take_back(stand: BackwardStand) -> Outcome:
    if stand.release is None and not _served_before(stand):
        deploy.remove(stand, [each.name for each in stand.there() if each.service in stand.routes])
        return Outcome("Nothing served before it, so nothing serves now.")
    moving.prepare(stand)
    moving.switch(stand)
    moving.settle(stand, keep=False)
    return Outcome(f"Release {stand.release} serves again." if stand.release else "What was there before serves again.")


def _served_before(stand: BackwardStand) -> bool:
    """Whether containers are there that the new release did not bring."""
    return any(each.is_current for each in stand.there())


TAKE_BACK = Stage("revert", "Take it back", take_back)
