"""Pages that cross rooms, and what machines ask."""

from datetime import timedelta

import pytest
from django.urls import reverse

from apps.accounts.models import User
from apps.common import clock
from apps.environments.models import Environment
from apps.jobs.models import Leader, Worker
from apps.runs.models import Run
from tests.portal.people import person, saved

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def folders(settings, tmp_path):
    settings.WORKSPACES = tmp_path


@pytest.fixture
def admin(client):
    user = person("admin")
    client.force_login(user)
    return user


def make_run(version, state="succeeded", **fields):
    now = clock.now()
    ended = {} if state in ("queued", "running") else {"finished_at": now}
    leased = {"lease_expires_at": now + timedelta(seconds=10)} if state == "running" else {}
    dev = Environment.objects.get(slug="dev")
    values = {"flow": version.flow, "version": version, "environment": dev, "logical_time": now, "queued_at": now}
    started = now - timedelta(seconds=3)
    return Run.objects.create(**{**values, "state": state, "started_at": started, **ended, **leased, **fields})


def alive():
    now = clock.now()
    Worker.objects.create(name="worker@box", host="box", pid=1, queues=["flows.dev"], started_at=now, seen_at=now)
    Leader.objects.create(role="controller", holder="x", expires_at=now + timedelta(seconds=9), ticked_at=now)


def overview(client):
    return client.get(reverse("portal:overview")).content.decode()


class TestOverview:
    def test_it_says_that_no_worker_is_alive_and_what_to_do(self, client, admin):
        page = overview(client)
        assert "No worker is alive" in page
        assert "make run" in page

    def test_it_says_that_the_controller_is_late(self, client, admin):
        alive()
        assert "controller" not in overview(client).split('class="stats"')[0].split("<h1")[1]
        Leader.objects.update(ticked_at=clock.now() - timedelta(minutes=5))
        assert "last pass ended" in overview(client)

    def test_a_failure_needs_attention_until_a_later_run_is_well(self, client, admin):
        version = saved(admin)
        failed = make_run(version, "failed", message="no such file")
        assert f"Open run #{failed.pk}" in overview(client)
        assert "no such file" in overview(client)
        make_run(version)
        assert f"Open run #{failed.pk}" not in overview(client)

    def test_a_lost_run_needs_attention(self, client, admin):
        make_run(saved(admin), "running", lease_expires_at=clock.now() - timedelta(seconds=1))
        assert "orders is lost in" in overview(client)

    def test_figures_speak_of_the_last_day(self, client, admin):
        version = saved(admin)
        for state in ("succeeded", "succeeded", "succeeded", "failed"):
            make_run(version, state)
        make_run(version, "failed", finished_at=clock.now() - timedelta(hours=30))
        page = client.get(reverse("portal:overview"))
        assert page.context["day"].success == 0.75
        assert page.context["day"].failed == 1
        assert '<svg class="day-bars"' in page.content.decode()

    def test_its_queries_do_not_grow_with_flows_and_runs(self, client, admin, django_assert_max_num_queries):
        make_run(saved(admin))
        overview(client)
        with django_assert_max_num_queries(60) as few:
            overview(client)
        for number in range(6):
            version = saved(admin, f"flow_{number}")
            for state in ("succeeded", "failed", "queued"):
                make_run(version, state)
        with django_assert_max_num_queries(len(few)):
            overview(client)


class TestSearch:
    def test_it_finds_flows_by_words_and_runs_by_number(self, client, admin):
        run = make_run(saved(admin), "failed", message="the disk is full")
        for query in ("orders", "counts", str(run.pk), f"#{run.pk}", "disk"):
            found = client.get(reverse("portal:search"), {"q": query}).context
            assert found["flows"] or found["runs"], query

    @pytest.mark.parametrize(
        "query", ["", "%", "\0", "'; drop table", "9" * 40, "x" * 5000, "<script>alert(1)</script>"]
    )
    def test_no_words_break_it(self, client, admin, query):
        saved(admin)
        answer = client.get(reverse("portal:search"), {"q": query})
        assert answer.status_code == 200
        assert "<script>alert" not in answer.content.decode()


class TestAudit:
    def test_it_shows_who_did_what_newest_first(self, client, admin):
        saved(admin)
        page = client.get(reverse("portal:audit")).content.decode()
        assert "flow.save" in page
        assert "flow:orders" in page

    def test_it_is_for_auditors_and_admins(self, client):
        for role, status in (("auditor", 200), ("operator", 403), ("viewer", 403)):
            client.force_login(person(role))
            assert client.get(reverse("portal:audit")).status_code == status

    def test_it_filters(self, client, admin):
        saved(admin)
        saved(admin, "visits")
        events = client.get(reverse("portal:audit"), {"q": "flow:visits"}).context["events"]
        assert [row.target for row, _ in events] == ["flow:visits"]

    def test_its_queries_do_not_grow_with_its_rows(self, client, admin, django_assert_max_num_queries):
        client.get(reverse("portal:audit"))
        with django_assert_max_num_queries(30) as few:
            client.get(reverse("portal:audit"))
        for number in range(10):
            saved(admin, f"f{number}")
        with django_assert_max_num_queries(len(few)):
            client.get(reverse("portal:audit"))


