"""Secrets at rest: what was moved, changed or lost does not open, and says so; rotation loses nothing wherever it is killed."""

import os
import subprocess
import sys
import threading

import pytest
from django.db import connection

from apps.audit.actors import SYSTEM
from apps.environments import keys, sealing, variables
from apps.environments.keys import KeysInvalid
from apps.environments.models import Environment, Secret
from apps.environments.sealing import SecretUnreadable, unseal
from tests.factories import EnvironmentFactory

PLANTED = "hunter2-planted"


@pytest.fixture(autouse=True)
def kept(settings, tmp_path):
    settings.SECRETS_KEYS_PATH = tmp_path / "secrets_keys"
    settings.SECRETS_KEYS = ""
    return settings.SECRETS_KEYS_PATH


def put(name="DB_PASSWORD", value=PLANTED, slug="dev"):
    environment = Environment.objects.get(slug=slug)
    return variables.set_secret(by=SYSTEM, environment=environment, name=name, value=value)


def several(count=5):
    for number in range(count):
        put(f"SECRET_{number}", f"value-number-{number}")
    return {f"SECRET_{number}": f"value-number-{number}" for number in range(count)}


def values():
    return dict(variables.resolved(Environment.objects.get(slug="dev")))


def rotate(**options):
    return variables.rotate_secrets(by=SYSTEM, **options)


@pytest.mark.django_db
class TestAtRest:
    def test_the_value_is_not_in_the_row(self):
        row = put()
        assert PLANTED.encode() not in bytes(row.ciphertext)
        assert unseal(row) == PLANTED

    def test_the_same_value_twice_looks_different(self):
        one, other = put("ONE"), put("OTHER")
        assert bytes(one.ciphertext) != bytes(other.ciphertext)
        assert one.fingerprint != other.fingerprint

    def test_the_fingerprint_says_whether_the_value_changed(self):
        first, again, changed = put().fingerprint, put().fingerprint, put(value="another-value").fingerprint
        assert first == again != changed

    @pytest.mark.parametrize("to", ["another name", "another environment", "an older version"])
    def test_a_ciphertext_that_was_moved_does_not_open(self, to):
        source = put()
        if to == "another name":
            target = put("OTHER", "some-other-value")
        elif to == "another environment":
            EnvironmentFactory(slug="staging")
            target = put(slug="staging", value="some-other-value")
        else:
            target = put(value="some-newer-value")
        target.ciphertext, target.key_id = source.ciphertext, source.key_id
        with pytest.raises(SecretUnreadable) as refused:
            unseal(target)
        assert f"The secret {target.name} of {target.environment.slug} does not open" in refused.value.message

    @pytest.mark.parametrize("at", [0, 11, 12, 20, -1])
    def test_a_flipped_bit_does_not_open(self, at):
        row = put()
        changed = bytearray(row.ciphertext)
        changed[at] ^= 1
        row.ciphertext = bytes(changed)
        with pytest.raises(SecretUnreadable):
            unseal(row)

    @pytest.mark.parametrize("left", [b"", b"short", b"x" * 12])
    def test_a_row_that_was_cut_off_does_not_open(self, left):
        row = put()
        row.ciphertext = left
        with pytest.raises(SecretUnreadable):
            unseal(row)

    def test_a_lost_key_is_told_with_environment_secret_and_what_to_do(self, kept):
        row = put()
        kept.unlink()
        with pytest.raises(SecretUnreadable) as lost:
            values()
        assert f"The secret DB_PASSWORD of dev was encrypted with the key {row.key_id}" in lost.value.message
        assert "manage.py environment secret set dev DB_PASSWORD" in lost.value.hint
        assert put().key_id != row.key_id, "setting it again mends it"
        assert values() == {"DB_PASSWORD": PLANTED}


@pytest.mark.django_db
class TestKeys:
    def test_the_file_is_for_the_portal_alone(self, kept):
        put()
        assert kept.stat().st_mode & 0o777 == 0o600
        rotate()
        assert kept.stat().st_mode & 0o777 == 0o600

    def test_a_key_does_not_show_itself(self, kept):
        key = keys.newest()
        assert kept.read_text().strip() not in f"{key!r}"
        assert str(key.material) not in f"{key!r}"

    @pytest.mark.parametrize("wrong", ["short", "ä" * 43, "A" * 42, "A" * 86, "!" * 43])
    def test_a_wrong_key_is_refused_by_its_number_and_not_shown(self, settings, wrong):
        settings.SECRETS_KEYS = f"{keys.new_word()} {wrong}"
        with pytest.raises(KeysInvalid) as refused:
            keys.all_keys()
        assert "Key 2 of SECRETS_KEYS" in refused.value.message
        assert wrong not in str(refused.value)

    def test_an_empty_file_is_no_key(self, kept):
        kept.write_text("\n")
        with pytest.raises(KeysInvalid, match="holds no key"):
            put()

    def test_given_keys_count_newest_first(self, settings):
        old, new = keys.new_word(), keys.new_word()
        settings.SECRETS_KEYS = old
        first = put().key_id
        settings.SECRETS_KEYS = f"{new} {old}"
        assert values() == {"DB_PASSWORD": PLANTED}
        done = rotate(retire=True)
        assert (done.made, done.encrypted, done.unneeded, done.retired) == (False, 1, (first,), ())
        settings.SECRETS_KEYS = new
        assert values() == {"DB_PASSWORD": PLANTED}


