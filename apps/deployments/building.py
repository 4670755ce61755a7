"""Making a release of an environment's stack as its files say it now: images are built or fetched, everything is pinned."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from apps.audit.actors import Actor
from apps.deployments import describing, releases
from apps.deployments.models import Build
from apps.environments.containers import commands, routing
from apps.environments.stages import containers, stack
from apps.environments.stages.containers import docker
from apps.environments.stages.model import Outcome, Stage, StageFailed
from apps.environments.stages.platform import check_platform
from apps.environments.stages.stand import Stand
from apps.flows.models import Flow
from apps.jobs.leases import Lease

# Of a service: what says how its image is made, or fetched, not what it is.
_NOT_KEPT = ("build", "pull_policy")


class BuildStand(Stand):
    """The stack as its own files describe it, also where a release serves."""

    job: Build
    # What is added for a deployment is no part of a release, and may be another's just now.
    added: tuple[Path, ...] = ()

    def describe(self) -> tuple[tuple[Path, ...], Path | None]:
        return (Path(self.job.file) if self.job.file else stack.compose_file(self.environment),), None

    def __init__(self, job: Any, lease: Lease) -> None:
        super().__init__(job, lease)
        if job.file and job.environment.runs_ourselves:  # what was fetched, not what this process stands in
            self._variables = {**self._variables, "FLOWCONTROL_REVISION": job.revision[:12]}

    @property
    def sources(self) -> str:
        """The commit that the release is made of; "" where it is not known."""
        known = stack.revision() if self.environment.runs_ourselves and not self.job.file else {}
        return self.job.revision or known.get("FLOWCONTROL_REVISION", "")


def read_file(stand: BuildStand) -> Outcome:
    """The file is whole, with this environment's variables."""
    config = containers.configuration(stand)
    try:
        routing.routes_of(config)
    except routing.RouteInvalid as error:
        raise StageFailed(error.message, hint=error.hint) from error
    services = sorted(config["services"])
    return Outcome(f"{len(services)} service{'s'[: len(services) != 1]}: {', '.join(services)}.")


def pin(stand: BuildStand) -> Outcome:
    """Every image is named by its content, and the release is kept. The same content is the release there is."""
    config = containers.configuration(stand)
    description = portable(
        json.loads(docker(stand, containers.compose(stand).description())), stand.environment.project_name
    )
    description["services"] = {
        name: each for name, each in description["services"].items() if name in config["services"]
    }
    services = [_pinned(stand, name, config["services"][name]) for name in sorted(description["services"])]
    for each in services:
        description["services"][each["name"]]["image"] = each["digest"] or each["id"]
    manifest = releases.manifest_of(description, services, _flows(), sorted(describing.variables_in(description)))
    release, is_new = releases.keep(
        by=Actor(stand.job.requested_by),
        origin=stand.environment,
        manifest=manifest,
        description=description,
        revision=stand.sources,
        note=stand.job.note,
    )
    stand.lease.write(release=release)
    if not is_new:
        return Outcome(f"Nothing differs from {release}, made {release.created_at:%Y-%m-%d %H:%M} UTC.")
    images, flows = len(services), len(manifest["flows"])
    return Outcome(f"{release} of {images} image{'s'[: images != 1]} and {flows} flow{'s'[: flows != 1]}.")


def portable(description: dict[str, Any], project: str) -> dict[str, Any]:
    """What compose says of the files, without what belongs to one environment alone: the project's name, the names that
    compose makes from it, and fixed names of containers, of which an engine could have one only."""
    found = {key: each for key, each in description.items() if key != "name"}
    for kind in ("networks", "volumes", "secrets", "configs"):
        for key, each in (found.get(kind) or {}).items():
            if each and each.get("name") == f"{project}_{key}" and not each.get("external"):
                found[kind][key] = {name: value for name, value in each.items() if name != "name"}
    found["services"] = {name: _portable(service) for name, service in found["services"].items()}
    return found


def _portable(service: Mapping[str, Any]) -> dict[str, Any]:
    """A service without what says how its image is made, nor a fixed name: that stays as an alias, since others may call it
    by that."""
    kept = {key: value for key, value in service.items() if key not in _NOT_KEPT}
    if name := kept.pop("container_name", ""):
        kept["networks"] = {
            network: {**(how or {}), "aliases": sorted({*((how or {}).get("aliases") or ()), name})}
            for network, how in (kept.get("networks") or {}).items()
        }
    return kept


def _pinned(stand: Stand, name: str, service: Mapping[str, Any]) -> dict[str, str]:
    image = service.get("image") or f"{stand.environment.project_name}-{name}"
    found = containers.image_on_engine(stand, image)
    if found is None:
        docker(stand, commands.pull(image), timeout=containers.BUILD_SECONDS)
        found = containers.image_on_engine(stand, image)
    if found is None:
        raise StageFailed(f"The image of {name}, {image}, is not there.", hint="See that its name is right.")
    digest = "" if "build" in service else digest_of(image, found.get("RepoDigests") or ())
    return {"name": name, "image": image, "id": found["Id"], "digest": digest}


def digest_of(image: str, known: Iterable[str]) -> str:
    """The digest of an image in the registry that its name means; "" where that has none. The same content may be known
    from others, too, which another engine perhaps does not reach."""
    repository = image.partition("@")[0]
    if ":" in repository.rpartition("/")[2]:
        repository = repository.rpartition(":")[0]
    return next((each for each in sorted(known) if each.partition("@")[0] == repository), "")


def _flows() -> list[dict[str, Any]]:
    """The current version of each flow."""
    rows = Flow.objects.filter(archived_at=None, current__isnull=False).select_related("current").order_by("name")
    return [
        {"name": row.name, "version": row.current.number, "sha256": row.current.sha256} for row in rows if row.current
    ]


PLATFORM = Stage("platform", "Platform check", check_platform)
CONFIG = Stage("config", "Read compose file", read_file, again=True)
BUILD = Stage("build", "Build images", containers.build_images, again=True)
PIN = Stage("pin", "Pin and record", pin)
STAGES = (PLATFORM, CONFIG, BUILD, PIN)
BY_NAME = {each.name: each for each in STAGES}
