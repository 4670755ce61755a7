"""`manage.py environment variable|secret`: values of secrets come in by other ways than arguments, and never go out."""

import io
import json

import pytest
from django.core.management import call_command

from apps.environments import keys as house_keys
from apps.environments import variables
from apps.environments.models import Environment, Secret

pytestmark = pytest.mark.django_db
PLANTED = "hunter2-planted"


@pytest.fixture(autouse=True)
def keys(settings, tmp_path):
    settings.SECRETS_KEYS_PATH = tmp_path / "secrets_keys"
    settings.SECRETS_KEYS = ""


@pytest.fixture
def manage(monkeypatch, capsys):
    def run(*words, stdin=""):
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        status = 0
        try:
            call_command("environment", *words)
        except SystemExit as end:
            status = int(end.code or 0)
        said = capsys.readouterr()
        assert PLANTED not in said.out + said.err
        return status, said.out, said.err

    return run


def given():
    return dict(variables.resolved(Environment.objects.get(slug="dev")))


@pytest.mark.parametrize("typed", [PLANTED, f"{PLANTED}\n", f"{PLANTED}\r\n"])
def test_a_secret_is_piped_in_without_its_line_end(manage, typed):
    status, _, err = manage("secret", "set", "dev", "DB_PASSWORD", stdin=typed)
    assert status == 0
    assert "15 characters" in err
    assert given() == {"DB_PASSWORD": PLANTED}


def test_a_secret_is_read_from_a_file_with_all_its_lines(manage, tmp_path):
    (tmp_path / "key.pem").write_text("-----BEGIN-----\nMIIEvQIBADANBgkq\n-----END-----\n")
    assert manage("secret", "set", "dev", "KEY", "--from-file", str(tmp_path / "key.pem"))[0] == 0
    assert given()["KEY"] == "-----BEGIN-----\nMIIEvQIBADANBgkq\n-----END-----"


def test_a_secret_is_typed_twice_at_a_prompt_that_does_not_show_it(manage, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr("io.StringIO", Terminal)
    answers = iter([PLANTED, PLANTED, PLANTED, "another"])
    monkeypatch.setattr("getpass.getpass", lambda prompt: next(answers))
    assert manage("secret", "set", "dev", "DB_PASSWORD")[0] == 0
    status, _, err = manage("secret", "set", "dev", "DB_PASSWORD")
    assert (status, Secret.objects.get().version) == (2, 1)
    assert "not the same" in err


@pytest.mark.parametrize("words", [("hunter2-planted",), ("--value", "hunter2-planted"), ("--value=hunter2-planted",)])
def test_a_value_as_an_argument_is_refused_with_the_reason_and_not_repeated(manage, words):
    status, _, err = manage("secret", "set", "dev", "DB_PASSWORD", *words)
    assert status == 2
    assert "list of processes" in err
    assert "--from-file" in err
    assert not Secret.objects.exists()


@pytest.mark.parametrize("file", ["nowhere", "binary"])
def test_a_file_that_cannot_be_read_is_told(manage, tmp_path, file):
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    status, _, err = manage("secret", "set", "dev", "KEY", "--from-file", str(tmp_path / file))
    assert status == 2
    assert "cannot be read" in err


@pytest.mark.parametrize("words", [("GREETING", "hello"), ("GREETING=hello",)])
def test_a_variable_is_set_listed_and_unset(manage, words):
    assert manage("variable", "set", "dev", *words)[0] == 0
    assert "hello" in manage("variable", "list", "dev")[1]
    status, out, _ = manage("variable", "list", "dev", "--json")
    shown = json.loads(out)["variables"][0]
    assert (status, shown["name"], shown["value"], shown["secret"]) == (0, "GREETING", "hello", None)
    assert manage("variable", "unset", "dev", "GREETING")[0] == 0
    assert given() == {}


def test_the_list_of_secrets_says_that_they_are_set_and_no_more(manage):
    manage("secret", "set", "dev", "DB_PASSWORD", stdin=PLANTED)
    assert "15 characters" in manage("secret", "list", "dev")[1]
    shown = json.loads(manage("secret", "list", "dev", "--json")[1])["secrets"][0]
    assert shown.keys() == {"name", "length", "fingerprint", "version", "key", "changed_at", "changed_by"}


def test_a_secret_is_deleted(manage):
    manage("secret", "set", "dev", "DB_PASSWORD", stdin=PLANTED)
    assert json.loads(manage("secret", "delete", "dev", "DB_PASSWORD", "--json")[1])["deleted"] == "DB_PASSWORD"
    assert manage("secret", "delete", "dev", "DB_PASSWORD")[0] == 2


def test_a_rotation_says_what_it_did_and_how_old_keys_are_retired(manage):
    manage("secret", "set", "dev", "DB_PASSWORD", stdin=PLANTED)
    old = house_keys.newest().id
    _, _, err = manage("secret", "rotate")
    assert "1 secret encrypted anew" in err
    assert f"No secret needs {old} any more." in err
    assert "--retire" in err
    done = json.loads(manage("secret", "rotate", "--retire", "--json")[1])
    assert old in done["retired"]
    assert given() == {"DB_PASSWORD": PLANTED}


def test_a_new_key_can_be_given(manage, settings):
    settings.SECRETS_KEYS = manage("secret", "new-key")[1].strip()
    assert manage("secret", "set", "dev", "DB_PASSWORD", stdin=PLANTED)[0] == 0


@pytest.mark.parametrize("verb", ["variable", "secret"])
def test_an_environment_that_is_not_there_is_told_with_those_that_are(manage, verb):
    status, _, err = manage(verb, "list", "nowhere")
    assert status == 2
    assert "There are: dev" in err


def test_who_has_no_rights_is_refused_before_he_types(manage, settings):
    settings.CLI_HAS_RIGHTS = False
    status, _, err = manage("secret", "set", "dev", "DB_PASSWORD", stdin=PLANTED)
    assert status == 2
    assert "You may not set variables and secrets in dev" in err
