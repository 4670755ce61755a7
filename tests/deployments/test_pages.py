"""Pages of releases and deployments: what they say, to whom, what they do when sent, and what each costs."""

from datetime import timedelta

import pytest
from django.contrib.messages import get_messages
from django.urls import reverse

from apps.audit.models import AuditEvent
from apps.common import clock
from apps.common.files import sha256
from apps.deployments import lanes, plans, telling
from apps.deployments.models import Approval, Build, Deployment, DeploymentStage
from apps.environments import variables
from apps.environments.models import Environment
from apps.jobs import events
from tests.deployments import making, scenes
from tests.environments import stacks
from tests.portal.people import person

pytestmark = pytest.mark.django_db
WORD = "correct horse battery"


@pytest.fixture(autouse=True)
def data(settings, tmp_path):
    settings.DATA = tmp_path


@pytest.fixture
def operator(client):
    user = person("operator")
    client.force_login(user)
    return user


@pytest.fixture
def chain():
    """dev → staging → production, nothing in them."""
    return scenes.environments()


@pytest.fixture
def shop(operator):
    return stacks.environment("shop")


def page(client, name, *args, status=200, query="", **form):
    address = reverse(f"deployments:{name}", args=args) + query
    response = client.post(address, form) if form else client.get(address)
    assert response.status_code == status, response.content.decode()[-2000:]
    text = response.content.decode()
    assert status != 200 or "<h1" in text or "hx-swap-oob" in text, "a page that lost its middle has no headline"
    return text


def begun(where, release, **fields):
    """A deployment that runs its third stage."""
    now = clock.now()
    values = {"started_at": now, "lease_expires_at": now + timedelta(seconds=60), **fields}
    job = making.deployment(where, release, "running", **values)
    for position, (title, status) in enumerate(
        (("Check the plan", "succeeded"), ("Save the state", "succeeded"), ("Probe", "running"), ("Finish", "queued"))
    ):
        DeploymentStage.objects.create(
            job=job, name=title.split()[-1].lower(), title=title, status=status, position=position, started_at=now
        )
    return job


def lane_of(text, slug):
    return text.split(f'id="lane-{slug}"')[1].split("</section>")[0]


# --- lanes ----------------------------------------------------------------------------------------------


def test_environments_stand_in_the_order_of_promotion(chain):
    dev, staging, production = chain
    alone = stacks.environment("alone", position=99)
    shown = [production, alone, staging, dev]
    assert lanes.lines(shown) == [[alone], [dev, staging, production]]
    assert lanes.lines([production, staging]) == [[staging, production]], "also where what is before is not seen"
    dev.after = production
    assert lanes.lines([dev, staging, production]) == [[dev], [staging], [production]], "a ring hides nobody"


def test_each_lane_says_what_serves_what_comes_and_what_could(client, operator, chain):
    dev, staging, production = chain
    one, two = making.keep("one", dev)[0], making.keep("two", dev)[0]
    making.deployment(dev, two, requested_by="dora")
    making.deployment(staging, one)
    making.deployment(production, two)
    making.deployment(production, one, kind="rollback", requested_by="rob")
    begun(staging, two)
    stacks.service(staging, "web")
    stacks.service(staging, "mail", health="unhealthy")
    text = page(client, "lanes")
    assert text.index("lane-shop-dev") < text.index("lane-shop-staging") < text.index("lane-shop-production")
    assert "by dora" in lane_of(text, "shop-dev")
    middle = lane_of(text, "shop-staging")
    assert "1 of 2 services healthy" in middle
    assert "Probe, stage 3 of 4" in middle
    assert "Next, from" not in middle, "what comes in is not what could"
    last = lane_of(text, "shop-production")
    assert "pinned" in last
    assert "Unpin" in last
    assert "Roll back" not in last, "nothing was there before the first"


