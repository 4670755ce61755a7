"""What a release is made of, and its digest."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db import IntegrityError, transaction

from apps.audit.actions import record
from apps.audit.actors import actor_of
from apps.common.files import sha256
from apps.deployments.models import Release
from apps.environments.models import Environment

VERSION = 1


def canonical(document: Any) -> str:
    """The one way in which a document is written to be hashed: sorted keys, no space, UTF-8."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def manifest_of(
    description: Mapping[str, Any],
    services: Iterable[Mapping[str, str]],
    flows: Iterable[Mapping[str, Any]],
    configuration: Sequence[str],
) -> dict[str, Any]:
    """The manifest. `services`: {"name", "image", "id", "digest"}; `flows`: {"name", "version", "sha256"};
    `configuration`: the names of the variables that the description reads."""
    return {
        "version": VERSION,
        "description": sha256(canonical(description)),
        "services": sorted((dict(each) for each in services), key=lambda each: each["name"]),
        "flows": sorted((dict(each) for each in flows), key=lambda each: each["name"]),
        "configuration": sorted(configuration),
    }


def keep(
    *,
    by: Any,
    origin: Environment,
    manifest: Mapping[str, Any],
    description: Mapping[str, Any],
    revision: str = "",
    note: str = "",
) -> tuple[Release, bool]:
    """Keep a release, audited. The same content is the one there is: (release, whether it is new). Made by two at once it
    is made once."""
    digest = sha256(canonical(manifest))
    if known := Release.objects.filter(digest=digest).first():
        return known, False
    try:
        with transaction.atomic():
            release: Release = Release.objects.create(
                name=_next_name(),
                digest=digest,
                origin=origin,
                manifest=dict(manifest),
                description=dict(description),
                revision=revision,
                note=note,
                created_by=actor_of(by).name,
            )
            detail = {"digest": digest, "revision": revision, "services": len(manifest["services"])}
            record("release.create", by=by, target=f"release:{release.name}", environment=origin.slug, detail=detail)
    except IntegrityError:  # another was first, with this one or with its name
        return keep(by=by, origin=origin, manifest=manifest, description=description, revision=revision, note=note)
    return release, True


def _next_name() -> str:
    last = Release.objects.order_by("-id").values_list("name", flat=True).first()
    return f"r{int(last[1:]) + 1 if last else 1}"
