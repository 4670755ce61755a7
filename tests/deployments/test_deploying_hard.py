"""Deployments over what is not in the book: variables that changed, services that run once, nothing that takes traffic."""

from dataclasses import replace

import pytest

from apps.audit.actors import SYSTEM
from apps.deployments import queries
from apps.deployments.models import Release
from apps.deployments.stages import backward, forward, moving, smoke, watching
from apps.environments import variables
from apps.testruns.models import TestRun
from tests.deployments import deploying
from tests.deployments.deploying import told
from tests.environments.bringing import SLEEPER, WEB
from tests.environments.containers.projects import docker, needs_engine
from tests.environments.test_stacks import Load
from tests.stack.portal import free_port, wait_for

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow, pytest.mark.stacks]


@pytest.fixture
def shop(tmp_path, settings, monkeypatch):
    needs_engine()
    settings.DATA = tmp_path / "data"
    monkeypatch.setattr(moving, "PROBE_SECONDS", 3.0)
    made = deploying.make(tmp_path)
    made.prepare(free_port())
    yield made
    made.remove()


def set_variable(shop, name, value):
    variables.set_variable(by=SYSTEM, environment=shop.environment, name=name, value=value)


def test_a_variable_that_breaks_the_release_takes_nothing_from_what_serves(shop):
    """The release is the same before and after: what served is known by who made it, not by the description of now."""
    set_variable(shop, "CHECK", "true")
    shop.services["worker"] = {**SLEEPER, "environment": {"CHECK": "${CHECK:?}"}, "stop_grace_period": "1s"}
    health = {"test": ["CMD-SHELL", "$$CHECK"], "interval": "1s", "retries": 1}
    shop.services["web"]["healthcheck"] = health
    shop.services["web"]["environment"] = {"WORD": "one", "CHECK": "${CHECK:?}"}
    one = shop.release()
    assert shop.deploy(one).status == "succeeded"
    before = shop.containers()
    set_variable(shop, "CHECK", "false")
    with Load(shop.port) as load:
        job = shop.deploy(one)
    assert (job.status, load.failures, set(load.answers)) == ("failed", [], {"one"}), told(job)
    assert "could not" not in job.message, job.message
    assert shop.containers() == before


def test_a_variable_that_breaks_it_after_the_switch_is_taken_back_to_what_served(shop):
    set_variable(shop, "STATUS", "200 OK")
    answer = "while true; do printf 'HTTP/1.0 ${STATUS}\\r\\nContent-Length: 3\\r\\n\\r\\none' | nc -l -p 8000; done"
    # Nobody asks the worker how it is but the watch window.
    shop.services["worker"] = {
        **SLEEPER,
        "command": ["sh", "-c", "case '${STATUS}' in 200*) exec sleep 600;; esac; exit 3"],
        "stop_grace_period": "1s",
    }
    one = shop.say("one", command=["sh", "-c", answer], healthcheck={"disable": True})
    assert shop.deploy(one).status == "succeeded"
    before = shop.containers()[f"{shop.project}-web-1"]
    set_variable(shop, "STATUS", "404 Not Found")
    shop.environment.__class__.objects.update(watch_seconds=5)
    job = shop.deploy(one)
    assert (job.status, "worker" in job.message) == ("reverted", True), (job.message, told(job))
    assert [shop.containers()[name] for name in shop.containers() if "-web-" in name] == [before]


def test_one_is_taken_back_although_the_release_before_lacks_a_variable_now(shop):
    set_variable(shop, "NEEDED", "yes")
    shop.services["web"]["environment"] = {"WORD": "one", "NEEDED": "${NEEDED:?}"}
    shop.deploy(shop.release())
    before = shop.containers()[f"{shop.project}-web-1"]
    two = shop.say("two", healthcheck={"test": ["CMD", "false"], "interval": "1s", "retries": 1})
    variables.unset_variable(by=SYSTEM, environment=shop.environment, name="NEEDED")
    with Load(shop.port) as load:
        job = shop.deploy(two)
    assert (job.status, load.failures, set(load.answers)) == ("failed", [], {"one"}), told(job)
    assert "serves again" in job.message, job.message
    assert [shop.containers()[name] for name in shop.containers() if "-web-" in name] == [before]


def test_what_runs_once_has_run_before_what_depends_on_it(shop):
    once = {**SLEEPER, "environment": {"WORD": "one"}, "volumes": ["db:/data"]}
    once["command"] = ["sh", "-c", "sleep 2; echo $$WORD > /data/schema"]
    shop.more["volumes"] = {"db": {}}
    shop.services["migrate"] = once
    web = shop.services["web"]
    web["volumes"] = ["db:/data"]
    web["depends_on"] = {"migrate": {"condition": "service_completed_successfully"}}
    web["command"] = ["sh", "-c", "grep -q $$WORD /data/schema || exit 4; " + WEB["command"][2]]
    assert shop.deploy(shop.say("one")).status == "succeeded"
    shop.services["migrate"]["environment"] = {"WORD": "two"}
    with Load(shop.port) as load:
        job = shop.deploy(shop.say("two"))
    assert (job.status, load.failures) == ("succeeded", []), (job.message, told(job))