def test_a_lane_says_why_the_gate_is_shut(client, operator, chain):
    dev, staging, _ = chain
    one = making.keep("one", dev)[0]
    making.deployment(staging, one)
    text = lane_of(page(client, "lanes"), "shop-production")
    assert "gate shut" in text
    assert "No layered test has been run in shop-staging since." in text
    assert reverse("deployments:plan", args=["shop-production", "r1"]) in text
    assert "gate open" in lane_of(page(client, "lanes"), "shop-dev"), "the first of a line asks for its flows alone"


def test_the_live_part_of_the_lanes_is_a_fragment_of_the_same(client, operator, chain):
    making.deployment(chain[0], making.keep("one", chain[0])[0])
    text = page(client, "lanes_live", query="?environment=shop-dev")
    assert "<html" not in text
    assert text.count("hx-swap-oob") == 1
    assert "?environment=shop-dev" in text, "and it goes on with the same filter"
    assert 'hx-trigger="every 5s"' in text
    begun(chain[1], making.Release.objects.get())
    assert 'hx-trigger="every 2s"' in page(client, "lanes_live")


def test_without_a_release_it_says_what_to_do_first(client, operator):
    text = page(client, "lanes")
    for command in ("manage.py environment add", "manage.py release create", "manage.py deployment start"):
        assert command in text


def test_the_lanes_cost_the_same_however_long_the_history(client, operator, chain, django_assert_max_num_queries):
    releases = [making.keep(str(number), chain[0])[0] for number in range(3)]
    for place in chain:
        for each in releases[:2]:
            making.deployment(place, each, previous=releases[0])
    page(client, "lanes")
    with django_assert_max_num_queries(40) as few:
        page(client, "lanes")
    for number in range(30):
        making.deployment(chain[number % 3], releases[number % 2], ("failed", "succeeded")[number % 2])
        making.keep(f"more {number}", chain[0])
    for place in chain:
        making.deployment(place, releases[1], previous=releases[0])
    with django_assert_max_num_queries(len(few)):
        page(client, "lanes")


def test_history_is_paged_by_key_and_by_environment(client, operator, chain):
    one = making.keep("one", chain[0])[0]
    jobs = [making.deployment(chain[number % 2], one) for number in range(60)]
    newest, oldest = (reverse("deployments:detail", args=[jobs[at].pk]) for at in (-1, 0))
    text = page(client, "lanes")
    assert newest in text
    assert oldest not in text
    after = f"?after={jobs[25].pk}"
    assert oldest in page(client, "lanes", query=after)
    history = page(client, "lanes", query="?environment=shop-production").split('id="history-rows"')[1]
    assert "No deployment there yet." in history


def test_who_may_in_one_environment_sees_that_one(client, chain):
    client.force_login(person("viewer", "shop-staging"))
    one = making.keep("one", chain[0])[0]
    hidden, seen = making.deployment(chain[0], one), making.deployment(chain[1], one)
    text = page(client, "lanes")
    assert "lane-shop-staging" in text
    assert "lane-shop-dev" not in text
    assert "Roll back" not in text
    page(client, "detail", seen.pk)
    page(client, "detail", hidden.pk, status=403)
    page(client, "plan", "shop-dev", "r1", status=403)
    page(client, "release", "r1")  # it went into what they may see
    making.keep("two", chain[0])
    page(client, "release", "r2", status=404)
    assert ">r2<" not in page(client, "releases")


# --- the plan -------------------------------------------------------------------------------------------


def sent(client, shop, release="r1"):
    context = client.get(reverse("deployments:plan", args=[shop.slug, release])).context
    return {"digest": context["made"]["digest"], "seen": context["seen"]}


def test_what_was_seen_is_what_is_begun(client, shop):
    making.keep("one", shop)
    form = sent(client, shop)
    page(client, "plan", "shop", "r1", status=302, **form)
    job = Deployment.objects.get()
    assert (job.plan_digest, job.requested_by, job.state) == (form["digest"], "operator", "queued")
    assert AuditEvent.objects.filter(kind="deployment.deploy", actor="operator").count() == 1


