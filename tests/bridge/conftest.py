from pathlib import Path

import pytest

from apps.bridge.protocol import Bridge


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def bridge(data: Path) -> Bridge:
    data.mkdir()
    return Bridge(data, "dev", actor="ada", patience_seconds=2)
