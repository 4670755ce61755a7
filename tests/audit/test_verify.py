"""Every way to change the record is found, at the right place, in words."""

import pytest
from django.db import connection

from apps.audit import verify as verifying
from apps.audit.models import AuditEvent, AuditHead
from apps.audit.verify import Known, verify
from tests.audit.tampering import tamper, written

COLUMNS = ["at", "kind", "actor", "actor_kind", "target", "environment", "detail", "digest"]
OTHER = {"at": "2020-01-01 00:00:00+00:00", "detail": '{"number": 99}', "digest": "0" * 64}
MOVE_ASIDE = 1_000_000


@pytest.fixture
def five(db):
    return written(5)


def test_an_empty_record_is_well(db):
    assert verify() == verifying.Verdict(True, 0, None, "All 0 events are as they were written.")


def test_an_untouched_record_is_well(five):
    verdict = verify()
    assert (verdict.ok, verdict.events, verdict.first_bad) == (True, 5, None)


def test_it_reads_in_chunks(five, monkeypatch):
    monkeypatch.setattr(verifying, "CHUNK", 2)
    assert verify().events == 5
    tamper("UPDATE audit_auditevent SET actor = 'mallory' WHERE seq = 4")
    assert verify().first_bad == 4


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("number", [1, 3, 5])
def test_an_edited_value_is_found(five, column, number):
    tamper((f"UPDATE audit_auditevent SET {column} = %s WHERE seq = %s", OTHER.get(column, "mallory"), number))
    verdict = verify()
    assert (verdict.ok, verdict.first_bad, verdict.events) == (False, number, number - 1)
    assert verdict.message == f"Event {number} was edited after it was written."


def test_an_edited_link_is_found(five):
    tamper(("UPDATE audit_auditevent SET previous = %s WHERE seq = 3", "0" * 64))
    verdict = verify()
    assert verdict.first_bad == 3
    assert "link" in verdict.message


def test_a_value_that_cannot_be_read_is_found(five):
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL does not store such a value")
    tamper("UPDATE audit_auditevent SET at = '2026-13-45 00:00:00' WHERE seq = 4")
    verdict = verify()
    assert (verdict.events, verdict.first_bad) == (3, 4)
    assert "cannot be read" in verdict.message


def test_a_value_of_another_kind_is_found(five):
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL does not store such a value")
    tamper("UPDATE audit_auditevent SET actor = x'00ff', at = 'yesterday' WHERE seq = 2")
    assert verify().first_bad == 2


@pytest.mark.parametrize(
    ("gone", "words"),
    [([1], "Event 1 was deleted"), ([3], "Event 3 was deleted"), ([2, 3], "Events 2 to 3 were deleted")],
)
def test_a_deleted_event_is_found(five, gone, words):
    tamper(*[f"DELETE FROM audit_auditevent WHERE seq = {each}" for each in gone])
    verdict = verify()
    assert (verdict.first_bad, verdict.events) == (gone[0], gone[0] - 1)
    assert words in verdict.message


def test_a_deleted_event_is_found_when_the_others_are_renumbered(five):
    tamper(
        "DELETE FROM audit_auditevent WHERE seq = 3",
        "UPDATE audit_auditevent SET seq = 3 WHERE seq = 4",
        "UPDATE audit_auditevent SET seq = 4 WHERE seq = 5",
        "UPDATE audit_audithead SET seq = 4",
    )
    verdict = verify()
    assert verdict.first_bad == 3
    assert "Event 3 was deleted" in verdict.message


def test_events_that_changed_places_are_found(five):
    tamper(
        f"UPDATE audit_auditevent SET seq = {MOVE_ASIDE} WHERE seq = 2",
        "UPDATE audit_auditevent SET seq = 2 WHERE seq = 4",
        f"UPDATE audit_auditevent SET seq = 4 WHERE seq = {MOVE_ASIDE}",
    )
    verdict = verify()
    assert verdict.first_bad == 2
    assert verdict.message == "Events were reordered: the one that belongs in place 2 stands in place 4."


