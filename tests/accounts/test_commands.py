"""`manage.py accounts`, and who a command acts as."""

import getpass
import io
import json

import pytest
from django.contrib.auth.models import Group
from django.core.management import CommandError, call_command

from apps.accounts import actors
from apps.accounts.models import RoleGrant, User
from tests.accounts.people import PASSWORD, newest, person


@pytest.fixture(autouse=True)
def terminal(settings, monkeypatch):
    """Somebody at a terminal, in development, whose name is no account's."""
    settings.CLI_HAS_RIGHTS, settings.ADMIN_PASSWORD = True, ""
    monkeypatch.setattr(getpass, "getuser", lambda: "opal")


def accounts(capsys, *words, status=0):
    """What the command prints, after it ended with `status`."""
    capsys.readouterr()
    ended = 0
    try:
        call_command("accounts", *words)
    except SystemExit as end:
        ended = end.code
    printed = capsys.readouterr()
    assert ended == status, printed
    return printed


def document(capsys, *words, status=0):
    return json.loads(accounts(capsys, *words, "--json", status=status).out)


class TestForCommand:
    def test_the_account_that_is_named(self, ada):
        assert actors.for_command("ada") == ada

    @pytest.mark.parametrize("name", ["nobody", "gone"])
    def test_a_name_that_is_no_active_account_is_refused(self, db, name):
        person("gone", is_active=False)
        with pytest.raises(actors.UnknownAccount, match="accounts list"):
            actors.for_command(name)

    def test_else_the_account_named_like_the_one_at_the_terminal(self, db):
        opal = person("opal")
        assert actors.for_command(None) == opal

    def test_else_somebody_at_the_terminal(self, db):
        actor = actors.for_command(None)
        assert (actor.name, actor.kind) == ("cli:opal", "cli")

    def test_a_number_without_a_name_is_somebody_too(self, db, monkeypatch):
        def unknown():
            raise OSError("no such user")

        monkeypatch.setattr(getpass, "getuser", unknown)
        assert actors.for_command(None).name.startswith("cli:uid-")


class TestFirstAdmin:
    def test_it_prints_the_password_once(self, db, capsys):
        name, password = accounts(capsys, "first-admin").out.split()
        assert User.objects.get(username=name).check_password(password)
        again = accounts(capsys, "first-admin")
        assert again.out == ""
        assert "nothing to tell" in again.err

    def test_in_json_too(self, db, capsys):
        first, again = (document(capsys, "first-admin") for _ in range(2))
        assert first.keys() == {"version", "username", "password"}
        assert User.objects.get().check_password(first["password"])
        assert again == {"version": 1, "username": "admin", "password": None}

    def test_a_password_of_the_settings_is_taken_and_not_printed(self, db, capsys, settings):
        settings.ADMIN_PASSWORD = PASSWORD
        assert accounts(capsys, "first-admin").out == ""
        assert User.objects.get().check_password(PASSWORD)


class TestCreate:
    def test_it_prints_a_random_password(self, ada, capsys):
        name, password = accounts(capsys, "create", "eve", "--role", "author", "--env", "dev").out.split()
        assert User.objects.get(username=name).check_password(password)
        assert RoleGrant.objects.filter(user__username="eve", role="author", environment="dev").exists()
        assert newest().actor == "cli:opal"

    def test_it_reads_a_password(self, ada, capsys, monkeypatch):
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{PASSWORD}\n"))
        assert document(capsys, "create", "eve", "--password-stdin") == {
            "version": 1,
            "username": "eve",
            "password": None,
        }
        assert User.objects.get(username="eve").check_password(PASSWORD)

    def test_what_is_refused_is_said_and_nothing_is_printed(self, ada, capsys):
        printed = accounts(capsys, "create", "ada", status=2)
        assert printed.out == ""
        assert "already exists" in printed.err

    def test_it_is_told_with_the_account_that_acts(self, ada, capsys):
        accounts(capsys, "create", "eve", "--as", "ada")
        assert newest().actor == "ada"


