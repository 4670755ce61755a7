"""Small compose projects for tests against the real engine: made with a name of their own, and taken down at the end."""

import functools
import json
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from apps.environments.containers import found

SECONDS = 120


@functools.cache
def away() -> str:
    """Why there is no engine here; "" where one answers."""
    try:
        with found.engine():
            return ""
    except found.EngineAway as error:
        return error.message


def needs_engine() -> None:
    if away():
        pytest.skip(away())


def docker(*arguments: str, check: bool = True) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=SECONDS, check=False)
    assert not check or done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr or done.stdout}"
    return done.stdout.strip()


def compose(project: str, file: Path, *arguments: str, check: bool = True) -> str:
    return docker("compose", "--project-name", project, "--file", str(file), *arguments, check=check)


@contextmanager
def up(folder: Path, services: dict[str, Any], **more: Any) -> Iterator[str]:
    """A project that is up, healthy where it has health checks; taken down with its volumes, whatever happens."""
    needs_engine()
    project, file = f"cases-{uuid.uuid4().hex[:10]}", folder / "compose.json"
    file.write_text(json.dumps({"services": services, **more}))
    try:
        compose(project, file, "up", "--detach", "--wait", "--pull", "never")
        yield project
    finally:
        compose(project, file, "down", "--volumes", "--timeout", "1", "--remove-orphans", check=False)


SLEEPER: dict[str, Any] = {"image": "busybox:1", "command": ["sleep", "600"], "init": True}
