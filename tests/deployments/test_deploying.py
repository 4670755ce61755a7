"""Releases going into an environment, on the real engine."""

import threading
from datetime import timedelta

import pytest
from django.db import connection

from apps.audit.actors import SYSTEM
from apps.deployments import actions, queries, releases, standing
from apps.deployments.models import DeploymentStage
from apps.deployments.stages import moving
from apps.environments import variables
from apps.environments.actions import EnvironmentBusy, change_stack
from apps.environments.models import Snapshot
from apps.environments.stages import deploy
from tests.deployments import deploying
from tests.deployments.deploying import ANN, BOB, told
from tests.environments.bringing import SLEEPER
from tests.environments.containers.projects import docker, needs_engine
from tests.environments.test_stacks import Load
from tests.stack.portal import free_port, wait_for

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def shop(tmp_path, settings, monkeypatch):
    needs_engine()
    settings.DATA = tmp_path / "data"
    monkeypatch.setattr(moving, "PROBE_SECONDS", 3.0)
    made = deploying.make(tmp_path)
    made.prepare(free_port())
    yield made
    made.remove()


def test_the_first_and_the_next_go_in_without_a_failed_request(shop):
    shop.services["db"] = {**SLEEPER, "volumes": ["db:/data"]}
    shop.services["worker"] = dict(SLEEPER)
    shop.services["web"]["restart"] = "always"
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
    form = "{{.State.Status}} {{.HostConfig.RestartPolicy.Name}}"
    assert docker("inspect", "--format", form, f"{shop.project}-web-kept").split() == ["exited", "no"]
    assert docker("inspect", "--format", form, f"{shop.project}-web-2").split() == ["running", "always"]


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


def test_one_that_turns_bad_in_the_window_is_taken_back_by_itself(shop):
    one = shop.say("one")
    shop.services["worker"] = {**SLEEPER, "environment": {"WORD": "one"}}
    shop.deploy(shop.say("one"))
    worker = shop.containers()[f"{shop.project}-worker-1"]
    shop.environment.__class__.objects.update(watch_seconds=30)
    # Well for its health check and its first answers, then nothing but 500.
    turns = (
        "i=0; while true; do i=$$((i+1)); if [ $$i -lt 6 ]; then s='200 OK'; else s='500 Wrong'; fi;"
        ' printf "HTTP/1.0 $$s\\r\\nContent-Length: 3\\r\\n\\r\\nbad" | nc -l -p 8000; done'
    )
    shop.services["worker"]["environment"] = {"WORD": "two"}
    bad = shop.say("bad", command=["sh", "-c", turns], healthcheck={"disable": True})
    with Load(shop.port):
        job = shop.deploy(bad)
    assert (job.state, job.outcome, job.status) == ("failed", "reverted", "reverted"), told(job)
    assert "answers with errors" in job.message
    assert "serves again" in job.message
    assert job.finished_at - job.switched_at < timedelta(seconds=60)
    with Load(shop.port) as load:
        wait_for(lambda: len(load.answers) > 50 or load.failures, 30, "answers")
    assert (load.failures, set(load.answers)) == ([], {"one"})
    assert queries.in_force(shop.environment) != bad
    now = shop.containers()
    assert now[f"{shop.project}-worker-1"] != worker, "it was changed, and changed back"
    assert "WORD=one" in docker("inspect", "--format", "{{.Config.Env}}", f"{shop.project}-worker-1")
    assert one != bad


def test_the_first_release_over_what_nobody_released_is_taken_back_to_that(shop):
    job = shop.change()
    assert job.state == "succeeded"
    old = shop.containers()[f"{shop.project}-web-1"]
    wrong = "while true; do printf 'HTTP/1.0 500 Wrong\\r\\n\\r\\n' | nc -l -p 8000; done"
    bad = shop.say("two", command=["sh", "-c", wrong], healthcheck={"disable": True})
    with Load(shop.port) as load:
        job = shop.deploy(bad)
    assert (job.status, load.failures, set(load.answers)) == ("failed", [], {"one"}), told(job)
    assert "What served before serves again." in job.message
    assert [shop.containers()[name] for name in shop.containers() if "-web-" in name] == [old]


def test_one_that_never_gets_healthy_leaves_the_old_one(shop, monkeypatch):
    monkeypatch.setattr(deploy, "HEALTHY_SECONDS", 4.0)
    shop.deploy(shop.say("one"))
    bad = shop.say("two", healthcheck={"test": ["CMD", "false"], "interval": "60s"})
    with Load(shop.port) as load:
        job = shop.deploy(bad)
    assert (job.status, load.failures, set(load.answers)) == ("failed", [], {"one"}), told(job)
    assert [name for name in shop.containers() if "web" in name] == [f"{shop.project}-web-1"]


