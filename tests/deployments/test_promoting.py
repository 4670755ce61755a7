"""The same release in two environments on the real engine, each with its own variables, secrets, volumes and networks."""

import json
import urllib.request

import pytest

from apps.audit.actors import SYSTEM
from apps.common import clock
from apps.deployments import actions, gate, plans, queries
from apps.environments import observer, variables
from apps.testruns.cases.model import LAYERS
from apps.testruns.models import TestRun
from tests.deployments import deploying
from tests.deployments.deploying import ANN, BOB, Shop, told
from tests.environments.bringing import SLEEPER
from tests.environments.containers.projects import docker, needs_engine
from tests.stack.portal import free_port, wait_for

pytestmark = pytest.mark.django_db(transaction=True)
PLANTED = "hunter2-planted"


@pytest.fixture
def line(tmp_path, settings):
    """staging and production of one compose file, whose every difference is a variable."""
    needs_engine()
    settings.DATA = tmp_path / "data"
    settings.SECRETS_KEYS_PATH = tmp_path / "secrets_keys"
    settings.SECRETS_KEYS = ""
    staging = deploying.make(tmp_path)
    staging.services["db"] = {**SLEEPER, "volumes": ["db:/data"]}
    staging.more["volumes"] = {"db": {}}
    first = staging.prepare(free_port(), slug="staging")
    staging.services["web"] |= {
        "environment": {"WORD": "${GREETING}", "TOKEN": None},
        "labels": {"flowcontrol.route": "${WEB_PORT}:8000"},
    }
    production = Shop(staging.file, staging.services, staging.more)
    production.prepare(free_port(), slug="production", after=first, needs_approval=True)
    for each in (staging, production):
        for name, value in (("GREETING", f"this is {each.slug}"), ("WEB_PORT", str(each.port))):
            variables.set_variable(by=SYSTEM, environment=each.environment, name=name, value=value)
        variables.set_secret(by=SYSTEM, environment=each.environment, name="TOKEN", value=f"{PLANTED}-{each.slug}")
    yield staging, production
    production.remove()
    staging.remove()


def answer(shop):
    with urllib.request.urlopen(f"http://127.0.0.1:{shop.port}/", timeout=5) as said:
        return said.read().decode().strip()


def inspected(shop, service):
    return json.loads(docker("inspect", f"{shop.project}-{service}-1"))[0]


def prove(staging):
    """What people and the controller do in staging: all layers are run, and it is looked at for the watch window."""
    now = clock.now()
    TestRun.objects.create(
        environment=staging.environment, layers=list(LAYERS), state="succeeded", started_at=now, finished_at=now
    )

    def is_well():
        observer.look(staging.environment)
        return gate.health(staging.environment, queries.newest_good(staging.environment)).ok

    wait_for(is_well, 30, "staging to be well for the watch window")


def promote(production, release):
    job = actions.start(by=ANN, environment=production.environment, release=release)
    return production.perform(actions.approve(by=BOB, deployment=job))


def test_the_very_release_that_was_proven_goes_on_and_each_environment_keeps_what_is_its_own(line):
    staging, production = line
    release = staging.release()
    with pytest.raises(actions.GateShut):
        actions.start(by=ANN, environment=production.environment, release=release)
    done = staging.deploy(release)
    assert done.status == "succeeded", told(done)
    with pytest.raises(actions.GateShut, match="No layered test has been run in staging"):
        actions.start(by=ANN, environment=production.environment, release=release)
    prove(staging)
    done = promote(production, release)
    assert done.status == "succeeded", told(done)

    assert (answer(staging), answer(production)) == ("this is staging", "this is production")
    assert inspected(staging, "web")["Image"] == inspected(production, "web")["Image"]
    for each in (staging, production):
        web, db = inspected(each, "web"), inspected(each, "db")
        assert f"TOKEN={PLANTED}-{each.slug}" in web["Config"]["Env"]
        assert [mount["Name"] for mount in db["Mounts"]] == [f"{each.project}_db"]
        assert list(db["NetworkSettings"]["Networks"]) == [f"{each.project}_default"]
        assert web["Config"]["Labels"]["flowcontrol.release"] == release.name
    kept = json.dumps([release.manifest, release.description, done.plan, told(done)])
    assert PLANTED not in kept
    assert PLANTED not in (production.file.parent / "data/run/stacks/production.release.json").read_text()


def test_a_secret_that_has_moved_is_planned_and_brought_by_the_same_release(line):
    staging, _ = line
    release = staging.release()
    staging.deploy(release)
    before = staging.containers()
    variables.set_secret(by=SYSTEM, environment=staging.environment, name="TOKEN", value=f"{PLANTED}-anew")
    plan = plans.make(release, staging.environment)
    assert [each["name"] for each in plan["services"] if each["change"] == "changed"] == ["web"]
    done = staging.deploy(release)
    assert done.status == "succeeded", told(done)
    after = staging.containers()
    assert {name for name in after if before.get(name) == after[name]} == {
        f"{staging.project}-db-1",
        f"{staging.project}-flowcontrol-proxy-1",
    }
    web = next(name for name in after if "-web-" in name and not name.endswith("-kept"))
    assert f"TOKEN={PLANTED}-anew" in docker("inspect", "--format", "{{.Config.Env}}", web)


def test_what_is_planned_for_the_next_environment_differs_by_its_own_variables_alone(line):
    staging, production = line
    release = staging.release()
    variables.unset_variable(by=SYSTEM, environment=production.environment, name="GREETING")
    assert plans.make(release, staging.environment)["configuration"]["missing"] == []
    assert plans.make(release, production.environment)["configuration"]["missing"] == ["GREETING"]


def test_a_variable_that_is_missing_ends_it_before_anything_is_changed(line):
    staging, production = line
    release = staging.release()
    staging.deploy(release)
    prove(staging)
    variables.unset_variable(by=SYSTEM, environment=production.environment, name="GREETING")
    done = promote(production, release)
    assert (done.status, production.containers()) == ("failed", {}), told(done)
    assert "GREETING" in done.message
    assert "Nothing was changed." in done.message


def test_services_with_fixed_names_run_beside_each_other_and_in_two_environments(line):
    staging, production = line
    fixed = f"{staging.project}-fixed"
    staging.services["db"]["container_name"] = f"{fixed}-db"
    staging.services["web"]["container_name"] = f"{fixed}-web"
    assert staging.deploy(staging.release()).status == "succeeded"
    staging.services["web"]["user"] = "0"
    release = staging.release()
    done = staging.deploy(release)
    assert done.status == "succeeded", told(done)
    prove(staging)
    done = promote(production, release)
    assert done.status == "succeeded", told(done)
    assert (answer(staging), answer(production)) == ("this is staging", "this is production")
    said = docker("exec", f"{production.project}-db-1", "wget", "-q", "-O", "-", f"http://{fixed}-web:8000/")
    assert said.strip() == "this is production", "each is called by that name in its own network"
