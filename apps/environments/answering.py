"""Reading the last lines of a service for who asks: the side of whoever has Docker."""

from __future__ import annotations

import time
from typing import Any

import docker.errors

from apps.environments import asking
from apps.environments.containers import found, lines
from apps.environments.containers.found import EngineAway
from apps.environments.models import Environment
from apps.environments.stages import stack

READ_SECONDS = 6.0


def deliver(pk: int, service: str, token: str) -> None:
    """Read the lines and leave them for who asked. The work of whoever has Docker."""
    environment = Environment.objects.get(pk=pk)
    kept: asking.Kept = {"tails": [], "message": "", "hint": ""}
    try:
        kept["tails"] = read(environment, service)
    except EngineAway as error:
        kept |= {"message": error.message, "hint": error.hint}
    except (docker.errors.DockerException, OSError) as error:
        kept |= {"message": f"The engine could not read them: {found.reason(error)}."}
    asking.leave(pk, service, token, kept)


def read(environment: Environment, service: str) -> list[dict[str, Any]]:
    """The last lines of each container of the service, masked. Raises EngineAway, DockerException, OSError."""
    mask, deadline = stack.masker(environment), time.monotonic() + READ_SECONDS
    with found.engine(environment.engine_url, environment.engine_certificates, READ_SECONDS) as client:
        there = [each for each in found.services(client, environment.project_name) if each.service == service]
        most = lines.MOST_BYTES // max(1, len(there))
        tails = [lines.tail_of(client, each.container, each.name, mask, most=most, deadline=deadline) for each in there]
    return [{"container": tail.container, "lines": list(tail.lines), "cut": tail.cut} for tail in tails]