def test_what_runs_once_and_fails_ends_it_before_traffic_moves(shop):
    shop.services["migrate"] = {**SLEEPER, "command": ["true"]}
    shop.services["web"]["depends_on"] = {"migrate": {"condition": "service_completed_successfully"}}
    assert shop.deploy(shop.say("one")).status == "succeeded"
    shop.services["migrate"]["command"] = ["sh", "-c", "echo no such table; exit 3"]
    with Load(shop.port) as load:
        job = shop.deploy(shop.say("two"))
    assert (job.status, job.switched_at, load.failures, set(load.answers)) == ("failed", None, [], {"one"}), told(job)
    assert "migrate" in job.message, job.message


def test_what_takes_no_traffic_has_to_get_well_too(shop):
    """The window of one second is over before anybody knows how the worker is."""
    shop.services["worker"] = {**SLEEPER, "stop_grace_period": "1s"}
    assert shop.deploy(shop.say("one")).status == "succeeded"
    shop.services["worker"]["healthcheck"] = {"test": ["CMD", "false"], "interval": "3s", "retries": 2}
    job = shop.deploy(shop.release())
    assert (job.status, "worker" in job.message) == ("reverted", True), (job.message, told(job))
    health = docker("inspect", "--format", "{{.State.Status}} {{.Config.Healthcheck}}", f"{shop.project}-worker-1")
    assert health.split() == ["running", "<nil>"]


def test_a_stack_without_traffic_is_deployed_and_taken_back(shop):
    shop.services.pop("web")
    shop.services["worker"] = {**SLEEPER, "environment": {"WORD": "one"}, "stop_grace_period": "1s"}
    shop.services["other"] = {**SLEEPER, "stop_grace_period": "1s"}
    one = shop.release()
    assert shop.deploy(one).status == "succeeded"
    before = shop.containers()
    shop.services["worker"].update(command=["false"], environment={"WORD": "two"})
    job = shop.deploy(shop.release())
    assert (job.state, "worker" in job.message) == ("failed", True), (job.message, told(job))
    after = shop.containers()
    assert after[f"{shop.project}-other-1"] == before[f"{shop.project}-other-1"]
    assert "WORD=one" in docker("inspect", "--format", "{{.Config.Env}}", f"{shop.project}-worker-1")
    assert queries.in_force(shop.environment) == one


def test_several_networks_and_three_of_a_worker(shop):
    shop.more["networks"] = {"front": {}, "back": {}}
    shop.services["web"]["networks"] = ["default", "front", "back"]
    shop.services["worker"] = {**SLEEPER, "stop_grace_period": "1s", "deploy": {"replicas": 3}, "networks": ["back"]}
    assert shop.deploy(shop.say("one")).status == "succeeded"
    before = shop.containers()
    with Load(shop.port) as load:
        job = shop.deploy(shop.say("two"))
    assert (job.status, load.failures, set(load.answers)) == ("succeeded", [], {"one", "two"}), told(job)
    workers = {name: each for name, each in shop.containers().items() if "-worker-" in name}
    assert workers == {name: each for name, each in before.items() if "-worker-" in name}
    assert len(workers) == 3


def test_an_engine_that_dies_after_the_switch_is_told_with_the_command_that_mends_it(shop, monkeypatch):
    """Nobody can take it back then; what is said names the release of before, not the one before that."""
    monkeypatch.setattr(backward, "PATIENCE_SECONDS", 1.0)
    shop.deploy(shop.say("zero"))
    shop.deploy(shop.say("one"))
    two, honest = shop.say("two"), watching.watch

    def dies(stand):
        stand._variables = {**stand._variables, "DOCKER_HOST": "unix:///nowhere.sock"}
        monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
        return honest(stand)

    with monkeypatch.context() as patch:
        patch.setitem(forward.BY_NAME, "watch", replace(forward.WATCH, perform=dies))
        job = shop.deploy(two)
    monkeypatch.delenv("DOCKER_HOST")
    assert (job.status, job.stages.get(name="revert").status) == ("failed", "failed"), told(job)
    assert "could not be taken back" in job.message
    assert "`manage.py deployment rollback shop --to r2`" in job.message, job.message
    with Load(shop.port) as load:
        back = shop.rollback(Release.objects.get(name="r2"))
        wait_for(lambda: load.answers[-1:] == ["one"], 20, "the release of before")
    assert (back.status, load.failures) == ("succeeded", []), told(back)


def add_case(settings, name, text):
    path = settings.DATA / "checks" / "shop" / smoke.LAYER / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def test_a_case_of_the_environment_that_fails_takes_the_release_back(shop, settings):
    ask = f"#!/bin/sh\npython3 -c 'import urllib.request as r; print(r.urlopen(\"http://127.0.0.1:{shop.port}/\").read())'"
    add_case(settings, "says.sh", f"{ask} | grep -q one\n")
    first = shop.deploy(shop.say("one"))
    assert first.status == "succeeded", (first.message, told(first))
    run = TestRun.objects.get()
    assert f"Test run {run.pk}" in first.stages.get(name="watch").message
    with Load(shop.port) as load:
        job = shop.deploy(shop.say("two"))
        wait_for(lambda: load.answers[-1:] == ["one"], 20, "the release of before")
    assert (job.status, load.failures, set(load.answers)) == ("reverted", [], {"one", "two"}), (job.message, told(job))
    assert "says.sh" in job.message, job.message
    assert TestRun.objects.count() == 2


def test_cases_that_cannot_be_run_take_nothing_back(shop, settings):
    settings.TEST_FRAMEWORK = False
    add_case(settings, "fails.sh", "#!/bin/sh\nexit 1\n")
    job = shop.deploy(shop.say("one"))
    assert job.status == "succeeded", job.message
    assert "switched off" in job.stages.get(name="watch").message