def test_a_stale_plan_comes_back_with_what_changed(client, operator, chain):
    dev = chain[0]
    first, second = scenes._versions()
    scenes.release(dev, "1", "", first, web="a", configuration=("GREETING",))
    scenes.release(dev, "2", "", second, web="b", configuration=("GREETING",))
    one, two = (making.Release.objects.get(name=name) for name in ("r1", "r2"))
    making.deployment(dev, one, plan=plans.make(one, dev))
    form = sent(client, dev, "r2")
    variables.set_variable(by=operator, environment=dev, name="GREETING", value="hello")
    text = page(client, "plan", "shop-dev", "r2", status=409, **form)
    assert "The variable GREETING has a value now." in text
    assert "Nothing was begun." in text
    assert "orders" in text
    assert Deployment.objects.filter(release=two).count() == 0
    page(client, "plan", "shop-dev", "r2", status=302, **sent(client, dev, "r2"))


def test_a_plan_that_nobody_here_has_sealed_says_nothing(client, shop):
    making.keep("one", shop)
    text = page(client, "plan", "shop", "r1", status=409, digest="0" * 64, seen="forged:1:x")
    assert "is another one now" in text
    assert Deployment.objects.count() == 0
    page(client, "plan", "shop", "r1", status=409, seen="", digest="")  # a form without the plan is no way round it
    assert Deployment.objects.count() == 0


def test_where_the_gate_is_shut_the_page_says_why_and_begins_nothing(client, operator, chain):
    dev, staging, production = chain
    one = making.keep("one", dev)[0]
    newest = making.deployment(staging, one)
    text = page(client, "plan", "shop-production", "r1")
    assert text.count("not met<") >= 2
    assert reverse("deployments:detail", args=[newest.pk]) in text, "evidence leads to where it is seen"
    assert reverse("environments:detail", args=["shop-staging"]) in text
    assert "disabled" in text.split('class="confirm"')[1]
    text = page(client, "plan", "shop-production", "r1", status=409, **sent(client, production))
    assert "may not go to shop-production" in text
    assert Deployment.objects.filter(environment=production).count() == 0


def test_a_second_one_is_told_the_name_of_the_first(client, shop):
    one = making.keep("one", shop)[0]
    form = sent(client, shop)
    first = making.deployment(shop, one, "queued")
    assert f"deployment {first.pk} of r1" in page(client, "plan", "shop", "r1", status=409, **form)


def test_who_may_not_deploy_sees_the_plan_without_a_button(client):
    shop = stacks.environment("shop")
    making.keep("one", shop)
    client.force_login(person("viewer"))
    assert "confirm" in page(client, "plan", "shop", "r1")
    assert '<button class="button button-primary"' not in page(client, "plan", "shop", "r1")
    page(client, "plan", "shop", "r1", status=403, digest="x")


def test_the_plan_says_what_runs_once_more(client, operator, chain):
    known = scenes.everything()
    assert "shop_orders runs in its new version from its next run on." in client.get(known["PLAN"]).content.decode()
    shown = telling.plan({"again": {"services": ["migrate"], "flows": []}})
    assert shown["again"] == ["migrate does its work once more."]


def test_differences_name_each_part():
    service = {"name": "web", "change": "same", "how": "", "from": "a", "to": "a", "because": []}
    before = {"digest": "1", "over": "r1", "services": [service], "configuration": {"known": {"A": "1", "B": "2"}},
              "flows": [], "undo": {"state": "stays"}}  # fmt: skip
    now = {**before, "digest": "2", "over": "r2", "undo": {"state": "restored"}, "again": {"services": ["migrate"], "flows": []},
           "services": [{**service, "change": "changed", "because": ["image"]}],
           "configuration": {"known": {"A": "9", "C": "3"}}, "flows": [{"name": "orders"}]}  # fmt: skip
    assert telling.differences(before, now) == [
        "r2 serves there now, not r1.",
        "web: same before, changed (image) now.",
        "The variable A was changed.",
        "The variable B has none any more.",
        "The variable C has a value now.",
        "The flow orders changes in another way.",
        "What runs once more is different.",
        "What can be undone is different.",
    ]
    assert telling.differences(before, before) == []
    assert telling.differences({}, now) == []


