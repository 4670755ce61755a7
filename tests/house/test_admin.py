"""The admin: what machines keep is read-only there, whoever asks; what people change is audited."""

import pytest
from django.contrib import admin
from django.contrib.admin.sites import all_sites
from django.test import RequestFactory
from unfold.admin import ModelAdmin

from apps.accounts import policy
from apps.accounts.models import Role, RoleGrant, User
from tests.house.routes import ADMIN

REGISTERED = sorted(admin.site._registry.items(), key=lambda each: each[0]._meta.label)
KEPT_BY_MACHINES = [each for each in REGISTERED if each[0]._meta.label_lower not in ADMIN]


@pytest.fixture(params=["admin role", "superuser"])
def mightiest(request, db):
    user = User.objects.create_user("root", is_superuser=request.param == "superuser")
    RoleGrant.objects.create(user=user, role=Role.ADMIN)
    return user


def test_there_is_one_admin():
    assert list(all_sites) == [admin.site]


def test_what_people_may_change_is_what_is_listed():
    assert policy.MANAGED.keys() == ADMIN.keys()
    assert ADMIN.keys() <= {model._meta.label_lower for model, _ in REGISTERED}


@pytest.mark.parametrize(("model", "page"), KEPT_BY_MACHINES, ids=lambda each: getattr(each, "__name__", ""))
def test_what_machines_keep_nobody_changes(model, page, mightiest):
    request = RequestFactory().get("/")
    request.user = mightiest
    assert page.has_view_permission(request)
    may = [page.has_add_permission(request), page.has_change_permission(request), page.has_delete_permission(request)]
    assert may == [False, False, False]
    assert page.get_actions(request) == {}
    assert not page.get_inline_instances(request)
    assert not getattr(page, "list_editable", ())


def test_every_page_has_the_design_of_the_house():
    assert [model._meta.label for model, page in REGISTERED if not isinstance(page, ModelAdmin)] == []


def test_every_model_of_the_house_that_holds_state_can_be_looked_at():
    from django.apps import apps
    from django.conf import settings

    shown = {model for model, _ in REGISTERED}
    models = {
        model for room in settings.ROOMS for model in apps.get_app_config(room.removeprefix("apps.")).get_models()
    }
    assert {model._meta.label for model in models - shown} == {"audit.AuditHead"}
