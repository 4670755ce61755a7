"""Every address by every role: what routes.py says is what the house answers, and nothing is left out."""

import pytest
from django.contrib import admin
from django.test import override_settings
from django.urls import path, reverse

from apps.accounts import policy
from apps.bridge.protocol import Bridge
from apps.bridge.records import CaseRecord
from flowcontrol.urls import urlpatterns as house_urls
from tests.house import walking, world
from tests.house.routes import ADMIN, EVERYBODY, IN_STAGING, INSPECTORS, ROUTES, SHOWN_TO
from tests.house.walking import MAY, MAY_NOT, NO_SUCH_METHOD

# The last pattern of the admin answers what is no address; see test_what_is_no_address_of_the_admin_is_no_way_in.
CATCH_ALL = "admin/(?P<url>.*)$"


@pytest.fixture
def house(db, settings, tmp_path, bridge_data):
    settings.WORKSPACES = tmp_path
    bridge = Bridge(bridge_data, "dev")
    bridge.init()
    bridge.begin_layer("L1")
    bridge.record(CaseRecord("it is there", "passed"))
    return world.build()


def test_every_address_is_listed():
    listed = {each.name for each in ROUTES} | walking.admin_routes().keys() | {CATCH_ALL}
    real = {each.name for each in walking.routes()}
    assert real - listed == set(), "add a line for each to tests/house/routes.py"
    assert listed - real == set(), "these are gone: take them out of tests/house/routes.py"


def test_every_view_outside_of_the_admin_names_an_action_that_there_is():
    for each in walking.routes():
        if not each.pattern.startswith("admin/"):
            action = getattr(each.view, "policy_action", "")
            assert action in policy.ACTIONS or action.startswith("public: "), each


def test_each_address_answers_each_role_as_listed(house):
    wrong = []
    for route in (*ROUTES, *IN_STAGING):
        args = {name: value.format(**house.values) for name, value in route.args.items()}
        url = reverse(route.name, kwargs=args) + route.query.format(**house.values)
        for method, who in (("get", route.get), ("post", route.post)):
            for person in sorted(EVERYBODY):
                expected = [MAY_NOT, NO_SUCH_METHOD] if who is None else [MAY] if person in who else [MAY_NOT]
                answer, status = walking.asked(house.clients[person], method, url)
                there = status != 404 or route.missing
                if answer not in expected or not there:
                    wrong.append(
                        f"{method.upper()} {route.name} {url}: {person} {answer} ({status}), listed: {' or '.join(expected)}"
                    )
    assert not wrong, "\n".join(wrong)


def test_each_model_in_the_admin_answers_each_role_as_listed(house):
    wrong = []
    for name, (label, verb) in walking.admin_routes().items():
        if verb == "lead to change":
            continue
        url = _admin_url(name, label, verb)
        for method in ("get", "post"):
            who = _who(label, verb, method)
            for person in sorted(EVERYBODY):
                expected = MAY if person in who else MAY_NOT
                answer, status = walking.asked(house.clients[person], method, url)
                if answer != expected:
                    wrong.append(f"{method.upper()} {url}: {person} {answer} ({status}), listed: {expected}")
    assert not wrong, "\n".join(wrong)


def _admin_url(name: str, label: str, verb: str) -> str:
    if verb in ("changelist", "add"):
        return reverse(name)
    model = next(model for model in admin.site._registry if model._meta.label_lower == label)
    row = model._default_manager.order_by("pk").first()
    return reverse(name, args=[row.pk if row else 1])


def _who(label: str, verb: str, method: str) -> frozenset[str]:
    viewers = SHOWN_TO.get(label, INSPECTORS)
    changed_by = ADMIN.get(label, {})
    if verb in ("add", "delete"):
        return changed_by.get(verb, frozenset())
    if verb == "change" and method == "post":
        return changed_by.get("change", frozenset())
    return viewers


def test_what_is_no_address_of_the_admin_is_no_way_in(house):
    for person in sorted(EVERYBODY):
        answer, status = walking.asked(house.clients[person], "get", "/admin/no/such/page/")
        assert (answer == MAY) == (person in INSPECTORS), person
        assert status in (302, 403, 404)


def test_the_short_address_of_a_row_is_guarded_like_the_row(house):
    for person in sorted(EVERYBODY):
        answer, _ = walking.asked(house.clients[person], "get", "/admin/runs/run/1/")
        assert (answer == MAY) == (person in INSPECTORS), person


# --- a view that nobody guarded -----------------------------------------------------------------


def unguarded(request):
    raise AssertionError("this view may never be called")


urlpatterns = [*house_urls, path("unguarded/", unguarded, name="unguarded")]


@override_settings(ROOT_URLCONF=__name__)
def test_a_view_without_a_policy_is_refused_to_everybody(house):
    for person in sorted(EVERYBODY):
        assert house.clients[person].get("/unguarded/").status_code == 403, person
    assert {each.name for each in walking.routes()} - {each.name for each in ROUTES} >= {"unguarded"}