# --- a deployment ---------------------------------------------------------------------------------------


def test_why_it_was_taken_back_is_the_first_thing_said(client, operator, chain):
    known = scenes.everything()
    text = client.get(known["DEPLOYMENT"]).content.decode()
    assert text.index("r3 was taken back. Watch it serve: The new release answers with errors") < text.index("<h2><a")
    for part in ("What to do:", "KeyError", "412", "61", "14.8 %"):
        assert part in text
    assert "Plan it again" in text


def test_a_running_one_shows_its_stages_and_the_live_part_is_a_fragment(client, shop):
    job = begun(shop, making.keep("one", shop)[0], watched={"seconds": 3.0, "requests": 20, "errors": 1})
    text = page(client, "detail", job.pk)
    for part in ("is-running", "Cancel", "2 of 4", "of 30 s", "5.0 %"):
        assert part in text
    assert reverse("jobs:events", args=["deployment", job.pk]) in text
    live = page(client, "live", job.pk)
    assert "<html" not in live
    assert live.count("hx-swap-oob") == 2
    page(client, "cancel", job.pk)
    page(client, "cancel", job.pk, status=302, yes="1")
    job.refresh_from_db()
    assert job.cancel_requested_by == "operator"


def test_a_deployment_costs_the_same_however_much_it_said(client, shop, django_assert_max_num_queries):
    one, two = making.keep("one", shop)[0], making.keep("two", shop)[0]
    making.deployment(shop, one)
    job = making.deployment(shop, two, previous=one)
    page(client, "detail", job.pk)
    with django_assert_max_num_queries(40) as few:
        page(client, "detail", job.pk)
    events.append_many(job, [("log", {"line": f"line {number}"}) for number in range(1200)])
    for position in range(9):
        DeploymentStage.objects.create(job=job, name=str(position), title="x", position=position, status="succeeded")
        making.deployment(shop, one)
        job = making.deployment(shop, two, previous=one) if position == 8 else job
    with django_assert_max_num_queries(len(few)):
        assert "Roll back" in page(client, "detail", job.pk)


def test_the_log_is_downloaded_whole(client, shop):
    job = making.deployment(shop, making.keep("one", shop)[0])
    events.append_many(job, [("log", {"line": f"line {number}"}) for number in range(1100)])
    assert "The newest 1000 lines." in page(client, "detail", job.pk)
    response = client.get(reverse("deployments:log", args=[job.pk]))
    assert len(response.content.decode().splitlines()) == 1100
    assert f"deployment-{job.pk}.log" in response.headers["Content-Disposition"]


def test_a_lost_one_says_who_goes_on(client, shop):
    job = begun(shop, making.keep("one", shop)[0], lease_expires_at=clock.now() - timedelta(seconds=9))
    text = page(client, "detail", job.pk)
    assert "Its worker has not been heard of" in text
    assert "state-lost" in text


# --- approval -------------------------------------------------------------------------------------------


@pytest.fixture
def waiting(client, operator):
    shop = stacks.environment("shop", needs_approval=True)
    operator.set_password(WORD)
    operator.save()
    client.force_login(operator)
    release = making.keep("one", shop)[0]
    plan = plans.make(release, shop)
    return making.deployment(shop, release, "queued", queued_at=None, plan=plan, plan_digest=plan["digest"])


