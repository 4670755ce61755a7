"""Accounts in the admin: the same actions, the same audit, whatever button was used."""

import pytest
from django.contrib.auth.models import Group
from django.urls import reverse

from apps.accounts.models import RoleGrant, User
from tests.accounts.people import OTHER_PASSWORD, PASSWORD, newest, person, told

NO_ROLES = {"grants-TOTAL_FORMS": "0", "grants-INITIAL_FORMS": "0"}


@pytest.fixture
def page(client, ada):
    """Ada's browser. What is told of her login is not of interest here."""
    client.force_login(ada)
    before = len(told())
    client.told = lambda: [(kind, target) for kind, _, target in told()[before:]]
    return client


def roles_below(user, *new, delete=()):
    """The form of the roles below a user: those there are, and new ones as (role, environment)."""
    present = list(user.grants.order_by("pk"))
    form = {"grants-TOTAL_FORMS": len(present) + len(new), "grants-INITIAL_FORMS": len(present)}
    for number, grant in enumerate(present):
        form |= {f"grants-{number}-id": grant.pk, f"grants-{number}-user": user.pk}
        if grant.role in delete:
            form[f"grants-{number}-DELETE"] = "on"
    for number, (role, environment) in enumerate(new, len(present)):
        form |= {
            f"grants-{number}-role": role,
            f"grants-{number}-environment": environment,
            f"grants-{number}-user": user.pk,
        }
    return form


def change(page, user, follow=True, **fields):
    form = {"username": user.username, "is_active": "on", **NO_ROLES, **fields}
    form = {name: value for name, value in form.items() if value is not None}
    return page.post(reverse("admin:accounts_user_change", args=[user.pk]), form, follow=follow)


class TestUsers:
    def test_the_list_shows_roles(self, page, bob):
        RoleGrant.objects.create(user=bob, role="author", environment="dev")
        assert "author in dev" in page.get(reverse("admin:accounts_user_changelist")).content.decode()

    def test_one_is_made_with_roles(self, page):
        form = {"username": "eve", "password1": PASSWORD, "password2": PASSWORD, **NO_ROLES}
        response = page.post(reverse("admin:accounts_user_add"), form)
        eve = User.objects.get(username="eve")
        assert response["Location"] == reverse("admin:accounts_user_change", args=[eve.pk])
        assert eve.check_password(PASSWORD)
        assert page.told() == [("account.create", "account:eve")]
        change(page, eve, **roles_below(eve, ("author", "dev"), ("auditor", "")))
        assert set(eve.grants.values_list("role", "environment")) == {("author", "dev"), ("auditor", "")}
        assert page.told()[1:] == [("role.grant", "account:eve")] * 2

    @pytest.mark.parametrize(
        "form", [{"username": "ada"}, {"password2": "something else"}, {"password1": "x", "password2": "x"}]
    )
    def test_a_wrong_form_makes_none(self, page, form):
        form = {"username": "eve", "password1": PASSWORD, "password2": PASSWORD, **NO_ROLES, **form}
        assert page.post(reverse("admin:accounts_user_add"), form).status_code == 200
        assert User.objects.count() == 1
        assert page.told() == []

    def test_a_changed_profile_is_told(self, page, bob):
        change(page, bob, username="robert", email="r@example.org")
        assert newest().detail == {"username": ["bob", "robert"], "email": ["", "r@example.org"]}

    def test_saving_without_a_change_tells_nothing(self, page, bob):
        change(page, bob)
        assert page.told() == []

    def test_it_is_deactivated_and_activated(self, page, bob):
        change(page, bob, is_active=None)
        assert not User.objects.get(pk=bob.pk).is_active
        change(page, bob)
        assert User.objects.get(pk=bob.pk).is_active
        assert page.told() == [("account.deactivate", "account:bob"), ("account.activate", "account:bob")]

    def test_groups_are_joined_and_left(self, page, bob):
        night, day = (Group.objects.create(name=name) for name in ("night", "day"))
        bob.groups.add(night)
        change(page, bob, groups=[day.pk])
        assert list(bob.groups.all()) == [day]
        assert page.told() == [("group.join", "group:day"), ("group.leave", "group:night")]

    def test_a_role_is_revoked_below_its_user(self, page, bob):
        RoleGrant.objects.create(user=bob, role="author")
        change(page, bob, **roles_below(bob, delete=["author"]))
        assert not bob.grants.exists()
        assert page.told() == [("role.revoke", "account:bob")]

    def test_a_role_that_is_there_is_never_turned_into_another(self, page, bob):
        grant = RoleGrant.objects.create(user=bob, role="author")
        change(page, bob, **roles_below(bob), **{"grants-0-role": "admin"})
        grant.refresh_from_db()
        assert grant.role == "author"
        assert page.told() == []

    def test_an_environment_is_chosen_among_those_there_are(self, page, bob):
        response = change(page, bob, **roles_below(bob, ("author", "moon")))
        assert "moon is not one of the available choices" in response.content.decode()
        assert not bob.grants.exists()

    def test_no_form_makes_a_superuser(self, page, bob):
        change(page, bob, is_superuser="on", is_staff="", user_permissions=["1"])
        bob.refresh_from_db()
        assert (bob.is_superuser, bob.is_staff, bob.user_permissions.count()) == (False, True, 0)

    def test_nobody_is_deleted(self, page, bob):
        assert page.post(reverse("admin:accounts_user_delete", args=[bob.pk]), {"post": "yes"}).status_code == 403
        form = {"action": "delete_selected", "_selected_action": [bob.pk], "post": "yes"}
        page.post(reverse("admin:accounts_user_changelist"), form)
        assert User.objects.filter(pk=bob.pk).exists()


