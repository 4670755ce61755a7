"""The stages of a deployment, in their order. Each can be done again: it asks the engine what is there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from apps.common import clock
from apps.deployments.stages import moving
from apps.deployments.stages.stand import DeploymentStand
from apps.deployments.stages.watching import WATCH, count
from apps.environments.containers import commands
from apps.environments.stages.containers import docker, image_on_engine
from apps.environments.stages.model import Outcome, Stage, StageFailed
from apps.environments.stages.platform import check_platform

PULL_SECONDS = 1800.0
KEEPER = "flow-control.release"  # images that a release names keep a tag of ours, so that no pruning takes them

# Asked before the first effect; raises StageFailed where the plan that was agreed to is no longer what would happen.
_checks: list[Callable[[DeploymentStand], None]] = []
# Saves the state of the environment and returns the snapshot's name and a sentence; none where nothing can.
_savers: list[Callable[[DeploymentStand], tuple[str, str]]] = []


def check_plan(stand: DeploymentStand) -> Outcome:
    """The engine answers, the description is whole with this environment's variables, and what was planned still is what
    would happen. Nothing has been changed before this has passed."""
    found = check_platform(stand)
    for check in _checks:
        check(stand)
    services = sorted(stand.config["services"])
    return Outcome(f"{found.message} {len(services)} services: {', '.join(services)}.")


def save_state(stand: DeploymentStand) -> Outcome:
    """Save the state before a service is changed where its data is. Otherwise nothing touches the data, and copying it
    would only hold up who uses it."""
    if not changes_state(stand.deployment.plan):
        return Outcome("Nothing that keeps state is changed.", skipped=True)
    if not _savers:
        return Outcome("Nothing here saves state; what goes back is code.", skipped=True)
    name, words = _savers[0](stand)
    stand.lease.write(snapshot=name)
    return Outcome(words, refers_to=f"snapshot:{name}")


def changes_state(plan: Mapping[str, Any]) -> bool:
    """Whether a service that keeps state is changed where it stands."""
    return any(each["how"] == "in place" and each["change"] == "changed" for each in plan.get("services", ()))


def have_images(stand: DeploymentStand) -> Outcome:
    """Each image of the release is on the engine, by its content: pulled by its digest where it comes from a registry."""
    assert stand.release is not None
    wanted = sorted({each["digest"] or each["id"] for each in stand.release.services})
    missing = [each for each in wanted if image_on_engine(stand, each) is None]
    for number, image in enumerate(missing):
        stand.progress(number / len(missing), f"pulling {image}")
        if "@" not in image:
            names = ", ".join(each["name"] for each in stand.release.services if each["id"] == image)
            raise StageFailed(
                f"The image of {names} ({image[7:19]}) is not on the engine of {stand.environment.slug}.",
                hint="It was built on another engine, or removed. Push it to a registry and make the release from there.",
            )
        docker(stand, commands.pull(image), timeout=PULL_SECONDS)
    for each in stand.release.services:
        docker(
            stand, commands.tag(each["digest"] or each["id"], f"{KEEPER}/{each['name'].lower()}:{stand.release.name}")
        )
    return Outcome(f"{len(wanted)} images are there{f', {len(missing)} pulled' if missing else ''}.")


def start_beside(stand: DeploymentStand) -> Outcome:
    changed = moving.prepare(stand)
    beside = [name for name in changed if name in stand.routes]
    if not changed:
        return Outcome("Nothing differs from what runs.")
    if not beside:
        return Outcome("What is new is there.")
    return Outcome(f"{', '.join(beside)} {'is' if len(beside) == 1 else 'are'} well beside the old.")


def probe(stand: DeploymentStand) -> Outcome:
    """Each new container that is to take traffic answers, asked from where the proxy stands."""
    told = []
    for service, container in sorted(moving.targets(stand).items()):
        told.append(f"{service} answers {moving.probe(stand, service, container)}")
    if not told:
        return Outcome("No service takes traffic.", skipped=True)
    return Outcome(f"{'; '.join(told)}.")


def switch(stand: DeploymentStand) -> Outcome:
    """Traffic goes to the new release. Written down before it is done: whoever goes on, or takes it back, looks anyway."""
    job = stand.deployment
    if job.switched_at is None:
        job.switched_at = clock.now()
        job.watched = {"base": count(stand)}
        stand.lease.write(switched_at=job.switched_at, watched=job.watched)
    rest = moving.switch(stand)
    said = "Traffic goes to the new release" if stand.routes else "No service takes traffic"
    return Outcome(f"{said}; {', '.join(rest)} changed." if rest else f"{said}.")


def drain(stand: DeploymentStand) -> Outcome:
    """What served before has finished, and is kept, stopped."""
    switched_at = stand.deployment.switched_at
    since = max(0.0, (clock.now() - switched_at).total_seconds()) if switched_at else 0.0
    kept = moving.settle(stand, keep=True, since=since)
    if not kept:
        return Outcome("Nothing is left over.")
    return Outcome(f"{', '.join(kept)} of before {'is' if len(kept) == 1 else 'are'} stopped, and kept for a rollback.")


PLAN = Stage("plan", "Check the plan", check_plan)
SNAPSHOT = Stage("snapshot", "Save the state", save_state)
IMAGES = Stage("images", "Have the images", have_images)
START = Stage("start", "Start beside the old", start_beside, again=True)
PROBE = Stage("probe", "Probe", probe, again=True)
SWITCH = Stage("switch", "Switch traffic", switch, again=True)
DRAIN = Stage("drain", "Let the old finish", drain, again=True)

STAGES = (PLAN, SNAPSHOT, IMAGES, START, PROBE, SWITCH, WATCH, DRAIN)
# From here on something may have been changed: what fails is taken back.
EFFECTS_FROM = START.name
BY_NAME = {each.name: each for each in STAGES}


def add_check(check: Callable[[DeploymentStand], None]) -> None:
    if check not in _checks:
        _checks.append(check)


def save_by(saver: Callable[[DeploymentStand], tuple[str, str]]) -> None:
    _savers[:] = [saver]