class TestEnvironments:
    def test_it_shows_workers_and_says_where_there_are_none(self, client, admin):
        address = reverse("portal:environments")
        assert "none alive" in client.get(address).content.decode()
        alive()
        assert "worker@box" in client.get(address).content.decode()

    def test_its_queries_do_not_grow_with_its_rows(self, client, admin, django_assert_max_num_queries):
        address = reverse("portal:environments")
        version = saved(admin)
        make_run(version)
        with django_assert_max_num_queries(30) as few:
            client.get(address)
        for number in range(5):
            other = Environment.objects.create(slug=f"e{number}", name=f"E{number}", position=number)
            make_run(version, environment=other)
        with django_assert_max_num_queries(len(few)):
            client.get(address)


class TestMachines:
    def test_healthz_answers_without_the_database(self, client, django_assert_num_queries):
        with django_assert_num_queries(0):
            assert client.get("/healthz").status_code == 200

    def test_readyz_gives_reasons_until_the_controller_has_passed(self, client):
        answer = client.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["reasons"]
        alive()
        ready = client.get("/readyz")
        assert ready.status_code == 200
        assert ready.json()["workers"] == ["worker@box"]

    def test_metrics_are_for_this_machine(self, client):
        assert b"flowcontrol_" in client.get("/metrics").content
        assert client.get("/metrics", REMOTE_ADDR="10.1.2.3").status_code == 403
        assert client.get("/metrics", REMOTE_ADDR="nonsense").status_code == 403

    def test_a_scraper_with_the_token_gets_metrics_from_anywhere(self, client, settings):
        settings.METRICS_TOKEN = "a-long-token"

        def status(authorization):
            headers = {"X-Forwarded-For": "192.0.2.1", "Authorization": authorization}
            return client.get("/metrics", headers=headers).status_code

        assert status("Bearer a-long-token") == 200
        assert status("Bearer another") == 403
        assert status("Bearer ") == 403
        assert status("a-long-token") == 403
        assert status("Bearer \u00fcber") == 403

    def test_without_a_token_nobody_gets_metrics_by_an_empty_one(self, client):
        headers = {"X-Forwarded-For": "192.0.2.1", "Authorization": "Bearer "}
        assert client.get("/metrics", headers=headers).status_code == 403

    def test_behind_a_proxy_only_an_account_gets_metrics(self, client, settings):
        assert client.get("/metrics", headers={"X-Forwarded-For": "127.0.0.1"}).status_code == 403
        settings.BEHIND_TLS = True
        assert client.get("/metrics", secure=True).status_code == 403
        client.force_login(person("operator"))
        assert client.get("/metrics", secure=True).status_code == 200
        client.force_login(person("viewer"))
        assert client.get("/metrics", secure=True).status_code == 403


class TestFrame:
    def test_a_wrong_password_is_told_in_plain_words(self, client):
        page = client.post("/admin/login/", {"username": "nobody", "password": "wrong"}).content.decode()
        assert "Name and password do not fit together." in page

    def test_a_stranger_is_led_to_the_login_and_back(self, client):
        answer = client.get("/flows/?q=x")
        assert answer.status_code == 302
        assert "/login/" in answer.url
        assert "next=/flows/" in answer.url

    def test_the_sidebar_shows_what_one_may_see(self, client):
        client.force_login(person("viewer"))
        page = overview(client)
        assert reverse("flows:list") in page
        assert reverse("portal:audit") not in page

    def test_no_page_has_a_script_or_style_of_its_own_within(self, client, admin):
        """The content policy forbids inline scripts; unfold's one style sheet of colours is the exception."""
        page = overview(client)
        assert "default-src 'self'" in client.get("/")["Content-Security-Policy"]
        assert page.count("<style") == page.count('<style id="unfold-theme-colors"')
        assert all("src=" in tag.split(">")[0] for tag in page.split("<script")[1:])

    def test_an_account_without_a_role_is_told_why_it_may_not(self, client):
        client.force_login(User.objects.create_user("stranger"))
        answer = client.get("/flows/")
        assert answer.status_code == 403
        assert "stranger" in answer.content.decode()
        assert "Ask an admin" in answer.content.decode()


def test_a_form_that_has_expired_says_what_to_do(admin):
    from django.test import Client

    strict = Client(enforce_csrf_checks=True)
    strict.force_login(admin)
    answer = strict.post(reverse("flows:check"), {"text": "x"})
    assert answer.status_code == 403
    assert "reload the page" in answer.content.decode()
