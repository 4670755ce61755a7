"""Coming and going: told in the audit, slowed down when guessed at, and over when an account is."""

import asyncio
import re

import pytest
from django.test import AsyncClient, Client
from django.urls import reverse

from apps.accounts import actions
from apps.accounts.middleware import CONTENT_POLICY
from apps.accounts.models import Role
from apps.audit.models import AuditEvent
from tests.accounts.people import OTHER_PASSWORD, PASSWORD, newest, person, told

LOGIN = "/admin/login/?next=/flows/"


def log_in(client, name="eve", password=PASSWORD):
    return client.post(LOGIN, {"username": name, "password": password})


@pytest.fixture
def eve(db):
    return person("eve", "viewer", password=PASSWORD)


class TestLogin:
    def test_it_leads_to_the_page_that_was_asked_for_and_is_told(self, client, eve):
        response = log_in(client)
        assert (response.status_code, response["Location"]) == (302, "/flows/")
        assert client.get("/flows/").status_code == 200
        assert told() == [("account.login", "eve", "account:eve")]

    @pytest.mark.parametrize("role", Role)
    def test_without_a_page_asked_for_it_leads_to_one_that_the_role_may_see(self, client, db, role):
        person("somebody", role, password=PASSWORD)
        response = client.post("/admin/login/", {"username": "somebody", "password": PASSWORD}, follow=True)
        assert response.status_code == 200
        assert response.request["PATH_INFO"] in ("/", "/admin/")

    def test_it_does_not_lead_elsewhere(self, client, eve):
        response = client.post("/admin/login/?next=https://evil.example/", {"username": "eve", "password": PASSWORD})
        assert response["Location"] == "/"

    def test_logging_out_is_told_and_ends_the_session(self, client, eve):
        log_in(client)
        client.post(reverse("admin:logout"))
        assert newest().kind == "account.logout"
        assert client.get("/flows/").status_code == 302

    def test_nobody_comes_in_who_cannot_be_told_of(self, client, eve, monkeypatch):
        def refuse(*args, **kwargs):
            raise OSError("disk full")

        monkeypatch.setattr("apps.accounts.signals.record", refuse)
        with pytest.raises(OSError, match="disk full"):
            log_in(client)
        monkeypatch.undo()
        assert client.get("/flows/").status_code == 302


class TestFailures:
    def test_a_wrong_password_is_told_without_the_password_and_by_nobody(self, client, eve):
        assert log_in(client, password="guess guess").status_code == 200
        event = newest()
        assert (event.kind, event.actor, event.actor_kind, event.target) == (
            "account.login_failed",
            "anonymous",
            "anonymous",
            "account:eve",
        )
        assert "guess" not in str(AuditEvent.objects.values())

    @pytest.mark.parametrize("name", ["nobody-of-that-name", "x" * 5000, "é" * 300])
    def test_any_name_is_told_cut_to_a_length(self, client, eve, name):
        log_in(client, name=name)
        assert newest().kind == "account.login_failed"
        assert len(newest().target) <= len("account:") + 100

    def test_after_ten_it_is_locked_for_a_while_for_the_right_password_too(self, client, eve):
        for _ in range(9):
            assert log_in(client, password="guess").status_code == 200
        locked = log_in(client, password="guess")
        assert locked.status_code == 429
        assert "Too many wrong passwords" in locked.content.decode()
        assert "15 minutes" in locked.content.decode()
        assert log_in(client).status_code == 429
        assert client.get("/flows/").status_code == 302

    def test_the_lock_is_told_once_and_what_is_tried_under_it_is_not(self, client, eve):
        for _ in range(15):
            log_in(client, password="guess")
        kinds = [kind for kind, _, _ in told()]
        assert kinds == ["account.login_failed"] * 10 + ["account.lockout"]

    def test_others_are_not_locked_out_by_it(self, client, eve):
        person("carl", "viewer", password=PASSWORD)
        for _ in range(11):
            log_in(client, password="guess")
        assert log_in(Client(), name="carl").status_code == 302
        assert log_in(Client(REMOTE_ADDR="192.0.2.7")).status_code == 302

    def test_an_admin_unlocks(self, client, ada, eve):
        for _ in range(11):
            log_in(client, password="guess")
        assert actions.unlock_user(by=ada, user=eve) == 1
        assert newest().kind == "account.unlock"
        assert log_in(client).status_code == 302

    @pytest.mark.django_db(transaction=True)
    def test_the_page_says_the_same_under_asgi(self):
        person("eve", "viewer", password=PASSWORD)
        client = AsyncClient()

        async def guess():
            return [await client.post(LOGIN, {"username": "eve", "password": "guess"}) for _ in range(10)]

        answers = asyncio.run(guess())
        assert [each.status_code for each in answers] == [200] * 9 + [429]
        assert "Too many wrong passwords" in answers[-1].content.decode()


