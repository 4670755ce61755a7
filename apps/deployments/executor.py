"""Builds and deployments, from their claim to their end."""

from __future__ import annotations

from apps.deployments.models import Build, Deployment


def execute_build(pk: int, *, worker: str = "") -> Build | None:
    raise NotImplementedError


def execute_deployment(pk: int, *, worker: str = "") -> Deployment | None:
    raise NotImplementedError
