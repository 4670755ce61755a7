"""The real Docker Engine, for tests. Where none answers they are skipped; on CI an engine must be there."""

import functools
import os
import shutil
import subprocess

import pytest

from tests.stack.portal import free_port, wait_for

__all__ = ["docker", "engine_trouble", "free_port", "needs_engine", "wait_for"]


@functools.cache
def engine_trouble() -> str:
    """Why no engine can be used, or ''."""
    if not shutil.which("docker"):
        return "there is no docker on the PATH"
    said = subprocess.run(["docker", "version"], capture_output=True, text=True, timeout=30, check=False)
    return said.stderr.strip().splitlines()[-1] if said.returncode else ""


needs_engine = pytest.mark.skipif(
    bool(engine_trouble()) and not os.environ.get("DOCKER_REQUIRED"), reason=f"no Docker Engine: {engine_trouble()}"
)


def docker(*arguments: str, seconds: float = 120) -> str:
    """Run a docker command that must succeed; what it printed."""
    said = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=seconds, check=False)
    assert said.returncode == 0, f"docker {' '.join(arguments)} ended with {said.returncode}: {said.stderr}"
    return said.stdout.strip()
