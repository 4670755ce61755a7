"""Changes to accounts: allowed, whole, and told in the audit; and somebody can always manage them."""

import threading

import pytest
from django.contrib.auth.models import Group
from django.db import connection

from apps.accounts import actions, policy
from apps.accounts.actions import AccountInvalid, LastAdmin
from apps.accounts.models import Role, RoleGrant, User
from apps.accounts.policy import Denied
from apps.audit.models import AuditEvent
from apps.audit.verify import verify
from apps.environments.models import Environment
from tests.accounts.people import OTHER_PASSWORD, PASSWORD, newest, person, told


class TestFirstAdmin:
    def test_it_is_made_with_a_random_password_that_is_told_once(self, db):
        name, password = actions.ensure_first_admin()
        assert name == "admin"
        assert password is not None
        assert len(password) >= 20
        admin = User.objects.get()
        assert admin.check_password(password)
        assert policy.allowed(admin, "accounts.manage")
        assert told() == [("account.create", "system", "account:admin"), ("role.grant", "system", "account:admin")]
        assert actions.ensure_first_admin() == ("admin", None)
        assert User.objects.count() == 1

    def test_a_password_that_was_given_is_taken_and_not_told(self, db):
        assert actions.ensure_first_admin(PASSWORD) == ("admin", None)
        assert User.objects.get().check_password(PASSWORD)

    def test_it_leaves_accounts_alone_that_are_there(self, bob):
        assert actions.ensure_first_admin(PASSWORD) == ("admin", None)
        assert list(User.objects.all()) == [bob]

    @pytest.mark.django_db(transaction=True)
    def test_two_that_race_make_one_account_and_one_password(self):
        at_once, told_to = threading.Barrier(4), []

        def start():
            at_once.wait(10)
            told_to.append(actions.ensure_first_admin())
            connection.close()

        threads = [threading.Thread(target=start) for _ in range(4)]
        for each in threads:
            each.start()
        for each in threads:
            each.join(60)
        assert User.objects.count() == 1
        (password,) = [password for _, password in told_to if password]
        assert len(told_to) == 4
        assert User.objects.get().check_password(password)


class TestCreateUser:
    def test_it_makes_an_account_with_a_role(self, ada):
        user = actions.create_user(by=ada, username="eve", password=PASSWORD, role="author", email="eve@example.org")
        assert user.check_password(PASSWORD)
        assert user.email == "eve@example.org"
        assert policy.allowed(user, "flows.edit")
        assert told() == [("account.create", "ada", "account:eve"), ("role.grant", "ada", "account:eve")]

    @pytest.mark.parametrize(
        ("changed", "words"),
        [
            ({"username": "ada"}, "already exists"),
            ({"username": "e v e"}, "valid username"),
            ({"username": ""}, "blank"),
            ({"password": "short"}, "too short"),
            ({"password": "evelynsmith", "username": "evelynsmith"}, "too similar"),
            ({"email": "nowhere"}, "email"),
            ({"role": "king"}, "no role 'king'"),
            ({"role": "author", "environment": "moon"}, "no environment 'moon'"),
        ],
    )
    def test_it_refuses_what_cannot_be_and_leaves_nothing(self, ada, changed, words):
        with pytest.raises(AccountInvalid, match=words):
            actions.create_user(by=ada, **{"username": "eve", "password": PASSWORD, **changed})
        assert User.objects.count() == 1
        assert told() == []


class TestPasswords:
    def test_everybody_changes_his_own(self, bob):
        actions.set_password(by=bob, user=bob, password=OTHER_PASSWORD)
        assert User.objects.get(pk=bob.pk).check_password(OTHER_PASSWORD)
        assert told() == [("account.password", "bob", "account:bob")]

    def test_an_admin_changes_that_of_another(self, ada, bob):
        actions.set_password(by=ada, user=bob, password=OTHER_PASSWORD)
        assert told() == [("account.password", "ada", "account:bob")]
        assert OTHER_PASSWORD not in str(AuditEvent.objects.values())

    def test_nobody_else_does(self, ada, bob):
        with pytest.raises(Denied):
            actions.set_password(by=bob, user=ada, password=OTHER_PASSWORD)

    def test_a_weak_one_is_refused(self, bob):
        with pytest.raises(AccountInvalid, match="too common"):
            actions.set_password(by=bob, user=bob, password="password1234")


