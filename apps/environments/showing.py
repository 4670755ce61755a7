"""Environments and stack jobs as commands and programs read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from apps.environments.containers.found import Found
from apps.environments.models import Environment, StackJob
from apps.environments.stages.model import Change


def described(environment: Environment) -> dict[str, Any]:
    """{"name", "title", "after", "project", "compose", "engine", "watch_seconds",
    "needs_approval"}; `compose` is "" for Flow Control's own stack."""
    return {
        "name": environment.slug,
        "title": environment.name,
        "after": environment.after.slug if environment.after else None,
        "project": environment.project_name,
        "compose": environment.compose_file,
        "engine": environment.engine_url,
        "watch_seconds": environment.watch_seconds,
        "needs_approval": environment.needs_approval,
    }


def document(job: StackJob) -> dict[str, Any]:
    """{"version", "environment", "action", "job", "status", "message", "stages"}, from the rows as they are.

    `status` is the state to show: queued, running, lost, succeeded, failed, cancelled; `seconds` is null for a stage that
    has not begun.
    """
    return {
        "version": 1,
        "environment": job.environment.slug,
        "action": job.action,
        "job": job.pk,
        "status": job.display_state,
        "message": job.message,
        "stages": stages(job),
    }


def stages(job: Change) -> list[dict[str, Any]]:
    """[{"name", "title", "status", "seconds", "message", "hint", "tail", "refers_to"}] of any change that is made of stages;
    `seconds` is null before a stage has begun."""
    return [
        {
            "name": row.name,
            "title": row.title,
            "status": row.status,
            "seconds": None if row.seconds is None else round(row.seconds, 3),
            "message": row.message,
            "hint": row.hint,
            "tail": row.tail.splitlines(),
            "refers_to": row.refers_to,
        }
        for row in job.stages.all()
    ]


def is_well(container: Found) -> bool:
    """Running and healthy, or a one-off that has done its work."""
    return container.works or (container.state == "exited" and container.exit_code == 0)


def words(container: Found) -> str:
    """Its state in words: "running, healthy", "exited with status 1"."""
    if container.exit_code is not None:
        return f"{container.state} with status {container.exit_code}"
    said = [container.state, *([container.health] if container.health else [])]
    return ", ".join(said + ([f"restarted {container.restarts} times"] if container.restarts else []))


def services(environment: Environment, found: Sequence[Found]) -> dict[str, Any]:
    """{"version", "environment", "services"}, as the engine has them."""
    return {
        "version": 1,
        "environment": environment.slug,
        "services": [
            {
                "service": each.service,
                "container": each.name,
                "image": each.image,
                "state": each.state,
                "health": each.health,
                "exit_code": each.exit_code,
                "restarts": each.restarts,
                "published": sorted({f"{port.host_ip}:{port.host_port}->{port.container}" for port in each.published}),
            }
            for each in found
        ],
    }