class TestRights:
    def test_an_account_without_the_right_is_refused_at_the_terminal_too(self, ada, bob, capsys):
        assert "You may not manage accounts" in accounts(capsys, "create", "eve", "--as", "bob", status=2).err

    def test_outside_of_development_a_terminal_alone_is_not_enough(self, ada, capsys, settings):
        settings.CLI_HAS_RIGHTS = False
        assert "--as USER" in accounts(capsys, "list", status=2).err
        assert "ada" in accounts(capsys, "list", "--as", "ada").out

    def test_naming_nobody_is_wrong_use(self, ada, capsys):
        assert "no active account 'zed'" in accounts(capsys, "list", "--as", "zed", status=2).err


class TestRoles:
    def test_they_are_granted_and_revoked(self, ada, bob, capsys):
        grant = ["grant", "bob", "operator", "--env", "dev"]
        assert document(capsys, *grant) == {
            "version": 1,
            "name": "bob",
            "role": "operator",
            "environment": "dev",
            "changed": True,
        }
        assert document(capsys, *grant)["changed"] is False
        assert document(capsys, "revoke", *grant[1:])["changed"] is True
        assert document(capsys, "revoke", *grant[1:])["changed"] is False

    def test_groups_have_them_too(self, ada, capsys):
        Group.objects.create(name="night")
        accounts(capsys, "grant", "night", "operator", "--group")
        assert RoleGrant.objects.get(group__name="night").role == "operator"

    @pytest.mark.parametrize(
        "words", [["bob", "viewer", "--group"], ["zed", "viewer"], ["bob", "viewer", "--env", "moon"]]
    )
    def test_what_is_not_there_is_said(self, ada, bob, capsys, words):
        assert "There is no" in accounts(capsys, "grant", *words, status=2).err

    def test_the_last_admin_stays(self, ada, capsys):
        assert "Nobody could manage accounts" in accounts(capsys, "revoke", "ada", "admin", status=2).err


class TestOthers:
    def test_the_list_has_roles_of_groups_too(self, ada, bob, capsys):
        group = Group.objects.create(name="night")
        bob.groups.add(group)
        RoleGrant.objects.create(group=group, role="operator", environment="dev")
        assert "bob      yes     operator in dev (by night)" in accounts(capsys, "list").out
        assert document(capsys, "list")["accounts"] == [
            {"username": "ada", "active": True, "roles": [{"role": "admin", "environment": "", "group": ""}]},
            {
                "username": "bob",
                "active": True,
                "roles": [{"role": "operator", "environment": "dev", "group": "night"}],
            },
        ]

    def test_a_password_is_set(self, ada, bob, capsys):
        _, password = accounts(capsys, "set-password", "bob").out.split()
        assert User.objects.get(pk=bob.pk).check_password(password)

    def test_an_account_is_shut_out_and_let_in(self, ada, bob, capsys):
        assert document(capsys, "deactivate", "bob") == {"version": 1, "username": "bob", "active": False}
        assert document(capsys, "activate", "bob")["active"] is True
        accounts(capsys, "unlock", "bob")

    @pytest.mark.parametrize("command", ["createsuperuser", "changepassword"])
    def test_djangos_own_commands_do_not_go_past_the_audit(self, ada, command):
        with pytest.raises(CommandError, match=r"manage\.py accounts") as refused:
            call_command(command)
        assert refused.value.returncode == 2

    def test_a_database_without_tables_is_said(self, db, capsys, monkeypatch):
        from django.db import OperationalError

        def missing(name):
            raise OperationalError("no such table")

        monkeypatch.setattr(actors, "for_command", missing)
        monkeypatch.setattr("apps.accounts.console._has_tables", lambda: False)
        assert "migrate" in accounts(capsys, "list", status=2).err
