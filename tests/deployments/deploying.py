"""A stack of a test's own with releases of it, made and deployed on the real engine through the rooms' own way."""

from pathlib import Path
from typing import Any

from apps.audit.actors import Actor
from apps.deployments import actions, executor
from apps.deployments.models import Build, Deployment, Release
from apps.environments.models import Environment
from tests.environments.bringing import WEB, Stack

ANN, BOB = Actor("ann", "system"), Actor("bob", "system")


class Shop(Stack):
    """An environment `shop` with `web`, which takes traffic on a port, and what else a test adds."""

    def prepare(self, port: int, *, watch_seconds: int = 1, slug: str = "shop", **fields: Any) -> Environment:
        self.port = port
        web = {**WEB, "labels": {"flowcontrol.route": f"{port}:8000"}}
        web["environment"] = {"WORD": "one"}
        self.services.setdefault("web", web)
        self.write()
        self.slug = slug
        return Environment.objects.create(
            slug=slug,
            name=slug.title(),
            compose_file=str(self.file),
            project=self.project,
            watch_seconds=watch_seconds,
            **fields,
        )

    @property
    def environment(self) -> Environment:
        return Environment.objects.get(slug=self.slug)

    def say(self, word: str, **more: Any) -> Release:
        """A release whose `web` says this word."""
        self.services["web"] = {**self.services["web"], "environment": {"WORD": word}, **more}
        return self.release()

    def release(self) -> Release:
        self.write()
        job = actions.build_release(by=ANN, environment=self.environment)
        done = executor.execute_build(job.pk)
        assert isinstance(done, Build)
        assert done.state == "succeeded", (done.message, [row.tail for row in done.stages.all()])
        assert done.release is not None
        return done.release

    def deploy(self, release: Release) -> Deployment:
        return self.perform(actions.start(by=ANN, environment=self.environment, release=release))

    def rollback(self, to: Release | None = None) -> Deployment:
        return self.perform(actions.rollback(by=ANN, environment=self.environment, to=to))

    def perform(self, job: Deployment) -> Deployment:
        done = executor.execute_deployment(job.pk)
        assert done is not None
        return done


def told(job: Deployment) -> list[tuple[str, ...]]:
    return [(row.name, row.status, f"{row.seconds or 0:.2f} s", row.message) for row in job.stages.all()]


def make(folder: Path) -> Shop:
    return Shop(folder / "compose.yaml")
