"""Releases and deployments as rows, for tests that need no engine."""

from typing import Any

from apps.audit.actors import SYSTEM
from apps.common import clock, files
from apps.deployments import describing, releases
from apps.deployments.models import Build, Deployment, Release
from apps.environments.models import Environment


def environment(slug: str = "shop", **fields: Any) -> Environment:
    values = {"name": slug.title(), "compose_file": f"/srv/{slug}.yaml", **fields}
    return Environment.objects.get_or_create(slug=slug, defaults=values)[0]


def keep(word: str = "one", origin: Environment | None = None, flows: Any = ()) -> tuple[Release, bool]:
    """A release of one service, `web`, that differs by a word."""
    description = {"services": {"web": {"image": "sha256:" + "0" * 64, "environment": {"WORD": word}}}}
    services = [{"name": "web", "image": "busybox:1", "id": "sha256:" + "0" * 64, "digest": ""}]
    manifest = releases.manifest_of(description, services, flows, [])
    return releases.keep(by=SYSTEM, origin=origin or environment(), manifest=manifest, description=description)


def release(services: dict[str, Any], *, flows: Any = (), origin: Environment | None = None, **more: Any) -> Release:
    """A release of these services, each as compose describes it; an image's id is made of its name. `more` are other
    parts of the description."""
    images = {name: f"sha256:{files.sha256(each.get('image', 'busybox:1'))}" for name, each in services.items()}
    pinned = [
        {"name": name, "image": each.get("image", "busybox:1"), "id": images[name], "digest": ""}
        for name, each in services.items()
    ]
    description = {"services": {name: {**each, "image": images[name]} for name, each in services.items()}, **more}
    named = [{"name": each.flow.name, "version": each.number, "sha256": each.sha256} for each in flows]
    manifest = releases.manifest_of(description, pinned, named, sorted(describing.variables_in(description)))
    return releases.keep(by=SYSTEM, origin=origin or environment(), manifest=manifest, description=description)[0]


def deployment(where: Environment, release: Release, state: str = "succeeded", **fields: Any) -> Deployment:
    """A deployment that has ended, or waits in line."""
    now = clock.now()
    ended = {"finished_at": now, "started_at": now} if state in ("succeeded", "failed", "cancelled") else {}
    values = {"requested_by": "ann", "queue": "docker", "queued_at": now, "state": state, **ended, **fields}
    return Deployment.objects.create(environment=where, release=release, **values)


def build(where: Environment, release: Release | None = None, state: str = "succeeded", **fields: Any) -> Build:
    """The making of a release, ended."""
    now = clock.now()
    ended = {"finished_at": now, "started_at": now} if state in ("succeeded", "failed", "cancelled") else {}
    values = {"requested_by": "ann", "queue": "docker", "queued_at": now, "state": state, **ended, **fields}
    return Build.objects.create(environment=where, release=release, **values)
