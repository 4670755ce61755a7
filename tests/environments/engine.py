"""Whether docker answers, for tests that only ask it to read. Where none does they are skipped; on CI one must be there."""

import functools
import os
import shutil
import subprocess

import pytest


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
