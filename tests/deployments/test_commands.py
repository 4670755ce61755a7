"""`manage.py release` and `deployment` as a person and a program have them; without an engine, but for the last."""

import io
import json
import sys

import jsonschema
import pytest
from django.core.management import call_command

from apps.accounts.models import RoleGrant, User
from apps.common import clock
from apps.deployments import record
from apps.deployments.models import Deployment
from apps.deployments.stages import forward
from tests.deployments import deploying, making
from tests.environments.containers.projects import needs_engine
from tests.stack.portal import ROOT, free_port

pytestmark = pytest.mark.django_db
SCHEMA = json.loads((ROOT / "docs/reference/deployment.schema.json").read_text())


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


def test_the_plan_says_why_a_service_is_changed(command, shop):
    making.deployment(shop, making.keep()[0])
    making.keep(word="two")
    text = command("deployment", "plan", "shop", "--release", "r2", json_wanted=False)[1]
    (line,) = (each for each in text.splitlines() if each.startswith("web "))
    assert line.split()[-1] == "environment"


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


@pytest.mark.parametrize(
    ("state", "fields", "told", "status"),
    [
        ("queued", {}, "queued", 0),
        ("queued", {"queued_at": None}, "waiting", 0),
        (
            "succeeded",
            {"watched": {"seconds": 2.0, "requests": 9, "errors": 0, "base": {"requests": 1}}},
            "succeeded",
            0,
        ),
        ("failed", {"message": "No."}, "failed", 1),
        ("failed", {"message": "No.", "outcome": "reverted"}, "reverted", 1),
        ("cancelled", {}, "cancelled", 0),
    ],
)
def test_the_last_deployment_is_told_in_every_state_as_the_schema_says(command, shop, state, fields, told, status):
    job = making.deployment(shop, making.keep()[0], state, **fields)
    record.open_stages(job, forward.STAGES)
    ended, said, _ = command("deployment", "status", "shop")
    jsonschema.validate(said["last"], SCHEMA)
    assert (ended, said["last"]["status"]) == (status, told)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("rollback", "shop"), "nothing_to_roll_back"),
        (("rollback", "shop", "--to", "r9"), "unknown"),
        (("start", "later", "--release", "r1"), "gate_shut"),
        (("start", "later"), "unknown"),
        (("start", "shop"), "environment_busy"),
        (("start", "nowhere"), "unknown"),
        (("approve", "1", "--user", "nobody"), "approval_refused"),
        (("start", "shop", "--as", "nobody"), "unknown_account"),
    ],
)
def test_what_is_refused_ends_with_2_a_document_and_a_sentence(command, shop, words, code, monkeypatch):
    making.environment("later", after=shop)
    making.deployment(shop, making.keep()[0], "queued")
    if words[0] == "rollback":
        Deployment.objects.update(state="cancelled", finished_at=clock.now())
    monkeypatch.setattr(sys, "stdin", io.StringIO("a guess\n"))
    status, said, complaint = command("deployment", *words)
    assert (status, said["version"], said["error"]["code"]) == (2, 1, code)
    assert said["error"]["message"] in complaint
    assert said["error"]["hint"], "what to do about it"
    assert "a guess" not in complaint


@pytest.mark.django_db(transaction=True)
def test_where_no_engine_answers_it_ends_with_1_and_says_so(command, shop, tmp_path, settings, monkeypatch):
    settings.DATA = tmp_path / "data"
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    making.keep()
    status, said, _ = command("deployment", "start", "shop", "--wait")
    jsonschema.validate(said, SCHEMA)
    assert (status, said["status"]) == (1, "failed")
    assert "Nothing was changed." in said["message"]
    assert [each["status"] for each in said["stages"]] == ["failed", *["skipped"] * 7]
    assert said["stages"][0]["hint"]
    status, made, _ = command("release", "create", "shop")
    assert (status, made["release"], made["status"]) == (1, None, "failed")


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
        jsonschema.validate(done, SCHEMA)
        assert all(each["seconds"] is not None for each in done["stages"])
        shop.services["web"]["environment"] = {"WORD": "two"}
        shop.write()
        command("release", "create", "shop")
        status, done, said = command("deployment", "start", "shop", "--wait", json_wanted=False)
        assert (status, done) == (0, ""), "what is for people goes to stderr"
        assert "r2 serves in Shop." in said
        assert said.count("\n") >= 9, "a line for each stage"
        status, back, _ = command("deployment", "rollback", "shop", "--wait")
        assert (status, back["release"], back["kind"], back["status"]) == (0, "r1", "rollback", "succeeded")
        assert command("deployment", "status", "shop")[1]["pinned"] is True
        shop.services["web"]["image"] = "busybox:of-nobody"
        shop.write()
        status, made, _ = command("release", "create", "shop")
        assert (status, made["release"], made["status"]) == (1, None, "failed")
        assert "cannot be fetched" in made["stages"][-1]["hint"]
    finally:
        shop.remove()
