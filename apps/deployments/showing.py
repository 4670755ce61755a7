"""Releases and deployments as commands and programs read them."""

from __future__ import annotations

from typing import Any

from apps.deployments.models import Build, Deployment, Release
from apps.environments.showing import stages


def release(found: Release) -> dict[str, Any]:
    """{"version", "release", "digest", "origin", "revision", "note", "created_by", "created_at", "services", "flows"}."""
    return {
        "version": 1,
        "release": found.name,
        "digest": found.digest,
        "origin": found.origin.slug,
        "revision": found.revision,
        "note": found.note,
        "created_by": found.created_by,
        "created_at": found.created_at.isoformat(),
        "services": found.services,
        "flows": found.manifest["flows"],
    }


def build(job: Build) -> dict[str, Any]:
    """The release that was made, or why there is none: {"version", "build", "status", "message", "stages"}."""
    said: dict[str, Any] = {"build": job.pk, "status": job.display_state, "message": job.message, "stages": stages(job)}
    return {**(release(job.release) if job.release else {"version": 1, "release": None}), **said}


def deployment(job: Deployment) -> dict[str, Any]:
    """{"version", "deployment", "environment", "release", "previous", "kind", "status", "message", "watched", "stages"}."""
    return {
        "version": 1,
        "deployment": job.pk,
        "environment": job.environment.slug,
        "release": job.release.name,
        "previous": job.previous.name if job.previous else None,
        "kind": job.kind,
        "status": job.status,
        "message": job.message,
        "watched": {name: each for name, each in job.watched.items() if name != "base"},
        "stages": stages(job),
    }
