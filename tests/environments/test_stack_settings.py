"""What a stack of our own is told: its settings file, the environment's variables, what stood in front of the command."""

import os

import pytest

from apps.audit.actors import SYSTEM
from apps.environments import actions, variables
from apps.environments.models import Environment, StackJob
from apps.environments.stages import stack
from apps.environments.stages.model import StageFailed

pytestmark = pytest.mark.django_db


@pytest.fixture
def dev():
    return Environment.objects.get(slug="dev")


def settings_of(environment, **changed):
    return stack.settings_of(StackJob(environment=environment, action="up", settings=changed))


def test_the_settings_file_counts_then_the_environment_then_the_command(dev):
    assert settings_of(dev)["APP_PORT"] == "8080"
    variables.set_variable(by=SYSTEM, environment=dev, name="APP_PORT", value="8181")
    assert settings_of(dev)["APP_PORT"] == "8181"
    assert settings_of(dev, APP_PORT="8282")["APP_PORT"] == "8282"


def test_the_files_say_what_the_stacks_are(dev):
    told = settings_of(dev)
    names = ("APP_PORT", "HOT_RELOAD", "TEST_FRAMEWORK", "BRIDGE_PROTOCOL")
    assert [told[name] for name in names] == ["8080", "true", "enabled", "active"]
    staging = actions.ensure_environment(by=SYSTEM, slug="staging")
    told = settings_of(staging)
    names = ("APP_PORT", "WEBHOOK_PORT", "MONITORING", "RECOVERY")
    assert [told[name] for name in names] == ["8080", "9001", "enabled", "active"]


def test_a_switch_turns_its_part_of_the_stack_on_and_off(dev):
    assert settings_of(dev)["COMPOSE_PROFILES"] == "test"
    assert settings_of(dev, TEST_FRAMEWORK="disabled")["COMPOSE_PROFILES"] == ""
    staging = actions.ensure_environment(by=SYSTEM, slug="staging")
    assert "monitoring" in settings_of(staging)["COMPOSE_PROFILES"].split(",")
    assert "monitoring" not in settings_of(staging, MONITORING="disabled")["COMPOSE_PROFILES"].split(",")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"HOT_RELOAD": "maybe"}, "HOT_RELOAD=maybe is not known."),
        ({"MONITORING": "true"}, "MONITORING=true is not known."),
        ({"APP_PORT": "http"}, "APP_PORT=http is no port."),
        ({"APP_PORT": "70000"}, "APP_PORT=70000 is no port."),
        ({"HOT_RELAOD": "true"}, "HOT_RELAOD in .env.dev means nothing here."),
        ({"BRIDGE_PROTOCOL": "inactive"}, "TEST_FRAMEWORK=enabled needs BRIDGE_PROTOCOL=active: "),
    ],
)
def test_what_is_unknown_stops_the_start_with_help(dev, changed, said):
    with pytest.raises(StageFailed) as refused:
        settings_of(dev, **changed)
    assert refused.value.message.startswith(said)
    assert refused.value.hint


def test_what_stands_in_front_of_the_command_is_taken_where_the_file_reads_it(dev, monkeypatch):
    for name in stack.SWITCHES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("APP_PORT", "8090")
    monkeypatch.setenv("SOMETHING_ELSE", "1")
    found = stack.from_terminal(dev)
    assert found["APP_PORT"] == "8090"
    assert "SOMETHING_ELSE" not in found


def test_a_secret_in_front_of_the_command_is_not_kept_with_the_job(dev, monkeypatch):
    monkeypatch.setenv("FLOWCONTROL_ADMIN_PASSWORD", "planted-password")
    assert "FLOWCONTROL_ADMIN_PASSWORD" in stack.compose_file(dev).read_text(), "the file reads it"
    assert "planted-password" not in str(stack.from_terminal(dev))


def test_containers_of_dev_write_as_the_owner_of_the_project(dev):
    assert settings_of(dev)["FLOWCONTROL_UID"] == str(os.stat(stack.settings.BASE_DIR).st_uid)


def test_containers_of_staging_are_never_root(tmp_path):
    staging = actions.ensure_environment(by=SYSTEM, slug="staging")
    (tmp_path / "data").mkdir()
    assert settings_of(staging, FLOWCONTROL_STATE=str(tmp_path))["FLOWCONTROL_UID"] != "0"