class TestPasswords:
    def test_an_admin_sets_that_of_another(self, page, bob):
        url = reverse("admin:auth_user_password_change", args=[bob.pk])
        response = page.post(url, {"password1": OTHER_PASSWORD, "password2": OTHER_PASSWORD})
        assert response.status_code == 302
        assert User.objects.get(pk=bob.pk).check_password(OTHER_PASSWORD)
        assert (newest().kind, newest().actor, newest().target) == ("account.password", "ada", "account:bob")

    def test_his_own_leaves_the_admin_logged_in(self, page, ada):
        url = reverse("admin:auth_user_password_change", args=[ada.pk])
        page.post(url, {"password1": OTHER_PASSWORD, "password2": OTHER_PASSWORD})
        assert page.get(url).status_code == 200

    def test_a_password_cannot_be_taken_away(self, page, bob):
        url = reverse("admin:auth_user_password_change", args=[bob.pk])
        page.post(url, {"usable_password": "false", "unset-password": "1"})
        assert page.told() == []


class TestLastAdmin:
    """What is refused leaves all as it was and says why."""

    @pytest.mark.parametrize("way", ["form", "inline", "action", "delete", "bulk"])
    def test_no_way_leads_past_it(self, page, ada, way):
        grant = ada.grants.get()
        users, grants = reverse("admin:accounts_user_changelist"), reverse("admin:accounts_rolegrant_changelist")
        if way == "form":
            response = change(page, ada, is_active=None, first_name="Gone")
        elif way == "inline":
            response = change(page, ada, **roles_below(ada, delete=["admin"]), first_name="Gone")
        elif way == "action":
            response = page.post(users, {"action": "deactivate", "_selected_action": [ada.pk]}, follow=True)
        elif way == "delete":
            response = page.post(
                reverse("admin:accounts_rolegrant_delete", args=[grant.pk]), {"post": "yes"}, follow=True
            )
        else:
            form = {"action": "delete_selected", "_selected_action": [grant.pk], "post": "yes"}
            response = page.post(grants, form, follow=True)
        assert "Nobody could manage accounts any more" in response.content.decode()
        ada.refresh_from_db()
        assert (ada.is_active, ada.first_name, ada.grants.count()) == (True, "", 1)
        assert page.told() == []

    def test_an_admin_is_replaced_in_one_go(self, page, ada):
        RoleGrant.objects.create(user=person("carl"), role="admin")
        change(page, ada, **roles_below(ada, ("viewer", ""), delete=["admin"]))
        assert list(ada.grants.values_list("role", flat=True)) == ["viewer"]


