"""Releases going into an environment, on the real engine."""

import pytest

from apps.deployments import queries
from tests.deployments import deploying
from tests.deployments.deploying import told
from tests.environments.bringing import SLEEPER
from tests.environments.containers.projects import docker, needs_engine
from tests.environments.test_stacks import Load
from tests.stack.portal import free_port

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def shop(tmp_path, settings):
    needs_engine()
    settings.DATA = tmp_path / "data"
    made = deploying.make(tmp_path)
    made.prepare(free_port())
    yield made
    made.remove()


def test_the_first_and_the_next_go_in_without_a_failed_request(shop):
    shop.services["db"] = {**SLEEPER, "volumes": ["db:/data"]}
    shop.services["worker"] = dict(SLEEPER)
    shop.more["volumes"] = {"db": {}}
    first = shop.deploy(shop.say("one"))
    assert first.status == "succeeded", told(first)
    before = shop.containers()
    two = shop.say("two")
    with Load(shop.port) as load:
        second = shop.deploy(two)
    assert second.status == "succeeded", told(second)
    print(told(second), second.watched)
    assert (load.failures, set(load.answers)) == ([], {"one", "two"})
    after = shop.containers()
    same = {name for name in before if before[name] == after.get(name)}
    assert same == {f"{shop.project}-{name}-1" for name in ("db", "worker", "flowcontrol-proxy")}
    assert queries.in_force(shop.environment) == two
    kept = docker("inspect", "--format", "{{.State.Status}}", f"{shop.project}-web-kept").strip()
    assert kept == "exited"


def test_the_same_content_is_the_same_release_and_changes_nothing(shop):
    one = shop.say("one")
    shop.deploy(one)
    before = shop.containers()
    assert shop.say("one") == one
    again = shop.deploy(one)
    assert again.status == "succeeded"
    assert shop.containers() == before


def test_a_rollback_starts_what_was_kept_and_pins(shop):
    one = shop.say("one")
    shop.deploy(one)
    old = shop.containers()[f"{shop.project}-web-1"]
    shop.deploy(shop.say("two"))
    with Load(shop.port) as load:
        back = shop.rollback()
    assert (back.status, back.release) == ("succeeded", one), told(back)
    assert (load.failures, set(load.answers)) == ([], {"one", "two"})
    assert old in shop.containers().values()
    assert queries.pin(shop.environment) == back


def test_a_version_that_answers_500_is_never_switched_to(shop):
    shop.deploy(shop.say("one"))
    wrong = "while true; do printf 'HTTP/1.0 500 Wrong\r\n\r\n' | nc -l -p 8000; done"
    bad = shop.say("bad", command=["sh", "-c", wrong], healthcheck={"disable": True})
    with Load(shop.port) as load:
        job = shop.deploy(bad)
    assert (job.status, job.switched_at) == ("failed", None), told(job)
    assert "answers 500" in job.message
    assert (load.failures, set(load.answers)) == ([], {"one"})
    assert [name for name in shop.containers() if "web" in name] == [f"{shop.project}-web-1"]
