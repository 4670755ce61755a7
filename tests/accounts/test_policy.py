"""Who may do what, where; and that nothing is open by oversight."""

import pytest
from django.contrib.auth.models import AnonymousUser, Group
from django.http import HttpResponse
from django.template import Context, Template
from django.test import RequestFactory
from django.views import View

from apps.accounts import policy
from apps.accounts.actors import CommandLine
from apps.accounts.models import Role, RoleGrant
from apps.audit.actors import SYSTEM, Actor
from apps.environments.models import Environment
from tests.accounts.people import person

ROLES = list(Role)
IN_DEV_ONLY = policy.Rule("try things", frozenset({Role.OPERATOR, Role.ADMIN}), in_dev=frozenset({Role.AUTHOR}))
EVERYWHERE_ONLY = policy.Rule("touch all", frozenset({Role.ADMIN}), everywhere=True)


@pytest.fixture(autouse=True)
def own_actions(monkeypatch):
    monkeypatch.setattr(policy, "ACTIONS", {**policy.ACTIONS, "try": IN_DEV_ONLY, "touch": EVERYWHERE_ONLY})


@pytest.mark.parametrize("role", ROLES)
def test_each_role_may_what_its_rules_say_and_nothing_else(db, role):
    user = person("somebody", role)
    for action, rule in policy.ACTIONS.items():
        assert policy.allowed(user, action, "dev") == (role in rule.roles | rule.in_dev), action
        assert policy.allowed(user, action, "production") == (role in rule.roles), action


@pytest.mark.parametrize("user", [AnonymousUser(), Actor("ada"), Actor("x", "cli"), None])
def test_who_is_not_known_may_nothing(user):
    assert not any(policy.allowed(user, action) for action in policy.ACTIONS)


def test_an_account_without_a_role_may_nothing(bob):
    assert not any(policy.allowed(bob, action) for action in policy.ACTIONS)


def test_an_account_that_is_deactivated_may_nothing(db):
    user = person("gone", "admin", is_active=False, is_superuser=True)
    assert not any(policy.allowed(user, action) for action in policy.ACTIONS)


def test_the_system_may_everything():
    assert all(policy.allowed(SYSTEM, action) for action in policy.ACTIONS)


def test_a_superuser_may_what_admins_may_and_no_more(db, monkeypatch):
    user = person("root", is_superuser=True)
    monkeypatch.setitem(policy.ACTIONS, "odd", policy.Rule("do what no admin may", frozenset({Role.AUDITOR})))
    for action, rule in policy.ACTIONS.items():
        assert policy.allowed(user, action, "production") == (Role.ADMIN in rule.roles), action


def test_an_action_that_has_no_name_is_an_error_and_not_an_answer(ada):
    with pytest.raises(KeyError):
        policy.allowed(ada, "flows.burn")


class TestEnvironments:
    def test_a_role_in_one_environment_counts_there_alone(self, db):
        user = person("somebody", "operator", "staging")
        assert policy.allowed(user, "try", "staging")
        assert not policy.allowed(user, "try", "dev")
        assert not policy.allowed(user, "try", "production")

    def test_asked_without_an_environment_it_is_whether_in_any(self, db):
        assert policy.allowed(person("somebody", "operator", "staging"), "try")

    def test_an_author_may_in_dev_what_others_may_everywhere(self, db):
        user = person("somebody", "author")
        assert policy.allowed(user, "try", "dev")
        assert policy.allowed(user, "try")
        assert not policy.allowed(user, "try", "staging")

    def test_an_author_of_staging_may_not_in_dev(self, db):
        user = person("somebody", "author", "staging")
        assert not policy.allowed(user, "try", "dev")
        assert not policy.allowed(user, "try", "staging")
        assert not policy.allowed(user, "try")

    @pytest.mark.parametrize("action", ["accounts.manage", "audit.view", "admin.view", "touch"])
    def test_an_admin_of_one_environment_does_not_rule_the_house(self, db, action):
        user = person("somebody", "admin", "staging")
        assert not policy.allowed(user, action)
        assert not policy.allowed(user, action, "staging")


class TestGroups:
    def test_a_role_of_a_group_is_a_role_of_its_members(self, bob):
        group = Group.objects.create(name="night shift")
        RoleGrant.objects.create(group=group, role=Role.OPERATOR, environment="staging")
        bob.groups.add(group)
        assert policy.allowed(bob, "try", "staging")
        assert not policy.allowed(bob, "try", "dev")

    def test_all_rights_take_one_query(self, bob, django_assert_num_queries):
        with django_assert_num_queries(1):
            for action in policy.ACTIONS:
                policy.allowed(bob, action, "dev")


class TestCheck:
    def test_it_says_nothing_to_those_who_may(self, ada):
        policy.check(ada, "accounts.manage")

    def test_it_says_what_where_and_who_may(self, bob):
        with pytest.raises(policy.Denied) as denied:
            policy.check(bob, "try", "staging")
        assert denied.value.message == "You may not try things in staging."
        assert denied.value.hint == "It takes one of these roles: Author, Operator, Admin. Ask an admin."