def test_another_persons_deployment_is_approved_with_ones_own_password(client, waiting):
    assert "Review and approve" in page(client, "detail", waiting.pk)
    page(client, "approve", waiting.pk)
    text = page(client, "approve", waiting.pk, status=422, password="not it")
    assert "That is not your password." in text
    assert Approval.objects.count() == 0
    page(client, "approve", waiting.pk, status=302, password=WORD, note="looks well")
    approval = Approval.objects.get()
    assert (approval.by, approval.note, approval.deployment.status) == ("operator", "looks well", "queued")
    assert "Approved by" in page(client, "detail", waiting.pk)
    text = page(client, "approve", waiting.pk, status=409, password=WORD)
    assert "does not wait for approval" in text


def test_nobody_approves_their_own(client, waiting):
    Deployment.objects.filter(pk=waiting.pk).update(requested_by="operator")
    text = page(client, "detail", waiting.pk)
    assert "You asked for it yourself" in text
    assert "Review and approve" not in text
    assert "Ask somebody else" in page(client, "approve", waiting.pk)
    assert "cannot approve it" in page(client, "approve", waiting.pk, status=409, password=WORD)
    assert Approval.objects.count() == 0


def test_a_plan_that_is_stale_by_now_is_not_approved(client, waiting):
    other = making.keep("two", waiting.environment)[0]
    making.deployment(waiting.environment, other)
    assert "r2 serves there now, not none." in page(client, "approve", waiting.pk)
    page(client, "approve", waiting.pk, status=409, password=WORD)
    assert Approval.objects.count() == 0


def test_guessing_the_password_locks_as_at_the_login(client, waiting, settings):
    for _ in range(settings.AXES_FAILURE_LIMIT + 1):
        answer = client.post(reverse("deployments:approve", args=[waiting.pk]), {"password": "guess"})
    assert answer.status_code in (403, 422, 429)
    client.post(reverse("deployments:approve", args=[waiting.pk]), {"password": WORD})
    assert Approval.objects.count() == 0, "after so many guesses the right one counts no more"


# --- back -----------------------------------------------------------------------------------------------


def test_one_goes_back_to_what_served_before(client, shop):
    one, two, _ = (making.keep(word, shop)[0] for word in ("one", "two", "three"))
    for each in (one, two):
        making.deployment(shop, each)
    text = page(client, "rollback", "shop")
    assert "Go back to r1" in text
    assert "pins Shop" in text
    assert "has not served" in page(client, "rollback", "shop", query="?to=r3")
    page(client, "rollback", "shop", status=302, to="r1")
    job = Deployment.objects.latest("pk")
    assert (job.kind, job.release, job.previous) == ("rollback", one, two)
    assert "deployment" in page(client, "rollback", "shop", status=409, to="r1"), "one at a time"


def test_where_nothing_served_before_it_says_so(client, shop):
    making.deployment(shop, making.keep("one", shop)[0])
    assert "There is nothing to go back to." in page(client, "rollback", "shop")
    assert "has served" in page(client, "rollback", "shop", status=409, to="r1")


def test_a_pin_is_taken_off(client, shop):
    job = making.deployment(shop, making.keep("one", shop)[0], kind="rollback")
    response = client.post(reverse("deployments:unpin", args=["shop"]))
    assert [str(each) for each in get_messages(response.wsgi_request)] == ["Shop is not pinned any more."]
    job.refresh_from_db()
    assert job.unpinned_by == "operator"


# --- releases -------------------------------------------------------------------------------------------


def test_releases_are_listed_with_where_they_serve(client, shop, django_assert_max_num_queries):
    assert "No release was made yet." in page(client, "releases")
    one, two = making.keep("one", shop)[0], making.keep("two", shop)[0]
    making.deployment(shop, one)
    making.build(shop, two)
    text = page(client, "releases")
    assert text.index(">r2<") < text.index(">r1<")
    with django_assert_max_num_queries(40) as few:
        page(client, "releases")
    for number in range(40):
        making.deployment(shop, making.keep(f"more {number}", shop)[0])
        making.build(shop, two)
    with django_assert_max_num_queries(len(few)):
        text = page(client, "releases")
    assert ">r1<" not in text
    assert 'rel="next"' in text