class TestActions:
    def test_they_deactivate_many_and_tell_of_each(self, page, bob):
        carl = person("carl")
        form = {"action": "deactivate", "_selected_action": [bob.pk, carl.pk]}
        page.post(reverse("admin:accounts_user_changelist"), form)
        assert sorted(page.told()) == [("account.deactivate", "account:bob"), ("account.deactivate", "account:carl")]

    def test_one_that_is_refused_undoes_them_all(self, page, ada, bob):
        form = {"action": "deactivate", "_selected_action": [bob.pk, ada.pk]}
        page.post(reverse("admin:accounts_user_changelist"), form)
        assert User.objects.filter(is_active=True).count() == 2
        assert page.told() == []

    def test_those_who_only_look_have_none(self, client, db, bob):
        client.force_login(person("auditor", "auditor"))
        form = {"action": "deactivate", "_selected_action": [bob.pk]}
        client.post(reverse("admin:accounts_user_changelist"), form)
        bob.refresh_from_db()
        assert bob.is_active


class TestGroups:
    def test_their_life_is_told(self, page, bob):
        page.post(reverse("admin:auth_group_add"), {"name": "night", **NO_ROLES})
        group = Group.objects.get()
        bob.groups.add(group)
        page.post(reverse("admin:auth_group_change", args=[group.pk]), {"name": "day", **NO_ROLES})
        page.post(reverse("admin:auth_group_delete", args=[group.pk]), {"post": "yes"})
        assert page.told() == [
            ("group.create", "group:night"),
            ("group.rename", "group:night"),
            ("group.delete", "group:day"),
        ]
        assert newest().detail["members"] == ["bob"]

    def test_many_are_deleted_and_each_is_told(self, page):
        groups = [Group.objects.create(name=name) for name in ("a", "b")]
        form = {"action": "delete_selected", "_selected_action": [each.pk for each in groups], "post": "yes"}
        page.post(reverse("admin:auth_group_changelist"), form)
        assert page.told() == [("group.delete", "group:a"), ("group.delete", "group:b")]


class TestGrants:
    def test_one_is_made_and_taken_back(self, page, bob):
        form = {"user": bob.pk, "group": "", "role": "operator", "environment": "dev"}
        page.post(reverse("admin:accounts_rolegrant_add"), form)
        grant = bob.grants.get()
        assert (grant.role, grant.environment) == ("operator", "dev")
        page.post(reverse("admin:accounts_rolegrant_delete", args=[grant.pk]), {"post": "yes"})
        assert page.told() == [("role.grant", "account:bob"), ("role.revoke", "account:bob")]

    @pytest.mark.parametrize("both", [True, False])
    def test_it_is_to_a_user_or_a_group(self, page, bob, both):
        group = Group.objects.create(name="x")
        form = {
            "user": bob.pk if both else "",
            "group": group.pk if both else "",
            "role": "operator",
            "environment": "",
        }
        response = page.post(reverse("admin:accounts_rolegrant_add"), form)
        assert "Choose a user or a group, one of them." in response.content.decode()
        assert RoleGrant.objects.count() == 1

    def test_many_are_taken_back_and_each_is_told(self, page, bob):
        grants = [RoleGrant.objects.create(user=bob, role=role) for role in ("viewer", "author")]
        form = {"action": "delete_selected", "_selected_action": [each.pk for each in grants], "post": "yes"}
        page.post(reverse("admin:accounts_rolegrant_changelist"), form)
        assert page.told() == [("role.revoke", "account:bob")] * 2