def test_an_event_that_was_moved_to_the_end_is_found(five):
    tamper("UPDATE audit_auditevent SET seq = 6 WHERE seq = 2", "UPDATE audit_audithead SET seq = 6")
    verdict = verify()
    assert verdict.first_bad == 2
    assert "reordered" in verdict.message


def test_an_event_that_was_replaced_is_found(five):
    tamper(("UPDATE audit_auditevent SET previous = %s, actor = 'mallory' WHERE seq = 3", "f" * 64))
    verdict = verify()
    assert verdict.first_bad == 3
    assert "replaced" in verdict.message


@pytest.mark.parametrize("left", [4, 1, 0])
def test_an_end_that_was_cut_off_is_found(five, left):
    tamper(f"DELETE FROM audit_auditevent WHERE seq > {left}")
    verdict = verify()
    assert verdict.first_bad == left + 1
    assert "cut off" in verdict.message


@pytest.mark.parametrize("seq", [0, -7])
def test_an_event_before_the_first_is_found(five, seq):
    tamper(f"UPDATE audit_auditevent SET seq = {seq} WHERE seq = 5", "UPDATE audit_audithead SET seq = 4")
    verdict = verify()
    assert not verdict.ok
    assert f"Event {seq} was added" in verdict.message


def test_an_event_behind_the_head_is_found(five):
    tamper(("UPDATE audit_audithead SET seq = 4, digest = %s", five[3].digest))
    verdict = verify()
    assert verdict.first_bad == 5
    assert "behind the head" in verdict.message


def test_an_edited_head_is_found(five):
    tamper(("UPDATE audit_audithead SET digest = %s", "f" * 64))
    verdict = verify()
    assert verdict.first_bad == 5
    assert "head row was edited" in verdict.message


def test_a_deleted_head_is_found(five):
    tamper("DELETE FROM audit_audithead")
    assert "head row was deleted" in verify().message


def test_a_wrong_key_is_told_from_an_edit(five, settings):
    settings.AUDIT_KEY = "another key"
    verdict = verify()
    assert verdict.first_bad == 1
    assert "Wrong key" in verdict.message


def test_with_one_event_it_says_that_it_cannot_tell_edit_from_key(db, settings):
    written(1)
    settings.AUDIT_KEY = "another key"
    assert "or AUDIT_KEY is the wrong key" in verify().message


def test_a_key_that_was_changed_midway_is_named(db, settings):
    written(2)
    settings.AUDIT_KEY, right = "another key", settings.AUDIT_KEY
    written(3)
    settings.AUDIT_KEY = right
    verdict = verify()
    assert verdict.first_bad == 3
    assert "another key sealed them" in verdict.message


def test_an_end_cut_off_with_the_head_set_back_shows_only_against_a_known_event(five):
    known = Known(5, five[4].digest)
    assert verify(known).ok
    tamper(
        "DELETE FROM audit_auditevent WHERE seq = 5",
        ("UPDATE audit_audithead SET seq = 4, digest = %s", five[3].digest),
    )
    assert verify().ok
    verdict = verify(known)
    assert (verdict.ok, verdict.first_bad) == (False, 5)
    assert "was known before" in verdict.message


def test_a_record_that_was_written_anew_shows_against_a_known_event(five):
    verdict = verify(Known(3, "f" * 64))
    assert (verdict.ok, verdict.first_bad) == (False, 3)


def test_events_that_are_written_meanwhile_do_not_disturb_it(five, monkeypatch):
    real = verifying._fault

    def slow(event, number, previous):
        if number == 2:
            written(2)
        return real(event, number, previous)

    monkeypatch.setattr(verifying, "_fault", slow)
    verdict = verify()
    assert (verdict.ok, verdict.events) == (True, 5)
    assert AuditHead.objects.get().seq == AuditEvent.objects.count() == 7