def test_a_release_says_what_it_is_where_it_is_and_where_it_may_go(client, operator, chain):
    scenes.everything()
    text = page(client, "release", "r4")
    for part in ("postgres:17", "shop_orders", "CHECKOUT_URL", "new checkout", "serves in"):
        assert part in text
    assert reverse("flows:version", args=["shop_orders", 2]) in text
    assert reverse("deployments:plan", args=["shop-staging", "r4"]) in text
    assert reverse("deployments:plan", args=["shop-dev", "r4"]) not in text, "it serves there"
    assert reverse("deployments:plan", args=["dev", "r4"]) not in text, "that is of another line"


def test_two_releases_are_compared(client, operator, chain):
    scenes.everything()
    text = page(client, "release_diff", "r4", query="?against=r1")
    for part in (
        f"shop/web:latest {sha256('web a')[:12]}",
        f"shop/web:latest {sha256('web d')[:12]}",
        "CARD_LIMIT",
        "Columns lost downstream: out/orders.csv: region",
    ):
        assert part in text, part
    assert reverse("flows:diff", args=["shop_orders", 1, 2]) in text
    page(client, "release_diff", "r4", query="?against=r99", status=404)
    assert client.get(reverse("deployments:release_diff", args=["r4"])).url == reverse(
        "deployments:release", args=["r4"]
    )
    assert "No service changes." in page(client, "release_diff", "r4", query="?against=r4")


def test_a_release_is_made_from_its_page(client, shop):
    assert "Nobody would do it now" in page(client, "release_new")
    stacks.docker_worker()
    assert "Nobody would do it now" not in page(client, "release_new")
    page(client, "release_new", status=302, environment="shop", note="new checkout")
    job = Build.objects.get()
    assert (job.environment, job.note, job.requested_by) == (shop, "new checkout", "operator")
    assert f"build {job.pk}" in page(client, "release_new", status=409, environment="shop", note="")
    page(client, "release_new", status=422, environment="nowhere")
    text = page(client, "build", job.pk)
    assert "Pin and record" in text
    assert reverse("jobs:events", args=["build", job.pk]) in text
    assert page(client, "build_live", job.pk).count("hx-swap-oob") == 2
    page(client, "build_cancel", job.pk)
    page(client, "build_cancel", job.pk, status=302, yes="1")
    job.refresh_from_db()
    assert job.state == "cancelled"


def test_a_build_leads_to_the_plan_of_what_it_made(client, shop):
    job = making.build(shop, making.keep("one", shop)[0])
    assert reverse("deployments:plan", args=["shop", "r1"]) in page(client, "build", job.pk)


# --- other pages ----------------------------------------------------------------------------------------


def test_the_overview_says_what_serves_and_what_waits(client, operator, chain):
    assert "What serves" not in client.get("/").content.decode()
    scenes.everything()
    text = client.get("/").content.decode()
    assert "What serves" in text
    assert "r3 waits for approval in Shop production" in text
    client.force_login(person("viewer", "dev"))
    assert "Shop production" not in client.get("/").content.decode()


def test_search_finds_releases(client, operator, chain):
    scenes.everything()
    for query in ("r4", "checkout", making.Release.objects.get(name="r4").digest[:8]):
        assert reverse("deployments:release", args=["r4"]) in client.get("/search/", {"q": query}).content.decode()


def test_environments_say_their_release(client, operator, chain):
    scenes.everything()
    assert reverse("deployments:release", args=["r4"]) in client.get("/environments/").content.decode()
    assert reverse("deployments:release", args=["r4"]) in client.get("/environments/shop-dev/").content.decode()
    assert Environment.objects.filter(slug="shop-dev").exists()