class TestLastAdmin:
    def test_the_last_one_is_not_deactivated(self, ada):
        with pytest.raises(LastAdmin):
            actions.deactivate_user(by=ada, user=ada)
        assert User.objects.get(pk=ada.pk).is_active
        assert told() == []

    def test_the_last_one_keeps_the_role(self, ada):
        with pytest.raises(LastAdmin):
            actions.revoke_role(by=ada, grant=ada.grants.get())
        assert ada.grants.count() == 1

    def test_with_another_one_it_goes(self, ada):
        person("carl", "admin")
        actions.revoke_role(by=ada, grant=ada.grants.get())
        assert newest().kind == "role.revoke"

    @pytest.mark.parametrize(
        "other",
        [{"role": "admin", "environment": "staging"}, {"role": "operator"}, {"role": "admin", "is_active": False}],
    )
    def test_one_who_does_not_rule_the_house_is_not_enough(self, ada, other):
        person("carl", **other)
        with pytest.raises(LastAdmin):
            actions.deactivate_user(by=ada, user=ada)

    def test_an_admin_by_group_is_enough_until_he_leaves_it(self, ada, bob):
        group = Group.objects.create(name="chiefs")
        actions.grant_role(by=ada, group=group, role="admin")
        actions.set_groups(by=ada, user=bob, groups=[group])
        actions.revoke_role(by=ada, grant=ada.grants.get())
        bob = User.objects.get(pk=bob.pk)
        with pytest.raises(LastAdmin):
            actions.set_groups(by=bob, user=bob, groups=[])
        with pytest.raises(LastAdmin):
            actions.delete_group(by=bob, group=group)
        assert [each.name for each in bob.groups.all()] == ["chiefs"]

    @pytest.mark.django_db(transaction=True)
    def test_two_admins_who_deactivate_each_other_at_once_do_not_both_succeed(self):
        for name in ("ada", "carl"):
            person(name, "admin")
        at_once, refused = threading.Barrier(2), []

        def act(*names):
            by, user = (User.objects.get(username=name) for name in names)
            at_once.wait(10)
            try:
                actions.deactivate_user(by=by, user=user)
            except LastAdmin as error:
                refused.append(error)
            connection.close()

        threads = [threading.Thread(target=act, args=pair) for pair in (("ada", "carl"), ("carl", "ada"))]
        for each in threads:
            each.start()
        for each in threads:
            each.join(60)
        assert User.objects.filter(is_active=True).count() == 1
        assert len(refused) == 1
        assert verify().ok


class TestRoles:
    def test_a_grant_is_told_and_counts_at_once(self, ada, bob):
        assert not policy.allowed(bob, "flows.edit")
        grant = actions.grant_role(by=ada, user=bob, role="author")
        assert policy.allowed(bob, "flows.edit")
        actions.revoke_role(by=ada, grant=grant)
        assert not policy.allowed(bob, "flows.edit")
        assert [kind for kind, _, _ in told()] == ["role.grant", "role.revoke"]

    def test_granting_and_revoking_twice_is_doing_it_once(self, ada, bob):
        first, second = (actions.grant_role(by=ada, user=bob, role="author", environment="dev") for _ in range(2))
        assert first == second
        actions.revoke_role(by=ada, grant=first)
        actions.revoke_role(by=ada, grant=second)
        assert len(told()) == 2
        assert newest().environment == "dev"

    def test_it_is_to_a_user_or_a_group(self, ada, bob):
        for holder in ({}, {"user": bob, "group": Group.objects.create(name="x")}):
            with pytest.raises(AccountInvalid, match="to a user or to a group"):
                actions.grant_role(by=ada, role="author", **holder)

    def test_it_knows_which_environments_there_are(self, ada, bob):
        Environment.objects.get_or_create(slug="staging", defaults={"name": "Staging"})
        actions.grant_role(by=ada, user=bob, role="author", environment="staging")
        with pytest.raises(AccountInvalid) as refused:
            actions.grant_role(by=ada, user=bob, role="author", environment="stagign")
        assert "staging" in refused.value.hint


