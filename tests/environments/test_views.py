"""Pages of environments and of changes of their stacks: what they say, to whom, and what each costs."""

import json
import uuid
from datetime import timedelta

import pytest
from django.contrib.messages import get_messages
from django.urls import reverse

from apps.audit.models import AuditEvent
from apps.common import clock
from apps.environments import answering, standing
from apps.environments.models import Environment, StackJob
from apps.environments.stages import stack
from apps.jobs import events, messages
from tests.environments import stacks
from tests.factories import RunFactory
from tests.portal.people import person

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator(client):
    user = person("operator")
    client.force_login(user)
    return user


@pytest.fixture
def shop():
    return stacks.environment()


def page(client, name, *args, status=200, query=""):
    response = client.get(reverse(f"environments:{name}", args=args) + query)
    assert response.status_code == status
    text = response.content.decode()
    assert status != 200 or "<h1" in text or "hx-swap-oob" in text, "a page that lost its middle has no headline"
    return text


# --- an environment -------------------------------------------------------------------------------------


def test_it_shows_each_service_with_what_it_uses(client, operator, shop):
    stacks.service(shop, "web", cpu=0.25, cpu_limit=0.5, memory_bytes=3 * 1024**2, memory_limit_bytes=4 * 1024**2,
                   ports=["127.0.0.1:8080->80/tcp"], restarts=7)  # fmt: skip
    stacks.service(shop, "mail", state="exited", health="", exit_code=3)
    text = page(client, "detail", "shop")
    assert "1 of 2 services healthy" in text
    assert 'state-unhealthy">unhealthy' in text
    for part in ("0.25", "of 0.5", 'value="0.5"', 'value="0.75"', "3.0 MiB", "of 4.0 MiB", "127.0.0.1:8080-&gt;80/tcp"):
        assert part in text
    assert "exit code 3" in text
    assert reverse("environments:logs", args=["shop", "web"]) in text
    assert "/srv/shop.yaml" in text


def test_the_live_part_is_a_fragment_of_the_same(client, operator, shop):
    stacks.service(shop)
    text = page(client, "live", "shop")
    assert "<html" not in text
    assert "shop-web-1" in text
    assert text.count("hx-swap-oob") == 3


def test_it_says_as_of_when_where_the_engine_no_longer_answers(client, operator, shop):
    stacks.service(shop)
    Environment.objects.filter(pk=shop.pk).update(
        engine_seen_at=clock.now() - timedelta(minutes=5), engine_error="No Docker Engine answers on this machine: x."
    )
    text = page(client, "detail", "shop")
    assert "the engine has not answered since" in text
    assert "No Docker Engine answers on this machine: x." in text
    assert 'state-unknown">unknown' in text
    assert "1 of 1 service healthy when last seen" in text


def test_an_environment_without_a_stack_says_what_to_do(client, operator, shop):
    text = page(client, "detail", "shop")
    assert "No stack has been seen." in text
    assert "Nobody with Docker is alive" in text
    stacks.docker_worker()
    text = page(client, "detail", "shop")
    assert "environment up shop" in text
    assert "disabled" not in text.split('id="stack-actions"')[1].split("</div>")[0]


@pytest.mark.parametrize(
    ("services", "word"),
    [
        ([{}, {}], "healthy"),
        ([{}, {"health": "starting"}], "starting"),
        ([{}, {"health": "unhealthy"}], "unhealthy"),
        ([{}, {"state": "restarting", "health": ""}], "unhealthy"),
        ([{}, {"state": "exited", "health": "", "exit_code": 0}], "healthy"),  # its work is done
        ([{}, {"state": "exited", "health": "", "exit_code": 1}], "unhealthy"),
        ([{"state": "exited", "health": "", "exit_code": 137}] * 2, "stopped"),
        ([], "unseen"),
    ],
)
def test_how_a_stack_stands(shop, services, word):
    rows = [stacks.service(shop, f"s{number}", **fields) for number, fields in enumerate(services)]
    assert standing.of(shop, rows).word == word


def test_one_service_with_an_unwell_container_beside_a_well_one_is_not_well(shop):
    rows = [stacks.service(shop, container="a"), stacks.service(shop, container="b", health="starting")]
    found = standing.of(shop, rows)
    assert (found.word, found.well, found.total) == ("starting", 0, 1)


def test_a_viewer_sees_it_but_has_no_buttons_and_no_logs(client, shop):
    client.force_login(person("viewer"))
    stacks.service(shop)
    text = page(client, "detail", "shop")
    assert reverse("environments:down", args=["shop"]) not in text
    assert reverse("environments:logs", args=["shop", "web"]) not in text


def test_rights_end_where_the_environment_does(client, shop):
    client.force_login(person("operator", environment="dev"))
    job, row = stacks.job(shop), stacks.service(shop)
    for name, arg in (
        ("detail", "shop"),
        ("live", "shop"),
        ("stack", job.pk),
        ("stack_live", job.pk),
        ("stack_log", job.pk),
    ):
        page(client, name, arg, status=403)
    page(client, "logs", "shop", row.name, status=403)
    listed = client.get(reverse("portal:environments")).content.decode()
    assert reverse("environments:detail", args=["dev"]) in listed
    assert reverse("environments:detail", args=["shop"]) not in listed


