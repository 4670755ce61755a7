"""One event for one change, in its transaction, without secrets, the same on every database."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import DatabaseError, connection, transaction

from apps.accounts.models import Role, User
from apps.audit.actions import AuditUnwritable, record
from apps.audit.actors import SYSTEM, Actor
from apps.audit.models import AuditEvent, AuditHead
from apps.audit.plain import MASK, plain
from apps.audit.verify import verify
from tests.audit.tampering import sql, tamper, written

ADA = Actor("ada")
REST = "at, kind, actor, actor_kind, target, environment, detail, previous, digest"


def test_it_writes_who_did_what_to_what_and_where(db):
    event = record("run.start", by=ADA, target="run:12", environment="dev", detail={"params": {"region": "EU"}})
    kept = AuditEvent.objects.get(seq=event.seq)
    assert (kept.kind, kept.actor, kept.actor_kind, kept.target, kept.environment) == (
        "run.start",
        "ada",
        "user",
        "run:12",
        "dev",
    )
    assert kept.detail == {"params": {"region": "EU"}}
    assert kept.at.tzinfo is not None


@pytest.mark.parametrize(
    ("by", "name", "kind"),
    [
        (None, "system", "system"),
        (SYSTEM, "system", "system"),
        (Actor("cli:root", "cli"), "cli:root", "cli"),
        (User(username="ada"), "ada", "user"),
        (AnonymousUser(), "anonymous", "anonymous"),
    ],
)
def test_it_names_the_actor(db, by, name, kind):
    event = record("flow.save", by=by)
    assert (event.actor, event.actor_kind) == (name, kind)


def test_events_are_numbered_without_gaps_and_chained(db):
    first, second, third = written(3)
    assert [second.seq, third.seq] == [first.seq + 1, first.seq + 2]
    assert (second.previous, third.previous) == (first.digest, second.digest)
    assert AuditHead.objects.get().digest == third.digest


@pytest.mark.django_db(transaction=True)
def test_it_asserts_that_it_is_inside_a_transaction():
    with pytest.raises(AssertionError, match="transaction"):
        record("flow.save", by=ADA)


@pytest.mark.django_db(transaction=True)
def test_an_event_goes_with_the_change_that_is_undone():
    with transaction.atomic():
        record("flow.save", by=ADA)
        transaction.set_rollback(True)
    assert not AuditEvent.objects.exists()
    assert verify().ok


def test_it_says_so_when_it_cannot_be_written(db):
    tamper("DELETE FROM audit_audithead")
    with pytest.raises(AuditUnwritable, match="audit verify"):
        record("flow.save", by=ADA)


@pytest.mark.parametrize(
    "key", ["password", "Password", "new_password", "api-key", "API_KEY", "token", "Set-Cookie", "client_secret"]
)
def test_it_masks_what_sounds_like_a_secret_at_any_depth(db, key):
    event = record("connection.save", by=ADA, detail={"options": [{"name": "x", key: "hunter2"}]})
    assert event.detail == {"options": [{"name": "x", key: MASK}]}
    assert "hunter2" not in json.dumps(AuditEvent.objects.get(seq=event.seq).detail)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (1e3, 1000),
        (-0.0, 0),
        (1e22, 10**22),
        (0.1, 0.1),
        (5e-324, 5e-324),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (2**80, 2**80),
        (True, True),
        (None, None),
        (("a", 1), ["a", 1]),
        ({"b", "a"}, ["a", "b"]),
        (Path("/tmp/x"), "/tmp/x"),
        (Role.ADMIN, "admin"),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00+00:00"),
        ("zero \0 here", "zero \N{REPLACEMENT CHARACTER} here"),
        (r"a written-out \u0000", r"a written-out \u0000"),
        ("half \ud800", "half ?"),
        ({1: {2: 3}}, {"1": {"2": 3}}),
    ],
)
def test_every_value_comes_back_as_it_was_sealed(db, given, kept):
    assert plain(given) == kept
    event = record("flow.save", by=ADA, detail={"value": given})
    assert AuditEvent.objects.get(seq=event.seq).detail == {"value": kept}
    assert verify().ok


def test_names_that_are_too_long_are_cut(db):
    event = record("k" * 100, by=Actor("a" * 300), target="t" * 300, environment="e" * 300)
    assert [len(each) for each in (event.kind, event.actor, event.target, event.environment)] == [80, 200, 200, 100]
    assert verify().ok


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_auditevent SET actor = 'mallory' WHERE seq = 2",
        "DELETE FROM audit_auditevent WHERE seq = 3",
        "DELETE FROM audit_auditevent",
        "UPDATE audit_audithead SET seq = 2",
        "UPDATE audit_audithead SET seq = 4",
        "UPDATE audit_audithead SET digest = 'f'",
        "DELETE FROM audit_audithead",
        "INSERT INTO audit_audithead (id, seq, digest) VALUES (2, 0, '')",
        "UPDATE audit_auditevent SET seq = 9 WHERE seq = 3",
        f"INSERT INTO audit_auditevent SELECT 9, {REST} FROM audit_auditevent WHERE seq = 1",
    ],
)
def test_the_database_itself_refuses_to_change_the_record(db, statement):
    written(3)
    with pytest.raises(DatabaseError), transaction.atomic():
        sql(statement)
    assert verify().ok


@pytest.mark.parametrize("table", ["audit_auditevent", "audit_audithead"])
def test_neither_replacing_nor_emptying_gets_round_the_triggers(db, table):
    written(3)
    key = "seq" if table == "audit_auditevent" else "id"
    statement = (
        f"INSERT OR REPLACE INTO {table} SELECT * FROM {table} WHERE {key} = 1"
        if connection.vendor == "sqlite"
        else f"TRUNCATE {table}"
    )
    with pytest.raises(DatabaseError), transaction.atomic():
        sql(statement)
    assert verify().ok
