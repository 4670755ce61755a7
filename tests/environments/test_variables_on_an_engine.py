"""Secrets reach containers of a real engine, and nothing but them: not the log, not a message, not an argument."""

import json

import pytest

from apps.audit.actors import SYSTEM
from apps.common.masking import MASK
from apps.environments import looking, variables
from apps.environments.containers import running
from apps.environments.models import Environment
from apps.jobs.models import JobEvent
from tests.environments.bringing import SLEEPER, Stack, stages
from tests.environments.containers.projects import docker, needs_engine

pytestmark = pytest.mark.django_db(transaction=True)
PLANTED = "hunter2-planted"
# Says what it was given, with `$` doubled so that compose leaves it to the container.
TALKS = {**SLEEPER, "command": ["sh", "-c", "echo token is $$TOKEN, hello is $$HELLO; exec sleep 600"]}


@pytest.fixture
def stack(tmp_path, settings):
    needs_engine()
    settings.DATA = tmp_path / "data"
    settings.SECRETS_KEYS_PATH, settings.SECRETS_KEYS = tmp_path / "secrets_keys", ""
    given = {"TOKEN": "${API_TOKEN}", "HELLO": "${GREETING}"}
    made = Stack(tmp_path / "compose.yaml", {"db": {**TALKS, "environment": given}})
    made.make()
    yield made
    made.remove()


def shop():
    return Environment.objects.get(slug="shop")


def put(name="API_KEY", value=PLANTED):
    variables.set_secret(by=SYSTEM, environment=shop(), name=name, value=value)


def assign(name, value):
    variables.set_variable(by=SYSTEM, environment=shop(), name=name, value=value)


def test_a_container_has_its_secret_and_what_it_says_of_it_is_masked(stack, monkeypatch):
    put()
    assign("API_TOKEN", "secret:API_KEY")
    assign("GREETING", "good day")
    commands, run = [], running.run
    monkeypatch.setattr(running, "run", lambda command, **options: commands.append(command) or run(command, **options))
    job = stack.change()
    assert job.state == "succeeded", stages(job)
    said = docker("logs", f"{stack.project}-db-1")
    assert f"token is {PLANTED}, hello is good day" in said, "the container really has it"
    shown = looking.logs(by=SYSTEM, environment=shop(), services=[], lines=10)
    assert f"token is {MASK}, hello is good day" in shown
    assert commands
    assert PLANTED not in json.dumps([list(command) for command in commands])
    written = [*JobEvent.objects.values_list("data", flat=True), *job.stages.values_list("message", "tail", "hint")]
    assert PLANTED not in json.dumps(written)
    labels = docker(
        "inspect", "--format", "{{json .Config.Labels}} {{json .Config.Cmd}} {{json .Args}}", f"{stack.project}-db-1"
    )
    assert PLANTED not in labels


def test_a_misspelt_name_ends_at_its_stage_with_what_was_meant(stack):
    put(name="API_TOKENS")
    assign("GREETING", "good day")
    job = stack.change()
    assert job.state == "failed"
    failed = job.stages.get(status="failed")
    assert failed.name == "config"
    assert "API_TOKEN" in failed.message
    assert "API_TOKENS" in failed.message, "the name that is near"


def test_a_lost_key_ends_the_change_with_the_secrets_name(stack, settings):
    put()
    settings.SECRETS_KEYS_PATH.unlink()
    job = stack.change()
    assert job.state == "failed"
    failed = job.stages.get(status="failed")
    assert f"The secret API_KEY of {shop().slug} was encrypted with the key" in failed.message
    assert "secret set" in failed.hint