class TestCommandLine:
    @pytest.mark.parametrize("rights", [True, False])
    def test_settings_give_it_all_rights_or_none(self, settings, rights):
        settings.CLI_HAS_RIGHTS = rights
        assert policy.allowed(CommandLine("cli:ops", "cli"), "try", "production") is rights


class TestRegister:
    def test_saying_the_same_twice_is_fine(self):
        policy.register({"try": IN_DEV_ONLY})

    def test_a_name_has_one_meaning(self):
        with pytest.raises(AssertionError, match="twice"):
            policy.register({"try": policy.Rule("try harder", frozenset())})

    def test_a_room_names_what_its_models_take(self, ada, bob, monkeypatch):
        monkeypatch.setattr(policy, "MANAGED", {})
        monkeypatch.setattr(policy, "SHOWN", {})
        policy.register({}, managed={"runs.schedule": "accounts.manage"}, shown={"runs.run": "audit.view"})
        assert ada.has_perm("runs.change_schedule")
        assert ada.has_perm("runs.view_run")
        assert not ada.has_perm("runs.change_run")
        assert not bob.has_perm("runs.view_run")


def ask(view, user, **headers):
    request = RequestFactory().get("/page/?a=1", headers=headers)
    request.user = user
    return view(request)


def answer(request):
    return HttpResponse("the page")


class Page(View):
    def get(self, request):
        return HttpResponse("the page")


@pytest.mark.parametrize(
    "make",
    [lambda mark: mark(answer), lambda mark: mark(type("Own", (Page,), {})).as_view()],
    ids=["function", "class"],
)
class TestViews:
    def test_who_may_gets_the_page(self, ada, make):
        assert ask(make(policy.guard("try")), ada).content == b"the page"

    def test_who_may_not_is_refused(self, bob, make):
        with pytest.raises(policy.Denied):
            ask(make(policy.guard("try")), bob)

    def test_a_stranger_goes_to_the_login_page_and_back(self, make):
        response = ask(make(policy.guard("try")), AnonymousUser())
        assert (response.status_code, response["Location"]) == (302, "/admin/login/?next=/page/%3Fa%3D1")

    def test_a_fragment_takes_the_whole_page_to_the_login_page(self, make):
        headers = {"HX-Request": "true", "HX-Current-URL": "http://testserver/runs/1/"}
        response = ask(make(policy.guard("try")), AnonymousUser(), **headers)
        assert response["HX-Redirect"] == "/admin/login/?next=http%3A//testserver/runs/1/"

    def test_a_public_page_is_for_everybody(self, make):
        assert ask(make(policy.public("it tells nothing")), AnonymousUser()).content == b"the page"

    @pytest.mark.parametrize("mark", [policy.guard("try"), policy.public("a reason")])
    def test_the_view_carries_its_policy_for_the_middleware(self, make, mark):
        assert make(mark).policy_action in ("try", "public: a reason")


def test_a_view_that_does_not_wait_cannot_be_guarded():
    async def view(request):
        return HttpResponse()

    with pytest.raises(AssertionError, match="plain function"):
        policy.guard("try")(view)


class TestTag:
    @pytest.mark.parametrize(("role", "shown"), [("author", "no"), ("operator", "yes")])
    def test_it_answers_for_the_reader_in_an_environment(self, db, role, shown):
        request = RequestFactory().get("/")
        request.user = person("somebody", role)
        page = Template('{% load rights %}{% can "try" where as may %}{{ may|yesno }}')
        for where in ("staging", Environment(slug="staging")):
            assert page.render(Context({"request": request, "where": where})) == shown

    def test_without_an_environment_it_is_whether_in_any(self, db):
        request = RequestFactory().get("/")
        request.user = person("somebody", "author")
        assert (
            Template('{% load rights %}{% can "try" as may %}{{ may|yesno }}').render(Context({"request": request}))
            == "yes"
        )


class TestDjangosPermissions:
    def test_rows_of_permissions_give_nobody_anything(self, bob):
        from django.contrib.auth.models import Permission

        bob.user_permissions.set(Permission.objects.all())
        assert not bob.has_perm("accounts.change_user")
        assert bob.get_all_permissions() == set()

    def test_a_superuser_changes_nothing_that_machines_keep(self, db):
        root = person("root", is_superuser=True)
        assert root.has_perm("accounts.change_user")
        assert root.has_perm("runs.view_run")
        assert not root.has_perm("runs.change_run")
        assert not root.has_perm("audit.delete_auditevent")

    @pytest.mark.parametrize(
        ("role", "may"), [("operator", False), ("auditor", True), ("admin", True), ("viewer", False)]
    )
    def test_the_audit_is_for_those_who_read_it(self, db, role, may):
        assert person("somebody", role).has_perm("audit.view_auditevent") is may

    def test_a_model_with_an_underscore_in_its_permission_is_told_apart(self, ada):
        assert ada.has_perm("django_celery_beat.view_periodictask")
        assert not ada.has_perm("django_celery_beat.change_periodictask")


def test_every_rule_reads_as_a_sentence():
    for action, rule in policy.ACTIONS.items():
        assert rule.label[0].islower(), action
        assert not rule.label.endswith("."), action