class TestGroups:
    def test_their_whole_life_is_told(self, ada, bob):
        group = actions.create_group(by=ada, name="night")
        actions.grant_role(by=ada, group=group, role="operator")
        actions.set_groups(by=ada, user=bob, groups=[group])
        actions.rename_group(by=ada, group=group, name="day")
        actions.set_groups(by=ada, user=bob, groups=[])
        actions.set_groups(by=ada, user=bob, groups=[group])
        actions.delete_group(by=ada, group=group)
        assert told() == [
            ("group.create", "ada", "group:night"),
            ("role.grant", "ada", "group:night"),
            ("group.join", "ada", "group:night"),
            ("group.rename", "ada", "group:night"),
            ("group.leave", "ada", "group:day"),
            ("group.join", "ada", "group:day"),
            ("group.delete", "ada", "group:day"),
        ]
        assert newest().detail == {"roles": [["operator", ""]], "members": ["bob"]}
        assert RoleGrant.objects.filter(role="operator").count() == 0

    def test_nothing_new_is_not_told(self, ada, bob):
        group = actions.create_group(by=ada, name="night")
        actions.rename_group(by=ada, group=group, name="night")
        actions.set_groups(by=ada, user=bob, groups=[])
        actions.change_user(by=ada, user=bob, first_name="")
        actions.activate_user(by=ada, user=bob)
        assert len(told()) == 1


def test_a_change_of_an_account_tells_what_was_and_what_is(ada, bob):
    actions.change_user(by=ada, user=bob, username="robert", first_name="Robert")
    assert newest().detail == {"username": ["bob", "robert"], "first_name": ["", "Robert"]}
    assert newest().target == "account:bob"


CHANGES = {
    "create_user": lambda by, bob, group: actions.create_user(by=by, username="eve", password=PASSWORD),
    "change_user": lambda by, bob, group: actions.change_user(by=by, user=bob, first_name="B"),
    "deactivate_user": lambda by, bob, group: actions.deactivate_user(by=by, user=bob),
    "activate_user": lambda by, bob, group: actions.activate_user(by=by, user=bob),
    "unlock_user": lambda by, bob, group: actions.unlock_user(by=by, user=bob),
    "create_group": lambda by, bob, group: actions.create_group(by=by, name="y"),
    "rename_group": lambda by, bob, group: actions.rename_group(by=by, group=group, name="y"),
    "delete_group": lambda by, bob, group: actions.delete_group(by=by, group=group),
    "set_groups": lambda by, bob, group: actions.set_groups(by=by, user=bob, groups=[group]),
    "grant_role": lambda by, bob, group: actions.grant_role(by=by, user=bob, role="viewer"),
    "revoke_role": lambda by, bob, group: actions.revoke_role(by=by, grant=group.grants.get()),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("role", [role for role in Role if role != Role.ADMIN])
def test_only_admins_change_accounts(ada, bob, change, role):
    group = Group.objects.create(name="x")
    RoleGrant.objects.create(group=group, role=Role.VIEWER)
    with pytest.raises(Denied):
        CHANGES[change](person("mallory", role), bob, group)
    assert told() == []


@pytest.mark.parametrize("change", [change for change in CHANGES if change not in ("activate_user", "unlock_user")])
def test_what_cannot_be_told_is_not_done(ada, bob, change, monkeypatch):
    group = Group.objects.create(name="x")
    RoleGrant.objects.create(group=group, role=Role.VIEWER)

    def refuse(*args, **kwargs):
        raise OSError("disk full")

    def state():
        return [list(model.objects.order_by("pk").values()) for model in (User, Group, RoleGrant, User.groups.through)]

    before = state()
    monkeypatch.setattr(actions, "record", refuse)
    with pytest.raises(OSError, match="disk full"):
        CHANGES[change](ada, bob, group)
    assert state() == before
