"""Asking the engine now: what of an environment's stack is there, and what it said last. Needs the engine's socket."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.conf import settings

from apps.accounts import policy
from apps.common.errors import FlowControlError
from apps.environments.containers import commands, explain, found, running
from apps.environments.containers.found import Found
from apps.environments.models import Environment
from apps.environments.stages import stack
from apps.environments.stages.stand import passed_on

ANSWER_SECONDS = 60.0


class ServiceUnknown(FlowControlError):  # noqa: N818  it is what the person reads
    """There is no such service."""

    code = "service_unknown"


def services(environment: Environment) -> tuple[Found, ...]:
    """The containers of its stack as the engine has them now. Raises EngineAway."""
    with found.engine(environment.engine_url, certificates=environment.engine_certificates) as engine:
        return found.services(engine, environment.project_name)


def logs(*, by: Any, environment: Environment, services: Sequence[str], lines: int) -> str:
    """The last lines of the containers, of all services where none is named; secrets masked.

    Raises Denied, EngineAway, ServiceUnknown.
    """
    policy.check(by, "environments.logs", environment.slug)
    mask = stack.masker(environment)
    there = _there(environment)
    unknown = sorted(set(services) - {each.service for each in there})
    if unknown:
        names = ", ".join(sorted({each.service for each in there})) or "nothing"
        raise ServiceUnknown(
            f"{environment.slug} has no container of {', '.join(unknown)}.", hint=f"There is: {names}."
        )
    chosen = [each for each in there if not services or each.service in services]
    return "".join(f"{each.service} | {mask(line)}\n" for each in chosen for line in _said(environment, each, lines))


def _there(environment: Environment) -> tuple[Found, ...]:
    return services(environment)


def _said(environment: Environment, container: Found, lines: int) -> list[str]:
    """What it has written on the first of its streams, then on the second: the order among them is not kept."""
    heard: list[str] = []
    try:
        said = running.run(
            commands.last_lines(container.name, lines),
            environment={**passed_on(), **stack.engine_variables(environment)},
            folder=Path(settings.BASE_DIR),
            timeout=ANSWER_SECONDS,
            hear=heard.append,
        )
    except running.CommandFailed as failure:
        hint = explain.hint(failure.lines) or failure.hint
        raise FlowControlError(failure.message, hint=hint) from failure
    return said.splitlines() + heard
