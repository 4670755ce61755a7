"""What every room's tests share."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.core.management.color import no_style
from django.db import DEFAULT_DB_ALIAS, connections
from django.test import SimpleTestCase, TransactionTestCase
from hypothesis import settings as hypothesis

# A busy machine is not a mistake.
hypothesis.register_profile("patient", deadline=None)
hypothesis.load_profile("patient")


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> Iterator[None]:
    """SQLite in a file of this test run's own: threads and processes meet in it as they do in the portal."""
    with tempfile.TemporaryDirectory(prefix="flowcontrol-tests-") as folder:
        # The bridge's database is none of Django's: tests that read one say which.
        settings.DATABASES["bridge"]["NAME"] = f"{(Path(folder) / 'no bridge here').as_uri()}?mode=ro"
        for database in [each for alias, each in settings.DATABASES.items() if alias != "bridge"]:
            if database["ENGINE"].endswith("sqlite3"):
                database.setdefault("TEST", {})["NAME"] = str(Path(folder) / "test.sqlite3")
        yield


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """After a test that commits (`transactional_db`), the tables hold what the migrations put there, and nothing else.

    Django's own emptying is refused by the audit's triggers, and would also take the rows that migrations made.
    """
    with django_db_blocker.unblock():
        migrated = {alias: connections[alias].creation.serialize_db_to_string() for alias in (DEFAULT_DB_ALIAS,)}
    patch = pytest.MonkeyPatch()
    _open_bridge(patch)
    patch.setattr(TransactionTestCase, "_fixture_teardown", lambda case: _restore(case, migrated))
    yield
    patch.undo()


def _open_bridge(patch: pytest.MonkeyPatch) -> None:
    """Every test may look into the bridge's database, which is read-only and none of Django's: no transaction is begun in
    it, and nothing of it is emptied."""
    validate, names = SimpleTestCase._validate_databases.__func__, TransactionTestCase._databases_names.__func__
    patch.setattr(SimpleTestCase, "_validate_databases", classmethod(lambda cls: validate(cls) | {"bridge"}))
    without = classmethod(lambda cls, **which: [each for each in names(cls, **which) if each != "bridge"])
    patch.setattr(TransactionTestCase, "_databases_names", without)


@pytest.fixture
def bridge_data(settings: Any, tmp_path: Path) -> Iterator[Path]:
    """A data folder of the test's own, into whose `test_state.db` Django looks."""
    settings.DATA = tmp_path
    known = connections.settings["bridge"]
    before, known["NAME"] = known["NAME"], f"{(tmp_path / 'test_state.db').as_uri()}?mode=ro"
    connections["bridge"].close()
    yield tmp_path
    connections["bridge"].close()
    known["NAME"] = before


def _restore(case: Any, migrated: dict[str, str]) -> None:
    for alias in case._databases_names(include_mirrors=False):
        connection: Any = connections[alias]
        with _triggers_lifted(connection):
            call_command("flush", verbosity=0, interactive=False, database=alias, inhibit_post_migrate=True)
        connection.creation.deserialize_db_from_string(migrated[alias])
        # The rows came with their keys: a server's sequences have to be moved behind them.
        with connection.cursor() as cursor:
            for statement in connection.ops.sequence_reset_sql(no_style(), apps.get_models()):
                cursor.execute(statement)


@contextmanager
def _triggers_lifted(connection: Any) -> Iterator[None]:
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
            triggers = cursor.fetchall()
            lift, put_back = [f'DROP TRIGGER "{name}"' for name, _ in triggers], [sql for _, sql in triggers]
        else:
            lift, put_back = ["SET session_replication_role = replica"], ["SET session_replication_role = DEFAULT"]
        for statement in lift:
            cursor.execute(statement)
        yield
        for statement in put_back:
            cursor.execute(statement)