# --- up and down ----------------------------------------------------------------------------------------


def test_up_makes_a_job_and_leads_to_it(client, operator, shop):
    stacks.docker_worker()
    response = client.post(reverse("environments:up", args=["shop"]))
    job = StackJob.objects.get()
    assert response.url == reverse("environments:stack", args=[job.pk])
    assert (job.action, job.requested_by, job.stages.count()) == ("up", "operator", len(job.stages.all()))
    assert AuditEvent.objects.filter(kind="stack.up").exists()
    text = page(client, "detail", "shop")
    assert "It is being brought up already." in text


def test_a_second_change_leads_to_the_one_that_is_there(client, operator, shop):
    stacks.docker_worker()
    job = stacks.job(shop, "running")
    response = client.post(reverse("environments:down", args=["shop"]))
    assert response.url == reverse("environments:stack", args=[job.pk])
    assert StackJob.objects.count() == 1


def test_down_asks_first_and_says_what_stops(client, operator, shop):
    stacks.docker_worker()
    stacks.service(shop)
    text = page(client, "down", "shop")
    assert "shop-web-1" in text
    assert "volumes, and what is in them, stay" in text
    assert not StackJob.objects.exists()
    client.post(reverse("environments:down", args=["shop"]))
    assert StackJob.objects.get().action == "down"


def test_nothing_is_put_in_line_where_nobody_has_docker(client, operator, shop):
    response = client.post(reverse("environments:up", args=["shop"]))
    assert not StackJob.objects.exists()
    assert "Nobody with Docker is alive" in str(next(iter(get_messages(response.wsgi_request))))


def test_the_portal_does_not_take_down_the_stack_that_it_runs_in(client, operator, settings):
    settings.STACK = "flow-control-staging"
    stacks.docker_worker()
    stacks.environment("staging", compose_file="")
    text = page(client, "detail", "staging")
    assert "This portal runs in that stack itself" in text
    assert "make staging" in text
    for verb in ("up", "down"):
        client.post(reverse(f"environments:{verb}", args=["staging"]))
    assert not StackJob.objects.exists()


def test_a_stack_of_ours_is_told_its_own_name(shop):
    ours = stacks.environment("staging", compose_file="", project="my-staging")
    job = stacks.job(ours)
    job.settings = {"FLOWCONTROL_STACK": "another"}
    assert stack.settings_of(job)["FLOWCONTROL_STACK"] == "my-staging"
    assert "FLOWCONTROL_STACK" not in stack.settings_of(stacks.job(shop))


def test_the_development_stack_is_not_brought_up_over_the_data_of_make_run(client, operator, settings):
    stacks.docker_worker()
    settings.DATA = settings.BASE_DIR / "data"
    assert "one data folder" in page(client, "detail", "dev")
    settings.DATA = settings.BASE_DIR / "elsewhere"
    assert "one data folder" not in page(client, "detail", "dev")


# --- logs -----------------------------------------------------------------------------------------------


@pytest.fixture
def bus(settings, monkeypatch):
    settings.CACHES = {
        "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": uuid.uuid4().hex}
    }
    asked = []
    monkeypatch.setattr(messages, "ask", lambda task, args, **more: asked.append(args) or True)
    return asked


def test_lines_are_asked_for_waited_for_and_shown(client, operator, shop, bus, monkeypatch):
    stacks.service(shop)
    stacks.docker_worker()
    text = page(client, "logs", "shop", "web")
    ((_, _, token),) = bus
    assert f'content="1;url=?token={token}"' in text, "without JavaScript the page comes again"
    assert f'hx-get="?token={token}"' in text
    monkeypatch.setattr(
        answering, "read", lambda *_: [{"container": "shop-web-1", "lines": ["<b>hello</b>"], "cut": False}]
    )
    answering.deliver(shop.pk, "web", token)
    text = page(client, "logs", "shop", "web", query=f"?token={token}")
    assert "&lt;b&gt;hello&lt;/b&gt;" in text
    assert "hx-get" not in text.split('id="answer"')[1]
    assert len(bus) == 1, "looking again asks nobody again"
    page(client, "logs", "shop", "web", query="?token=old")


def test_where_nobody_has_docker_it_says_so_at_once(client, operator, shop, bus):
    stacks.service(shop)
    assert "Nobody with Docker answers." in page(client, "logs", "shop", "web")
    assert bus == []


def test_nobody_is_asked_for_a_service_that_was_never_seen(client, operator, shop, bus):
    stacks.docker_worker()
    assert "No container of this service has been seen." in page(client, "logs", "shop", "nothing")
    assert bus == []


# --- a change of a stack ----------------------------------------------------------------------------------


