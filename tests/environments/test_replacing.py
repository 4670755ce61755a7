"""Services that take traffic, replaced in stacks of every kind; and what a killed start has left behind. On a real engine."""

import json
from dataclasses import replace

import pytest

from apps.environments import executor
from apps.environments.containers import routing
from apps.environments.models import StackJob
from apps.environments.stages import deploy, registry
from tests.environments.bringing import SLEEPER, WEB, Stack, failed
from tests.environments.containers.projects import compose, docker, needs_engine
from tests.environments.test_stacks import Load
from tests.stack.portal import free_port

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def stack(tmp_path, settings):
    needs_engine()
    settings.DATA = tmp_path / "data"
    made = Stack(tmp_path / "compose.yaml", {"web": dict(WEB), "db": dict(SLEEPER)})
    yield made
    made.remove()


@pytest.fixture
def routed(stack):
    port = free_port()
    stack.services["web"]["labels"] = {"flowcontrol.route": f"{port}:8000"}
    return stack, port


def up(stack):
    job = stack.change()
    assert job.state == "succeeded", job.message
    return job


def names(stack, service):
    return [name for name in stack.containers() if f"-{service}-" in name]


def test_one_that_depends_on_others_is_replaced_and_those_are_not(routed):
    stack, port = routed
    stack.services["web"]["depends_on"] = ["db"]
    stack.services["worker"] = {**SLEEPER, "depends_on": ["web"]}
    stack.make()
    up(stack)
    before = stack.containers()
    up(stack)
    assert stack.containers() == before, "what is up to date is left alone"
    stack.services["web"]["environment"] = {"WORD": "two"}
    with Load(port) as load:
        up(stack)
    assert (load.failures, set(load.answers)) == ([], {"one", "two"})
    after = stack.containers()
    assert {name for name in before if before[name] != after.get(name)} == {f"{stack.project}-web-1"}
    up(stack)
    assert stack.containers() == after


def test_an_attempt_that_goes_on_follows_the_file_as_it_is_now(routed, monkeypatch):
    """The first had deployed what an older file said, when it was killed."""
    stack, port = routed
    stack.make()

    def die(*_):
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setitem(registry._stages, "health", replace(registry.stage("health"), perform=die))
        with pytest.raises(SystemExit):
            stack.change()
    job = StackJob.objects.get()
    StackJob.objects.update(state="queued", lease_expires_at=None)
    stack.services["web"]["environment"] = {"WORD": "two"}
    stack.write()
    done = executor.execute(job.pk)
    assert (done.state, done.attempt) == ("succeeded", 2)
    assert all(row.seconds >= 0 for row in job.stages.all())
    with Load(port) as load:
        up(stack)
    assert set(load.answers) == {"two"}


def test_one_that_is_to_run_several_times_is_refused_before_anything_is_touched(routed):
    stack, _ = routed
    stack.services["web"]["deploy"] = {"replicas": 2}
    stack.make()
    stage = failed(stack.change())
    assert (stage.name, "2 times" in stage.message) == ("config", True)
    assert stack.containers() == {}


def test_what_the_file_does_not_know_any_more_is_removed(routed):
    stack, port = routed
    stack.services["site"] = {**WEB, "labels": {"flowcontrol.route": f"{free_port()}:8000"}}
    stack.services["spare"] = {**SLEEPER, "profiles": ["spare"]}
    stack.make()
    up(stack)
    stack.services["store"] = stack.services.pop("db")
    stack.services["shop"] = stack.services.pop("site")
    up(stack)  # which routes there are has changed, so that the proxy is made anew: a gap, but an end to it
    with Load(port) as load:
        up(stack)
    assert (load.failures, set(load.answers)) == ([], {"one"})
    left = sorted(name.removeprefix(f"{stack.project}-") for name in stack.containers())
    assert left == ["flowcontrol-proxy-1", "shop-1", "store-1", "web-1"]


def test_a_route_to_another_port_of_the_container_is_followed(routed):
    stack, port = routed
    stack.make()
    up(stack)
    web = {**stack.services["web"], "labels": {"flowcontrol.route": f"{port}:9000"}}
    web["command"] = [word.replace("8000", "9000") for word in WEB["command"]]
    web["healthcheck"] = {**WEB["healthcheck"], "test": ["CMD", "wget", "-q", "-O", "-", "http://127.0.0.1:9000/"]}
    stack.services["web"] = {**web, "environment": {"WORD": "two"}}
    up(stack)
    with Load(port) as load:
        up(stack)
    assert (load.failures, set(load.answers)) == ([], {"two"})


def test_a_new_one_that_was_made_and_never_started_does_not_stop_the_next_attempt(routed, tmp_path):
    stack, port = routed
    stack.make()
    up(stack)
    stack.services["web"]["environment"] = {"WORD": "two"}
    stack.write()
    added = tmp_path / "data" / "run" / "stacks" / "shop.added.json"
    # As a kill between making and starting leaves it; the mark is what the next `up` would write.
    said = docker("compose", "--project-name", stack.project, "--file", str(stack.file), "config", "--format", "json")
    routing.write_added(added, json.loads(said), has_proxy=False)
    make = ("up", "--no-start", "--no-recreate", "--no-deps", "--scale", "web=2", "web")
    compose(stack.project, stack.file, "--file", str(added), *make)
    assert len(names(stack, "web")) == 2
    up(stack)
    assert len(names(stack, "web")) == 1
    with Load(port) as load:
        up(stack)
    assert (load.failures, set(load.answers)) == ([], {"two"})


def test_one_that_was_killed_before_it_got_its_name_keeps_what_it_holds(stack):
    """Compose has taken the old container away and not yet renamed the new one, whose volume without a name is the old's."""
    stack.services["db"]["volumes"] = ["/kept"]
    stack.make()
    up(stack)
    db = f"{stack.project}-db-1"
    docker("exec", db, "sh", "-c", "echo precious > /kept/it")
    docker("rename", db, f"0123456789ab_{db}")
    up(stack)
    assert docker("exec", db, "cat", "/kept/it") == "precious"
    assert names(stack, "db") == [db]


def test_the_proxy_may_die_in_the_middle_of_the_switch(routed, monkeypatch):
    stack, port = routed
    stack.make()
    up(stack)
    point, proxy = deploy.point, f"{stack.project}-flowcontrol-proxy-1"

    def kill_and_point(*given):
        docker("kill", proxy)
        docker("start", proxy)
        point(*given)

    monkeypatch.setattr(deploy, "point", kill_and_point)
    stack.services["web"]["environment"] = {"WORD": "two"}
    up(stack)
    with Load(port) as load:
        monkeypatch.undo()
        up(stack)
    assert (load.failures, set(load.answers)) == ([], {"two"})


def test_the_old_one_may_die_while_the_new_one_starts(routed, monkeypatch):
    stack, _ = routed
    stack.make()
    up(stack)
    wait = deploy.await_current

    def kill_and_wait(*given):
        docker("kill", f"{stack.project}-web-1", check=False)
        wait(*given)

    monkeypatch.setattr(deploy, "await_current", kill_and_wait)
    stack.services["web"]["environment"] = {"WORD": "two"}
    up(stack)
    assert len(names(stack, "web")) == 1