@pytest.mark.django_db
class TestRotation:
    def test_all_secrets_are_under_a_new_key_and_as_they_were(self):
        expected, before = several(), keys.newest().id
        fingerprints = set(Secret.objects.values_list("fingerprint", flat=True))
        done = rotate(batch=2)
        assert (done.made, done.encrypted, done.unneeded) == (True, 5, (before,))
        assert done.key != before
        assert set(Secret.objects.values_list("key_id", flat=True)) == {done.key}
        assert values() == expected
        assert set(Secret.objects.values_list("fingerprint", flat=True)) == fingerprints

    def test_again_is_harmless(self):
        expected = several()
        first, second = rotate(), rotate()
        assert second.key != first.key
        assert values() == expected

    def test_old_keys_stay_until_they_are_retired(self):
        expected, before = several(), keys.newest().id
        rotate()
        assert before in {key.id for key in keys.all_keys()}
        done = rotate(retire=True)
        assert before in done.retired
        assert [key.id for key in keys.all_keys()] == [done.key]
        assert values() == expected

    def test_a_key_that_a_secret_needs_is_not_retired(self):
        put()
        needed = keys.newest().id
        keys.make()
        assert keys.retire({needed}) == []
        assert values() == {"DB_PASSWORD": PLANTED}

    @pytest.mark.parametrize("batch", [1, 2, 100])
    def test_one_secret_that_does_not_open_is_named_and_no_other_is_lost(self, batch):
        several()
        Secret.objects.filter(name="SECRET_3").update(ciphertext=b"x" * 40)
        with pytest.raises(SecretUnreadable, match="SECRET_3 of dev"):
            rotate(batch=batch)
        for row in Secret.objects.select_related("environment").exclude(name="SECRET_3"):
            assert unseal(row).startswith("value-number-")


STEPS = ["make", "seal", "record", "commit 1", "commit 2", "commit 3", "retire", "write"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("step", STEPS)
def test_a_rotation_that_is_killed_loses_nothing_and_the_next_one_ends_it(step, kept, settings):
    """In a process of its own that is gone at once, at `step`: nothing is cleaned up."""
    expected = several()
    before = keys.newest().id
    child = subprocess.run(
        [sys.executable, "-m", "tests.environments.dying", step],
        cwd=settings.BASE_DIR,
        env={**os.environ, **_same_place(settings, kept)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert child.returncode == 9, f"it came past {step}: {child.stderr}"
    assert values() == expected
    done = rotate(batch=2, retire=True)
    assert values() == expected
    assert {key.id for key in keys.all_keys()} == {done.key}
    assert done.key != before


def _same_place(settings, kept):
    """The variables by which another process uses this test's database and keys."""
    at = connection.settings_dict
    server = "postgres://{USER}:{PASSWORD}@{HOST}:{PORT}/{NAME}".format(**at)
    url = f"sqlite:///{at['NAME']}" if connection.vendor == "sqlite" else server
    keys_of_the_house = {"SECRET_KEY": settings.SECRET_KEY, "AUDIT_KEY": settings.AUDIT_KEY}
    return {"DATABASE_URL": url, "FLOWCONTROL_DATA": str(kept.parent), **keys_of_the_house}


@pytest.mark.django_db(transaction=True)
def test_two_rotations_at_once_end_under_the_same_key_and_lose_nothing():
    expected = several(9)
    start, done, failed = threading.Barrier(2), [], []

    def work():
        try:
            start.wait(timeout=20)
            done.append(rotate(batch=1))
        except Exception as error:  # noqa: BLE001  whatever it is, the test tells it
            failed.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(timeout=60)
    assert failed == []
    assert len(done) == 2
    assert set(Secret.objects.values_list("key_id", flat=True)) == {keys.newest().id}
    assert values() == expected


@pytest.mark.django_db(transaction=True)
def test_a_secret_that_is_set_during_a_rotation_is_kept(monkeypatch):
    several(4)
    real = sealing.seal
    meanwhile = []

    def slow(*args):
        if not meanwhile:
            meanwhile.append(threading.Thread(target=lambda: (put("LATE", "set-meanwhile"), connection.close())))
            meanwhile[0].start()
        return real(*args)

    monkeypatch.setattr(variables, "seal", slow)
    rotate(batch=1, retire=True)
    meanwhile[0].join(timeout=30)
    assert values()["LATE"] == "set-meanwhile"
