"""What pages and commands ask about environments. Each costs a fixed number of queries, none grows with history."""

from __future__ import annotations

from collections.abc import Iterable

from apps.environments.apps import DOCKER_QUEUE
from apps.environments.models import Environment, Service, StackJob
from apps.jobs import workers
from apps.jobs.models import Worker


def last_jobs(environments: Iterable[Environment]) -> dict[int, StackJob]:
    """The newest stack job of each environment that has one, by the environment's key: one query an environment."""
    newest = {each.pk: each.stack_jobs.order_by("-pk").first() for each in environments}
    return {pk: job for pk, job in newest.items() if job}


def services(environment: Environment) -> list[Service]:
    """The containers of its stack as they were last seen."""
    return list(environment.services.all())


def docker_workers() -> list[Worker]:
    """Who has the socket of a Docker Engine, and is alive."""
    return workers.alive(DOCKER_QUEUE)
