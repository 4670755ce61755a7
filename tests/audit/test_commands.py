"""`manage.py audit`: check the record, look at it, take it out."""

import hmac
import json
import re
from pathlib import Path

import jsonschema
import pytest
from django.conf import settings as django_settings
from django.core.management import call_command
from django.db import transaction

from apps.accounts.models import RoleGrant, User
from apps.audit import queries
from apps.audit.actions import record
from apps.audit.actors import Actor
from tests.audit.tampering import tamper, written

SCHEMA = Path(django_settings.BASE_DIR) / "docs/reference/audit-export.schema.json"


@pytest.fixture(autouse=True)
def development(settings):
    settings.CLI_HAS_RIGHTS = True


def audit(capsys, *words, status=0):
    capsys.readouterr()
    ended = 0
    try:
        call_command("audit", *words)
    except SystemExit as end:
        ended = end.code
    printed = capsys.readouterr()
    assert ended == status, printed
    return printed


class TestVerify:
    def test_a_record_that_is_well(self, db, capsys):
        written(3)
        assert json.loads(audit(capsys, "verify", "--json").out) == {
            "version": 1,
            "ok": True,
            "events": 3,
            "first_bad": None,
            "message": "All 3 events are as they were written.",
        }

    def test_one_that_was_changed_ends_with_1(self, db, capsys):
        written(3)
        tamper("UPDATE audit_auditevent SET actor = 'mallory' WHERE seq = 2")
        found = json.loads(audit(capsys, "verify", "--json", status=1).out)
        assert (found["ok"], found["events"], found["first_bad"]) == (False, 1, 2)
        printed = audit(capsys, "verify", status=1)
        assert printed.out == ""
        assert "Event 2 was edited after it was written." in printed.err

    def test_it_asks_for_no_rights(self, db, capsys, settings):
        settings.CLI_HAS_RIGHTS = False
        audit(capsys, "verify")

    def test_it_is_held_against_an_event_that_was_known(self, db, capsys):
        events = written(3)
        known = audit(capsys, "head").out.strip()
        assert known == f"3:{events[2].digest}"
        audit(capsys, "verify", "--known", known)
        tamper(
            "DELETE FROM audit_auditevent WHERE seq = 3",
            ("UPDATE audit_audithead SET seq = 2, digest = %s", events[1].digest),
        )
        audit(capsys, "verify")
        assert "was known before" in audit(capsys, "verify", "--known", known, status=1).err

    @pytest.mark.parametrize("known", ["3", "3:abc", "0:" + "0" * 64, "x"])
    def test_a_known_event_that_is_none_is_wrong_use(self, db, capsys, known):
        assert "as `audit head` prints them" in audit(capsys, "verify", "--known", known, status=2).err


class TestHead:
    def test_of_an_empty_record_there_is_none(self, db, capsys):
        assert audit(capsys, "head").out == ""

    def test_in_json(self, db, capsys):
        events = written(2)
        assert json.loads(audit(capsys, "head", "--json").out) == {"version": 1, "seq": 2, "digest": events[1].digest}


class TestList:
    def test_the_newest_come_first(self, db, capsys):
        written(3)
        lines = audit(capsys, "list", "--limit", "2").out.splitlines()
        assert [line.split()[0] for line in lines] == ["SEQ", "3", "2"]

    @pytest.mark.parametrize(
        ("words", "found"),
        [
            (["--kind", "run.start"], [4]),
            (["--kind", "run."], [5, 4]),
            (["--actor", "carl"], [5, 4]),
            (["--target", "run:2"], [5]),
            (["--env", "dev"], [4]),
            (["--kind", "flow.save", "--target", "flow:2"], [2]),
            (["--actor", "nobody"], []),
        ],
    )
    def test_it_filters(self, db, capsys, words, found):
        written(3)
        with transaction.atomic():
            record("run.start", by=Actor("carl"), target="run:1", environment="dev")
            record("run.cancel", by=Actor("carl"), target="run:2", environment="staging")
        document = json.loads(audit(capsys, "list", "--json", *words).out)
        assert [each["seq"] for each in document["events"]] == found

    @pytest.mark.parametrize("verb", ["list", "export"])
    def test_it_is_for_those_who_may_read_the_audit(self, db, capsys, verb):
        for role in ("viewer", "auditor"):
            RoleGrant.objects.create(user=User.objects.create_user(role), role=role)
        assert "You may not read the audit" in audit(capsys, verb, "--as", "viewer", status=2).err
        audit(capsys, verb, "--as", "auditor")


class TestExport:
    def test_each_line_is_an_event_as_the_schema_says(self, db, capsys):
        written(3)
        schema = json.loads(SCHEMA.read_text())
        lines = [json.loads(line) for line in audit(capsys, "export").out.splitlines()]
        for line in lines:
            jsonschema.validate(line, schema, format_checker=jsonschema.FormatChecker())
        assert [line["seq"] for line in lines] == [1, 2, 3]
        assert [line["previous"] for line in lines][1:] == [line["digest"] for line in lines][:-1]

    def test_the_schema_refuses_what_the_export_never_writes(self, db, capsys):
        written(1)
        line = json.loads(audit(capsys, "export").out)
        schema = json.loads(SCHEMA.read_text())
        for wrong in ({**line, "seq": 0}, {**line, "digest": "x"}, {**line, "more": 1}, {**line, "version": 2}):
            with pytest.raises(jsonschema.ValidationError):
                jsonschema.validate(wrong, schema)

    def test_it_goes_on_after_a_number(self, db, capsys):
        written(5)
        lines = audit(capsys, "export", "--after", "3").out.splitlines()
        assert [json.loads(line)["seq"] for line in lines] == [4, 5]

    def test_it_streams(self, db, capsys, monkeypatch):
        monkeypatch.setattr(queries, "CHUNK", 2)
        written(5)
        assert len(audit(capsys, "export").out.splitlines()) == 5

    def test_whoever_has_the_key_checks_it_without_the_portal(self, db, capsys, settings):
        """As docs/reference/audit-export.md says how."""
        written(2)
        names = ["seq", "at", "kind", "actor", "actor_kind", "target", "environment", "detail", "previous"]
        for line in map(json.loads, audit(capsys, "export").out.splitlines()):
            sealed = json.dumps([line[name] for name in names], sort_keys=True, separators=(",", ":"))
            assert hmac.new(settings.AUDIT_KEY.encode(), sealed.encode(), "sha256").hexdigest() == line["digest"]

    def test_the_page_about_it_shows_what_it_writes(self, db, capsys):
        written(1)
        page = (SCHEMA.parent / "audit-export.md").read_text()
        example = json.loads(re.search(r"```json\n(.*?)```", page, re.DOTALL)[1])
        assert example.keys() == json.loads(audit(capsys, "export").out).keys()
