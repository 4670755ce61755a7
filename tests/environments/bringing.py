"""Small stacks of others, brought up and down on the real engine through the rooms' own way."""

import json
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from apps.audit.actors import SYSTEM
from apps.environments import actions, executor
from apps.environments.models import Environment, StackJob
from tests.environments.containers.projects import docker

WEB: dict[str, Any] = {
    "image": "busybox:1",
    "init": True,
    "command": ["sh", "-c", "mkdir -p /www; echo $$WORD > /www/index.html; exec httpd -f -p 8000 -h /www"],
    "environment": {"WORD": "one"},
    "healthcheck": {
        "test": ["CMD", "wget", "-q", "-O", "-", "http://127.0.0.1:8000/"],
        "interval": "2s",
        "start_period": "20s",
        "start_interval": "300ms",
        "retries": 2,
    },
}
SLEEPER: dict[str, Any] = {"image": "busybox:1", "command": ["sleep", "600"], "init": True}


@dataclass
class Stack:
    """A compose file of the test's own, as an environment."""

    file: Path
    services: dict[str, Any] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)
    project: str = field(default_factory=lambda: f"stacks-{uuid.uuid4().hex[:10]}")

    def write(self) -> None:
        self.file.write_text(json.dumps({"services": self.services, **self.more}, indent=2))

    def make(self) -> Environment:
        self.write()
        return actions.add_environment(by=SYSTEM, slug="shop", compose_file=str(self.file), project=self.project)

    def change(self, action: str = "up") -> StackJob:
        """Write the file as it is meant now, and do the change here."""
        self.write()
        job = actions.change_stack(by=SYSTEM, environment=Environment.objects.get(slug="shop"), action=action)
        done = executor.execute(job.pk)
        assert done is not None
        return done

    def containers(self) -> dict[str, str]:
        """Name → id of what is there."""
        said = docker(
            *("ps", "--all", "--no-trunc", "--filter", f"label=com.docker.compose.project={self.project}"),
            *("--format", "{{.Names}} {{.ID}}"),
        )
        return dict(line.split() for line in said.splitlines())

    def remove(self) -> None:
        for kind, command in (("container", ["rm", "--force", "--volumes"]), ("network", ["rm"]), ("volume", ["rm"])):
            every = ["--all"] if kind == "container" else []
            listed = docker(
                kind, "ls", *every, "--quiet", "--filter", f"label=com.docker.compose.project={self.project}"
            )
            if names := listed.split():
                docker(kind, *command, *names, check=False)


def stages(job: StackJob) -> dict[str, str]:
    return {row.name: row.status for row in job.stages.all()}


def failed(job: StackJob) -> Any:
    """The stage at which it ended."""
    return job.stages.get(status="failed")