class TestSessions:
    def test_a_deactivated_account_is_out_at_once_and_activating_it_brings_no_session_back(self, client, ada, eve):
        log_in(client)
        actions.deactivate_user(by=ada, user=eve)
        assert client.get("/flows/").status_code == 302
        actions.activate_user(by=ada, user=eve)
        assert client.get("/flows/").status_code == 302
        assert log_in(client).status_code == 302

    def test_activating_again_does_not_bring_a_session_back_that_was_not_used_meanwhile(self, client, ada, eve):
        log_in(client)
        actions.deactivate_user(by=ada, user=eve)
        actions.activate_user(by=ada, user=eve)
        assert client.get("/flows/").status_code == 302

    def test_a_new_password_ends_the_sessions_made_with_the_old(self, client, ada, eve):
        log_in(client)
        actions.set_password(by=ada, user=eve, password=OTHER_PASSWORD)
        assert client.get("/flows/").status_code == 302

    def test_a_role_that_is_revoked_is_gone_with_the_next_request(self, client, ada, eve):
        log_in(client)
        actions.revoke_role(by=ada, grant=eve.grants.get())
        assert client.get("/flows/").status_code == 403


@pytest.mark.parametrize("role", [*Role, None])
def test_everybody_changes_his_own_password_and_stays_in(client, db, role):
    person("somebody", role, password=PASSWORD)
    elsewhere = Client()
    for each in (client, elsewhere):
        log_in(each, name="somebody")
    form = {"old_password": PASSWORD, "new_password1": OTHER_PASSWORD, "new_password2": OTHER_PASSWORD}
    response = client.post(reverse("admin:password_change"), form, follow=True)
    assert response.request["PATH_INFO"] == reverse("admin:password_change_done")
    assert newest().kind == "account.password"
    assert client.get(reverse("admin:password_change")).status_code == 200
    assert elsewhere.get(reverse("admin:password_change")).status_code == 302


def test_a_wrong_old_password_changes_nothing(client, eve):
    log_in(client)
    form = {"old_password": "guess", "new_password1": OTHER_PASSWORD, "new_password2": OTHER_PASSWORD}
    assert client.post(reverse("admin:password_change"), form).status_code == 200
    assert newest().kind == "account.login"


@pytest.mark.parametrize("url", ["/", "/admin/login/", "/healthz", "/no/such/page/", "/static/portal/portal.css"])
def test_every_answer_says_what_a_browser_may_load(client, db, url):
    headers = client.get(url, REMOTE_ADDR="192.0.2.1").headers
    assert headers["Content-Security-Policy"] == CONTENT_POLICY
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_the_policy_for_browsers_is_strict_but_where_the_design_needs_more():
    rules = dict(rule.strip().split(" ", 1) for rule in CONTENT_POLICY.split(";"))
    assert rules == {
        "default-src": "'self'",
        "script-src": "'self' 'unsafe-eval'",
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data:",
        "object-src": "'none'",
        "frame-ancestors": "'none'",
        "base-uri": "'self'",
        "form-action": "'self'",
    }


def test_no_page_of_a_login_carries_a_script_of_its_own(client, eve):
    """'unsafe-inline' is not allowed for scripts: one in the page would be dead."""
    pages = [client.get("/admin/login/").content.decode()]
    log_in(client)
    pages += [client.get(url).content.decode() for url in ("/", reverse("admin:password_change"))]
    for page in pages:
        scripts = re.findall(r"<script(?![^>]*\bsrc=)(?![^>]*application/json)[^>]*>(.*?)</script>", page, re.DOTALL)
        assert [each for each in scripts if each.strip()] == []
        assert not re.findall(r"\son(click|load|submit|change|error)=", page)
