"""What every room's tests share."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> Iterator[None]:
    """SQLite in a file of this test run's own: threads and processes meet in it as they do in the portal."""
    with tempfile.TemporaryDirectory(prefix="flowcontrol-tests-") as folder:
        for database in settings.DATABASES.values():
            if database["ENGINE"].endswith("sqlite3"):
                database.setdefault("TEST", {})["NAME"] = str(Path(folder) / "test.sqlite3")
        yield
