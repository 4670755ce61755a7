"""Taking a deployment back: the stack as the release before describes it, traffic first."""

from __future__ import annotations

import time

from apps.deployments.stages import moving
from apps.deployments.stages.stand import BackwardStand
from apps.environments.containers import routing
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
    if stand.deployment.previous is None:
        return _take_back_the_first(stand)
    try:
        assert stand.config
    except StageFailed as failure:
        return _take_back_traffic(stand, failure)
    moving.prepare(stand)
    moving.switch(stand)
    moving.settle(stand, keep=False)
    return Outcome(f"Release {stand.release} serves again.{_with_values_of_now(stand)}")


def _with_values_of_now(stand: BackwardStand) -> str:
    """What was changed in place is made anew; the values that variables had before are nowhere kept."""
    changed = stand.deployment.plan.get("configuration", {}).get("changed", [])
    mine = str(stand.deployment.pk)
    remade = sorted({each.service for each in stand.there() if each.deployment == mine})
    if not changed or not remade:
        return ""
    return f" {', '.join(remade)} was made anew, and has the values of now: {', '.join(changed)}."


def _take_back_traffic(stand: BackwardStand, failure: StageFailed) -> Outcome:
    """The release before cannot be described any more, a variable is gone: what it made still can take the traffic."""
    by_name = BackwardStand(stand.deployment, stand.lease, stand.deployment.release)
    by_name.tell = stand.tell
    if not by_name.routes:
        raise failure
    outcome = _take_back_the_first(by_name)
    return Outcome(f"{outcome.message} Nothing else of {stand.release} can be made anew: {failure.message}")


def _take_back_the_first(stand: BackwardStand) -> Outcome:
    """Before the first release nobody wrote down what served: the containers that this deployment did not make, if there
    are any, take the traffic again. What takes none was changed in place, and stays so."""
    mine, routes = str(stand.deployment.pk), stand.routes
    everything = deploy.with_kept(stand, stand.config, routes)
    before = {each.service: each for each in everything if each.deployment != mine}
    targets = {}
    for service, each in before.items():
        is_kept = each.name == routing.kept_name(stand.environment.project_name, service)
        targets[service] = moving.revive(stand, service) if is_kept else each.name
    if targets:
        deploy.point(stand, stand.config, {name: routes[name] for name in targets}, targets)
        stand.wait(deploy.DRAIN_SECONDS)
    deploy.remove(stand, [each.name for each in everything if each.deployment == mine])
    if not targets:
        return Outcome("Nothing served before it, so nothing serves now.")
    stays = sorted({each.service for each in stand.there() if each.deployment == mine})
    rest = f" {', '.join(stays)} stayed as the release made it." if stays else ""
    return Outcome(f"What served before serves again.{rest}")


TAKE_BACK = Stage("revert", "Take it back", take_back)
