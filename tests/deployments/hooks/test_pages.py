"""The pages of webhooks: who sees what, what the forms do, and that a secret is shown once."""

import re

import pytest
from django.test import Client

from apps.audit.models import AuditEvent
from apps.deployments.hooks.models import Delivery, Fetch, HookSource, HookTarget, Notice
from apps.environments import variables
from tests.deployments import making
from tests.deployments.hooks import hooking
from tests.deployments.hooks.hooking import github, push, source, take
from tests.portal.people import person

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def keys(settings, tmp_path):
    settings.SECRETS_KEYS_PATH, settings.SECRETS_KEYS = tmp_path / "secrets_keys", ""


def client(role="operator", **scope):
    found = Client()
    found.force_login(person(role, **scope))
    return found


def read(path, who=None):
    return (who or client()).get(path).content.decode()


def form(**more):
    where = making.environment()
    given = {"name": "shop-main", "environment": where.slug, "provider": "github", "branch": "main"}
    return {**given, "repository": "https://github.com/acme/shop.git", "compose_path": "compose.yaml", **more}


def test_a_source_is_added_and_its_secret_shown_once():
    who = client()
    page = who.post("/webhooks/new/in/", form()).content.decode()
    value = variables.revealed(making.environment(), "HOOK_SHOP_MAIN")
    assert re.search(r"whsec_[^<]+", page)[0].replace("&#x2B;", "+") == value
    assert "http://testserver:9001/hooks/shop-main" in page
    for path in ("/webhooks/", "/webhooks/in/shop-main/"):
        assert value not in read(path, who)
    event = AuditEvent.objects.get(kind="hook.add")
    assert (event.target, event.detail["repository"]) == ("hook:shop-main", "https://github.com/acme/shop.git")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"repository": "--upload-pack=x"}, "no address of a repository"),
        ({"branch": "-x"}, "no name of a branch"),
        ({"name": "Shop Main"}, "no name of a hook"),
        ({"compose_path": "../x"}, "no path in a repository"),
        ({"credential": "NOT_THERE"}, "has no secret NOT_THERE"),
        ({"environment": "nowhere"}, "not one of the available choices"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_added(more, said):
    answer = client().post("/webhooks/new/in/", form(**more))
    assert answer.status_code == 422
    assert said in answer.content.decode()
    assert not HookSource.objects.exists()


def test_a_target_is_added_tried_and_switched_off():
    who, where = client(), making.environment()
    given = {
        "name": "chat",
        "environment": where.slug,
        "url": "https://chat.example.org/1",
        "events": "on_deploy_failure",
    }
    assert who.post("/webhooks/new/out/", given).status_code == 200
    target = HookTarget.objects.get()
    assert (target.events, target.is_internal) == (["on_deploy_failure"], False)
    answer = who.post("/webhooks/out/chat/test/")
    assert answer.url == f"/webhooks/notices/{Notice.objects.get().pk}/"
    who.post("/webhooks/out/chat/switch/", {"on": "0"})
    target.refresh_from_db()
    assert not target.enabled
    assert "Switch on" in read("/webhooks/out/chat/", who)


def test_a_delivery_is_shown_with_what_it_started_and_redelivered():
    source()
    body = push(note="<b>bold</b>")
    take(body, github(body))
    delivery, who = Delivery.objects.get(), client()
    page = read(f"/webhooks/deliveries/{delivery.pk}/", who)
    assert "&lt;b&gt;bold" in page
    assert "Fetch the branch" in page
    Fetch.objects.update(attempt=1)
    answer = who.post(f"/webhooks/deliveries/{delivery.pk}/redeliver/")
    made = Delivery.objects.order_by("-id").first()
    assert answer.url == f"/webhooks/deliveries/{made.pk}/"
    assert (made.redelivery_of, made.fetch.pk > delivery.fetch.pk) == (delivery, True)
    assert AuditEvent.objects.get(kind="hook.redeliver").detail["delivery"] == made.pk


def test_what_nobody_signed_has_no_button_and_is_refused():
    source()
    take(push(), github(b"another"))
    delivery, who = Delivery.objects.get(), client()
    assert "Redeliver" not in read(f"/webhooks/deliveries/{delivery.pk}/", who)
    who.post(f"/webhooks/deliveries/{delivery.pk}/redeliver/")
    assert not Fetch.objects.exists()


def test_who_has_rights_elsewhere_sees_and_does_nothing_here():
    source()
    hooking.target("https://chat.example.org/1")
    body = push()
    take(body, github(body))
    who = client("operator", environment="staging")
    making.environment("staging")
    assert "shop-main" not in read("/webhooks/", who)
    delivery = Delivery.objects.get()
    for path in ("/webhooks/in/shop-main/", "/webhooks/out/chat/", f"/webhooks/deliveries/{delivery.pk}/"):
        assert who.get(path).status_code == 403
    assert who.post(f"/webhooks/deliveries/{delivery.pk}/redeliver/").status_code == 403
    assert who.post("/webhooks/new/in/", form(name="mine")).status_code == 422


def test_an_auditor_sees_and_changes_nothing():
    source()
    who = client("auditor")
    page = read("/webhooks/in/shop-main/", who)
    assert "Settings → Webhooks → Add webhook" in page
    assert "Switch off" not in page
    assert who.post("/webhooks/in/shop-main/switch/", {"on": "0"}).status_code == 403


def test_the_list_costs_the_same_however_long_it_is(django_assert_max_num_queries):
    who = client()
    for number in range(5):
        source(f"shop-{number}")
        body = push()
        take(body, github(body), f"shop-{number}")
        hooking.target("https://chat.example.org/1", f"chat-{number}")
    with django_assert_max_num_queries(12):
        assert who.get("/webhooks/").status_code == 200
