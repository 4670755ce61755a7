"""The stack that the cases of staging look at, as the engine has it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import docker
import docker.errors
from django.db import connection

from apps.environments.containers import found
from apps.environments.containers.found import Found
from apps.environments.models import Environment
from apps.testruns.cases.checks import Skip
from apps.testruns.cases.model import Place

STAGING = ("staging",)
SERVICES = ("app", "webhook", "worker", "controller", "beat", "redis", "postgres", "proxy")
PUBLISHED = ("8080/tcp", "9001/tcp")  # by the proxy: the portal, and the webhook service


@dataclass(frozen=True, slots=True)
class Stack:
    client: docker.DockerClient
    project: str
    containers: tuple[Found, ...]

    def of(self, service: str) -> tuple[Found, ...]:
        """Its containers, also those that have ended: one of the release before is kept for a rollback."""
        return tuple(each for each in self.containers if each.service == service)

    def one(self, service: str) -> Found:
        """One that runs. Raises AssertionError where there is none."""
        running = [each for each in self.of(service) if each.state == "running"]
        assert running, f"no container of {service} runs in {self.project}: docker compose -p {self.project} ps"
        return running[0]

    @property
    def running(self) -> tuple[Found, ...]:
        return tuple(each for each in self.containers if each.state == "running")


@contextmanager
def stack(place: Place) -> Iterator[Stack]:
    """The environment's stack. Raises Skip where no engine answers or nothing of it was ever started, AssertionError for
    what the engine refuses."""
    try:
        environment = Environment.objects.get(slug=place.environment)
    finally:
        connection.close()
    try:
        with found.engine(environment.engine_url, environment.engine_certificates) as client:
            own = found.own_container(client)
            project = (own.labels.get(found.PROJECT_LABEL) if own else "") or environment.project_name
            containers = found.services(client, project)
            if not containers:
                raise Skip(f"the stack {project} was not started here: make staging")
            yield Stack(client, project, containers)
    except found.EngineAway as away:
        raise Skip(f"{away.message} {away.hint}") from away
    except docker.errors.DockerException as error:
        raise AssertionError(f"the engine refuses: {error}") from error
