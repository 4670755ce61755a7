"""`manage.py release` and `deployment` as a person and a program have them; without an engine, but for the last."""

import io
import json
import sys

import pytest
from django.core.management import call_command

from apps.accounts.models import RoleGrant, User
from apps.deployments.models import Deployment
from tests.deployments import deploying, making
from tests.environments.containers.projects import needs_engine
from tests.stack.portal import free_port

pytestmark = pytest.mark.django_db


@pytest.fixture
def command(capsys):
    """(exit status, the document on stdout, what stderr says)."""

    def call(*words, json_wanted=True):
        with pytest.raises(SystemExit) as ended:
            call_command(*words, *(["--json"] if json_wanted else []))
        said = capsys.readouterr()
        return ended.value.code, json.loads(said.out) if json_wanted else said.out, said.err

    return call


@pytest.fixture
def shop():
    return making.environment()


def test_a_release_is_shown_and_listed(command, shop):
    release, _ = making.keep()
    status, shown, _ = command("release", "show", "r1")
    assert (status, shown["version"], shown["release"], shown["digest"]) == (0, 1, "r1", release.digest)
    assert shown["services"] == [{"name": "web", "image": "busybox:1", "id": "sha256:" + "0" * 64, "digest": ""}]
    assert [each["release"] for each in command("release", "list")[1]["releases"]] == ["r1"]
    assert "busybox:1" in command("release", "show", "r1", json_wanted=False)[1]


def test_what_is_not_there_is_said_with_what_is(command, shop):
    making.keep()
    status, told, complaint = command("release", "show", "r9")
    assert (status, told["error"]["code"], told["error"]["hint"]) == (2, "unknown", "The newest are: r1.")
    assert "There is no release 'r9'." in complaint
    assert command("deployment", "status", "nowhere")[0] == 2
    assert command("deployment", "cancel", "7")[0] == 2


def test_the_plan_says_what_would_change_and_whether_it_may(command, shop):
    making.keep()
    status, told, _ = command("deployment", "plan", "shop")
    assert (status, told["release"], told["over"], told["gate"]["open"]) == (0, "r1", None, True)
    assert told["services"][0]["change"] == "added"
    making.environment("production", after=shop)
    status, told, _ = command("deployment", "plan", "production", "--release", "r1")
    assert (status, told["gate"]["open"]) == (1, False)
    text = command("deployment", "plan", "production", "--release", "r1", json_wanted=False)[1]
    assert "r1 does not serve in shop" in text
    assert not Deployment.objects.exists()


def test_started_it_is_in_line_and_approved_by_another_with_a_password(command, shop, monkeypatch):
    making.keep()
    shop.needs_approval = True
    shop.save()
    for name in ("ann", "bob"):
        user = User.objects.create_user(name, password=f"the word of {name}")
        RoleGrant.objects.create(user=user, role="operator")
    status, told, _ = command("deployment", "start", "shop", "--as", "ann", "--wait")
    assert (status, told["status"]) == (0, "waiting")

    def approve(name, word):
        monkeypatch.setattr(sys, "stdin", io.StringIO(f"{word}\n"))
        return command("deployment", "approve", str(told["deployment"]), "--user", name)

    assert approve("bob", "a guess")[1]["error"]["code"] == "approval_refused"
    assert approve("ann", "the word of ann")[1]["error"]["code"] == "approval_refused"
    status, approved, _ = approve("bob", "the word of bob")
    assert (status, approved["status"]) == (0, "queued")


def test_status_says_what_serves(command, shop):
    assert command("deployment", "status", "shop")[1]["release"] is None
    release, _ = making.keep()
    making.deployment(shop, release, kind="rollback")
    status, told, _ = command("deployment", "status", "shop")
    assert (status, told["release"], told["pinned"], told["last"]["status"]) == (0, "r1", True, "succeeded")
    assert command("deployment", "unpin", "shop")[1]["was_pinned"] is True
    assert "r1 serves in shop." in command("deployment", "status", "shop", json_wanted=False)[1]


@pytest.mark.django_db(transaction=True)
def test_made_and_deployed_by_commands_alone(command, tmp_path, settings):
    needs_engine()
    settings.DATA = tmp_path / "data"
    shop = deploying.make(tmp_path)
    shop.prepare(free_port())
    try:
        status, made, _ = command("release", "create", "shop", "--note", "first")
        assert (status, made["release"], made["status"]) == (0, "r1", "succeeded")
        assert [row["name"] for row in made["stages"]] == ["platform", "config", "build", "pin"]
        status, done, _ = command("deployment", "start", "shop", "--wait")
        assert (status, done["release"], done["status"]) == (0, "r1", "succeeded")
        assert {"name", "status", "seconds", "message"} <= set(done["stages"][0])
        shop.services["web"]["image"] = "busybox:of-nobody"
        shop.write()
        status, made, _ = command("release", "create", "shop")
        assert (status, made["release"], made["status"]) == (1, None, "failed")
        assert "cannot be fetched" in made["stages"][-1]["hint"]
    finally:
        shop.remove()
