"""The bridge's database in the admin: what is in it, and in words what is wrong with it. Never an error page, never a
change to the file."""

import os
import sqlite3
import threading
from contextlib import closing

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connections
from django.urls import reverse

from apps.accounts.models import Role, RoleGrant, User
from apps.bridge import schema
from apps.bridge.models import BridgeCase, BridgeSession, BridgeTransition, Router
from apps.bridge.protocol import Bridge
from apps.bridge.records import CaseRecord
from apps.portal import admin as pages

LISTS = [reverse(f"admin:bridge_bridge{name}_changelist") for name in ("session", "transition", "case")]
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def operator(client):
    user = User.objects.create_user("olga", password="correct horse")
    RoleGrant.objects.create(user=user, role=Role.OPERATOR)
    client.force_login(user, backend="apps.accounts.backends.PolicyBackend")
    return user


@pytest.fixture
def file(bridge_data):
    bridge = Bridge(bridge_data, "dev", actor="ada")
    bridge.init()
    bridge.begin_layer("L1")
    bridge.record(CaseRecord("the disk has room", "failed", message="it is full"))
    return bridge_data / "test_state.db"


def said(client, path, status):
    answer = client.get(path)
    assert answer.status_code == status
    return answer.content.decode()


def whole(path):
    return path.read_bytes(), path.stat().st_mtime_ns, sorted(each.name for each in path.parent.iterdir())


def test_it_shows_sessions_transitions_and_cases(client, file):
    before = whole(file)
    sessions, transitions, cases = (said(client, each, 200) for each in LISTS)
    assert "shell_running" in sessions
    assert "shell:ada" in transitions
    assert "initialised" in transitions
    assert "the disk has room" in cases
    assert whole(file) == before


def test_each_row_has_a_page_of_its_own(client, file):
    for model in (BridgeSession, BridgeTransition, BridgeCase):
        row = model.objects.first()
        said(client, reverse(f"admin:bridge_{model._meta.model_name}_change", args=[row.pk]), 200)
    assert "it is full" in said(
        client, reverse("admin:bridge_bridgecase_change", args=[BridgeCase.objects.get().pk]), 200
    )


def test_filters_and_search_work(client, file):
    session = BridgeSession.objects.get().id
    assert session not in said(client, LISTS[0] + "?state=completed", 200)
    assert session in said(client, LISTS[0] + "?state=shell_running", 200)
    assert "the disk has room" in said(client, LISTS[2] + "?q=disk", 200)


@pytest.mark.parametrize("path", LISTS)
def test_where_there_is_none_it_says_so_and_makes_none(client, bridge_data, path):
    assert "No test run has used the bridge here yet." in said(client, path, 200)
    assert list(bridge_data.iterdir()) == []


@pytest.mark.parametrize("path", LISTS)
def test_a_file_that_is_held_is_told(client, file, path, monkeypatch):
    monkeypatch.setattr(pages, "PATIENCE_SECONDS", 0.1)
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        text = said(client, path, 503)
    assert "Another process has held the bridge for too long." in text
    assert "manage.py bridge repair --env dev" in text


@pytest.mark.parametrize("content", [b"no database at all" * 500, b"SQLite format 3\0" + os.urandom(8192)])
def test_a_damaged_file_is_told(client, file, content):
    file.write_bytes(content)
    for path in LISTS:
        assert "manage.py bridge repair" in said(client, path, 503)


def test_damage_in_the_middle_is_told(client, file):
    """The head of the file is right, so that it is only found while rows are read."""
    with file.open("r+b") as handle:
        handle.seek(4096)
        handle.write(b"\xff" * (file.stat().st_size - 4096))
    answers = [client.get(path) for path in LISTS]
    assert {each.status_code for each in answers} <= {200, 503}
    assert 503 in {each.status_code for each in answers}


def test_a_newer_one_is_told(client, file):
    with closing(sqlite3.connect(file)) as other:
        other.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    assert "test_state.db is of version" in said(client, LISTS[0], 503)


def test_a_table_that_somebody_took_away_is_told(client, file):
    with closing(sqlite3.connect(file)) as other:
        other.execute("DROP TABLE cases")
    assert "damaged" in said(client, LISTS[2], 503)


def test_a_file_put_in_its_place_is_read_at_once(client, file):
    said(client, LISTS[0], 200)
    file.unlink()
    assert "No test run has used the bridge" in said(client, LISTS[0], 200)


def test_who_may_not_look_is_told_nothing(client, bridge_data, operator):
    RoleGrant.objects.update(role=Role.VIEWER)
    assert client.get(LISTS[0]).status_code == 403


def test_nothing_can_be_written_through_it(file):
    row = BridgeSession.objects.get()
    before = whole(file)
    with pytest.raises(DatabaseError):
        BridgeSession.objects.filter(pk=row.pk).update(state="completed")
    with pytest.raises(DatabaseError):
        row.delete()
    assert whole(file) == before


def test_migrations_do_not_touch_it(file, bridge_data):
    before = whole(file)
    call_command("migrate", verbosity=0)
    assert whole(file) == before
    assert Router().allow_migrate("bridge", "runs") is False
    assert Router().allow_migrate("default", "bridge") is False
    assert Router().allow_migrate("default", "runs") is None


def test_the_models_are_as_the_schema_has_them(file):
    """Each column is read, so that one that the schema calls otherwise is found here."""
    for model in (BridgeSession, BridgeTransition, BridgeCase):
        assert model.objects.using("bridge").count() == len(list(model.objects.all())) > 0


def test_a_reader_does_not_keep_the_bridge_from_writing(client, file, bridge_data):
    """The connection is closed with each page: nothing is left that holds the file."""
    said(client, LISTS[0], 200)
    done = threading.Event()

    def write():
        Bridge(bridge_data, "dev", patience_seconds=0.2).record(CaseRecord("another", "passed"))
        done.set()

    threading.Thread(target=write).start()
    assert done.wait(5)
    assert connections["bridge"].connection is None
