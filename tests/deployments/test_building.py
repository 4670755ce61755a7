"""Making a release of a stack on the real engine: what goes into it, what does not, and how it ends when it cannot be made."""

import json

import pytest

from apps.audit.actors import SYSTEM
from apps.deployments import actions, building, describing, executor
from apps.deployments.models import Release
from apps.environments import variables
from tests.deployments import deploying
from tests.deployments.deploying import ANN
from tests.environments.containers.projects import docker, needs_engine
from tests.stack.portal import free_port

PLANTED = "hunter2-planted"


# --- parts, without an engine ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "known", "digest"),
    [
        ("postgres:17", ["postgres@sha256:1"], "postgres@sha256:1"),
        ("postgres", ["mirror/postgres@sha256:1", "postgres@sha256:1"], "postgres@sha256:1"),
        ("host:5000/shop/web:1.4", ["host:5000/shop/web@sha256:1"], "host:5000/shop/web@sha256:1"),
        ("host:5000/shop/web", ["host:5000/shop/web@sha256:1"], "host:5000/shop/web@sha256:1"),
        ("postgres@sha256:1", ["postgres@sha256:1"], "postgres@sha256:1"),
        ("shop:1", ["elsewhere/shop@sha256:1"], ""),
        ("shop:1", [], ""),
    ],
)
def test_the_digest_is_that_of_the_registry_which_the_name_means(image, known, digest):
    assert building.digest_of(image, known) == digest


def test_what_belongs_to_one_environment_is_left_out_of_the_description():
    found = building.portable(
        {
            "name": "one",
            "services": {
                "web": {"image": "a", "build": {"context": "."}, "pull_policy": "build", "networks": {"x": None}}
            },
            "networks": {
                "x": {"name": "one_x"},
                "theirs": {"name": "one_theirs", "external": True},
                "own": {"name": "own"},
            },
            "volumes": {"db": {"name": "one_db", "driver": "local"}},
        },
        "one",
    )
    assert found == {
        "services": {"web": {"image": "a", "networks": {"x": None}}},
        "networks": {"x": {}, "theirs": {"name": "one_theirs", "external": True}, "own": {"name": "own"}},
        "volumes": {"db": {"driver": "local"}},
    }


def test_a_fixed_name_of_a_container_becomes_one_that_others_may_call_it_by():
    web = {
        "container_name": "shop-web",
        "networks": {"front": None, "back": {"aliases": ["web.internal"], "priority": 1}},
    }
    found = building.portable({"name": "one", "services": {"web": web, "bus": {"container_name": "b"}}}, "one")[
        "services"
    ]
    assert found["web"] == {
        "networks": {
            "front": {"aliases": ["shop-web"]},
            "back": {"aliases": ["shop-web", "web.internal"], "priority": 1},
        }
    }
    assert found["bus"] == {"networks": {}}


@pytest.mark.parametrize(
    ("written", "names"),
    [
        ("${A}", {"A"}),
        ("$A-$B", {"A", "B"}),
        ("${A:-${B}}", {"A", "B"}),
        ("${A:?say}${B+x}", {"A", "B"}),
        ("$$A $${B}", set()),
        ("$$$A", {"A"}),
        ("5$ and $1", set()),
    ],
)
def test_variables_are_found_as_compose_finds_them(written, names):
    assert describing.variables_in({"services": {"web": {"command": [written]}}}) == names


# --- on the engine -----------------------------------------------------------------------------------------


@pytest.fixture
def shop(transactional_db, tmp_path, settings):
    needs_engine()
    settings.DATA = tmp_path / "data"
    settings.SECRETS_KEYS_PATH = tmp_path / "secrets_keys"
    settings.SECRETS_KEYS = ""
    made = deploying.make(tmp_path)
    made.prepare(free_port())
    yield made
    docker("image", "rm", "--force", f"{made.project}-web", check=False)
    made.remove()


def build(shop):
    """(the build as it ended, the stage at which it failed or None)"""
    shop.write()
    job = executor.execute_build(actions.build_release(by=ANN, environment=shop.environment).pk)
    return job, job.stages.filter(status="failed").first()


def test_no_value_of_the_environment_gets_into_a_release(shop):
    for name in ("FILLED", "HANDED_ON", "AS_FILE"):
        variables.set_secret(by=SYSTEM, environment=shop.environment, name=name, value=f"{PLANTED}-{name}")
    shop.services["web"]["environment"] = {"WORD": "${FILLED}", "HANDED_ON": None}
    shop.services["web"]["secrets"] = ["pw"]
    shop.more["secrets"] = {"pw": {"environment": "AS_FILE"}}
    job, _ = build(shop)
    assert job.state == "succeeded", job.message
    assert job.release.manifest["configuration"] == ["AS_FILE", "FILLED", "HANDED_ON"]
    kept = json.dumps([job.release.manifest, job.release.description, [row.message for row in job.stages.all()]])
    assert PLANTED not in kept
    web = job.release.description["services"]["web"]
    assert web["environment"] == {"WORD": "${FILLED}", "HANDED_ON": None}
    assert web["image"] == job.release.services[0]["digest"] or web["image"] == job.release.services[0]["id"]


def test_what_is_built_is_pinned_by_what_came_out(shop, tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM busybox:1\nLABEL word=one\n")
    shop.services["web"] = {**shop.services["web"], "build": "."}
    del shop.services["web"]["image"]
    one, _ = build(shop)
    again, _ = build(shop)
    assert again.release == one.release
    assert f"Nothing differs from {one.release}" in again.stages.get(name="pin").message
    (tmp_path / "Dockerfile").write_text("FROM busybox:1\nLABEL word=two\n")
    two, _ = build(shop)
    (was,), (now) = one.release.services, two.release.services[0]
    assert (was["image"], was["digest"]) == (now["image"], "")
    assert was["id"] != now["id"] == docker("image", "inspect", "--format", "{{.Id}}", now["image"]).strip()
    assert "build" not in two.release.description["services"]["web"]


def test_an_image_that_does_not_build_makes_no_release_and_shows_its_last_lines(shop, tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM busybox:1\nRUN echo what went wrong; false\n")
    shop.services["web"] = {**shop.services["web"], "build": "."}
    del shop.services["web"]["image"]
    job, stage = build(shop)
    assert (job.state, stage.name, Release.objects.count()) == ("failed", "build", 0)
    assert "what went wrong" in stage.tail


def test_a_compose_file_with_a_mistake_is_told_with_file_and_line(shop):
    shop.file.write_text("services:\n  web:\n    image: busybox:1\n   command: [sleep]\n")
    job = executor.execute_build(actions.build_release(by=ANN, environment=shop.environment).pk)
    stage = job.stages.get(status="failed")
    assert (job.state, stage.name, Release.objects.count()) == ("failed", "config", 0)
    assert f"{shop.file}, line " in stage.message


def test_a_variable_without_a_value_is_named(shop):
    shop.services["web"]["environment"] = {"WORD": "${NOWHERE}"}
    job, stage = build(shop)
    assert (job.state, stage.name, Release.objects.count()) == ("failed", "config", 0)
    assert "NOWHERE" in stage.message


def test_an_image_that_nobody_has_is_named(shop):
    shop.services["web"]["image"] = "busybox:of-nobody"
    job, stage = build(shop)
    assert (job.state, stage.name, Release.objects.count()) == ("failed", "pin", 0)
    assert "busybox:of-nobody" in stage.message