def test_a_cancelled_one_is_taken_back(shop):
    shop.deploy(shop.say("one"))
    shop.environment.__class__.objects.update(watch_seconds=60)
    job = actions.start(by=ANN, environment=shop.environment, release=shop.say("two"))

    def cancel():
        wait_for(lambda: DeploymentStage.objects.get(job=job, name="watch").progress > 0, 60, "the watch window")
        actions.cancel(by=ANN, deployment=job)
        connection.close()

    thread = threading.Thread(target=cancel)
    thread.start()
    with Load(shop.port) as load:
        done = shop.perform(job)
    thread.join()
    assert (done.state, done.outcome) == ("cancelled", "reverted"), told(done)
    assert load.failures == []
    with Load(shop.port) as load:
        wait_for(lambda: load.answers, 10, "an answer")
    assert set(load.answers) == {"one"}


def test_two_at_once_one_is_named_to_the_other(shop):
    one, two = shop.say("one"), shop.say("two")
    first = actions.start(by=ANN, environment=shop.environment, release=one)
    with pytest.raises(EnvironmentBusy, match=f"deployment {first.pk} of {one} is queued, asked for by ann"):
        actions.start(by=BOB, environment=shop.environment, release=two)
    with pytest.raises(EnvironmentBusy, match="deployment"):
        change_stack(by=ANN, environment=shop.environment, action="up")


def test_up_brings_the_release_that_serves(shop):
    shop.deploy(shop.say("one"))
    before = shop.containers()
    shop.services["web"]["environment"] = {"WORD": "what nobody released"}
    job = shop.change()
    assert job.state == "succeeded"
    assert shop.containers() == before


def test_an_image_that_is_gone_ends_before_anything_is_changed(shop):
    shop.deploy(shop.say("one"))
    lost = shop.say("two")
    services = [{**each, "id": "sha256:" + "1" * 64} for each in lost.services]
    manifest = releases.manifest_of(lost.description, services, [], [])
    gone, _ = releases.keep(by=ANN, origin=shop.environment, manifest=manifest, description=lost.description)
    job = shop.deploy(gone)
    assert job.status == "failed"
    assert "is not on the engine" in job.message
    assert "Nothing was changed" in job.message


def test_an_engine_that_is_away_ends_before_anything_is_changed(shop, monkeypatch):
    shop.deploy(shop.say("one"))
    two = shop.say("two")
    with monkeypatch.context() as patch:
        patch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
        job = shop.deploy(two)
    assert (job.status, job.stages.get(status="failed").name) == ("failed", "plan")
    assert queries.in_force(shop.environment).name == "r1"


def test_a_stale_plan_is_refused_before_any_effect(shop):
    shop.deploy(shop.say("one"))
    before = shop.containers()
    shop.services["web"]["command"] = ["sh", "-c", "${GREETING:-true}; " + shop.services["web"]["command"][2]]
    job = actions.start(by=ANN, environment=shop.environment, release=shop.say("two"))
    variables.set_variable(by=SYSTEM, environment=shop.environment, name="GREETING", value="true")
    done = shop.perform(job)
    assert done.status == "failed"
    assert "The plan is stale: services, configuration differ" in done.message, done.message
    assert shop.containers() == before


def test_the_engine_alone_tells_what_serves(shop):
    job = shop.deploy(shop.say("one"))
    assert standing.from_engine(shop.environment) == standing.Serving(str(job.release), job.pk, job.fence)


def test_the_state_is_saved_before_a_service_is_changed_where_its_data_is(shop):
    shop.services["db"] = {**SLEEPER, "volumes": ["db:/data"], "environment": {"WORD": "one"}}
    shop.more["volumes"] = {"db": {}}
    shop.deploy(shop.say("one"))
    docker("exec", f"{shop.project}-db-1", "sh", "-c", "echo kept > /data/word")
    shop.services["db"]["environment"] = {"WORD": "two"}
    job = shop.deploy(shop.say("one"))
    assert job.status == "succeeded", told(job)
    saved = Snapshot.objects.get(deployment=job.pk)
    assert (job.snapshot, saved.release, saved.reason) == (saved.name, "r1", "before r2")
    assert docker("exec", f"{shop.project}-db-1", "cat", "/data/word").strip() == "kept"
    assert "WORD=two" in docker("inspect", "--format", "{{.Config.Env}}", f"{shop.project}-db-1")