def test_a_failed_change_shows_cause_cure_and_the_last_lines(client, operator, shop):
    more = {"message": "web is <b>unhealthy</b>.", "hint": "Mend it.", "tail": "line 1\nline 2"}
    job = stacks.job(
        shop, "failed", message="Health: web is unhealthy.",
        stages=[("Tests", "succeeded", {"refers_to": "testrun:12"}), ("Health", "failed", more)],
    )  # fmt: skip
    events.append(job, "log", {"line": "Container web Started <i>"})
    text = page(client, "stack", job.pk)
    for part in (
        "Health: web is unhealthy.",
        "web is &lt;b&gt;unhealthy",
        "Mend it.",
        "line 1\nline 2",
        "Started &lt;i&gt;",
    ):
        assert part in text
    assert reverse("testruns:detail", args=[12]) in text
    assert "1 / 2" in text
    log = client.get(reverse("environments:stack_log", args=[job.pk])).content.decode()
    assert log.endswith("Z Container web Started <i>\n")


def test_a_lost_change_is_told(client, operator, shop):
    job = stacks.job(shop, "running", lease_expires_at=clock.now() - timedelta(seconds=5))
    text = page(client, "stack", job.pk)
    assert 'state-lost">lost' in text
    assert "has not been heard of" in text


def test_a_change_that_waits_for_somebody_with_docker_says_so(client, operator, shop):
    job = stacks.job(shop, "queued", started_at=None)
    assert "No worker is alive for queue docker" in page(client, "stack", job.pk)


def test_cancelling_asks_then_cancels(client, operator, shop):
    job = stacks.job(shop, "queued", started_at=None)
    assert "what ran before still runs" in page(client, "stack_cancel", job.pk)
    client.post(reverse("environments:stack_cancel", args=[job.pk]))
    job.refresh_from_db()
    assert (job.state, job.cancel_requested_by) == ("cancelled", "operator")


# --- pages that cross rooms -------------------------------------------------------------------------------


def test_the_list_shows_the_stack_and_its_last_change(client, operator, shop):
    stacks.service(shop)
    stacks.job(shop, "failed")
    newest = stacks.job(shop, "succeeded", action="down")
    text = client.get(reverse("portal:environments")).content.decode()
    assert "1 of 1 service healthy" in text
    assert reverse("environments:stack", args=[newest.pk]) in text
    assert "No environment has a stack" not in text


def test_the_empty_list_says_what_to_do_first(client, operator):
    text = client.get(reverse("portal:environments")).content.decode()
    assert "No environment has a stack on Docker yet." in text
    assert "make dev" in text


def test_the_overview_tells_of_failed_changes_and_unwell_services(client, operator, shop):
    stacks.service(shop)
    stacks.service(shop, "mail", health="unhealthy")
    stopped = stacks.environment("stopped")
    stacks.service(stopped, "web", state="exited", health="", exit_code=137)
    job = stacks.job(shop, "failed", message="Health: mail is unhealthy.")
    text = client.get(reverse("portal:overview")).content.decode()
    assert "Shop up failed" in text
    assert reverse("environments:stack", args=[job.pk]) in text
    assert "mail is unhealthy in Shop" in text
    assert "in Stopped" not in text, "a stack that was stopped as a whole needs no attention"
    stacks.job(shop, "succeeded")
    assert "Shop up failed" not in client.get(reverse("portal:overview")).content.decode()


def test_runs_of_the_environment_are_shown(client, operator, shop):
    run = RunFactory(at="succeeded", environment=shop)
    assert reverse("runs:detail", args=[run.pk]) in page(client, "detail", "shop")


# --- what they cost ---------------------------------------------------------------------------------------


def filled(shop, number):
    for each in range(number):
        stacks.service(shop, f"s{number}-{each}")
        stacks.job(shop, "failed", stages=[("Health", "failed", {})])
        RunFactory(at="succeeded", environment=shop)


@pytest.mark.parametrize(
    "address",
    ["environments:detail", "environments:live", "environments:logs", "portal:environments", "portal:overview"],
)
def test_a_page_costs_as_much_for_many_rows_as_for_few(client, operator, shop, bus, address, django_assert_num_queries):
    stacks.docker_worker()
    args = {"environments:logs": ["shop", "s1-0"]}.get(address, [] if address.startswith("portal") else ["shop"])
    filled(shop, 1)
    client.get(reverse(address, args=args))
    cost = count(client, address, args)
    filled(shop, 6)
    assert count(client, address, args) == cost <= 45


def test_a_change_costs_as_much_for_many_stages_as_for_one(client, operator, shop):
    one = stacks.job(shop, stages=[("A", "succeeded", {})])
    many = stacks.job(shop, stages=[(f"S{each}", "succeeded", {}) for each in range(8)])
    assert count(client, "environments:stack", [one.pk]) == count(client, "environments:stack", [many.pk]) <= 10


def count(client, address, args):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as queries:
        response = client.get(reverse(address, args=args))
    assert response.status_code == 200, json.dumps(args)
    return len(queries)
