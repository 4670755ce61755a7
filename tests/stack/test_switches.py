"""Each switch does what it says; what is not known, or contradicts itself, stops the start with help."""

import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from apps.accounts.actors import for_command
from apps.environments.models import Environment
from apps.testruns.actions import FrameworkDisabled, start_testrun
from flowcontrol import environment
from flowcontrol.databases import database
from flowcontrol.stack.parts import queues_of
from tests.stack.portal import Portal

ROOT = Path(__file__).resolve().parent.parent.parent


def setting(tmp_path: Path, code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """What a new process with these variables says of its settings."""
    where = Portal(tmp_path, settings=variables)
    code = f"from django.conf import settings; print({code})"
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=where.environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("name", ["HOT_RELOAD", "TEST_FRAMEWORK", "BRIDGE_PROTOCOL", "MONITORING", "RECOVERY"])
def test_a_value_that_is_not_known_stops_the_start(tmp_path, name):
    said = setting(tmp_path, "settings.DEBUG", **{name: "perhaps"})
    assert said.returncode != 0
    assert f"{name}='perhaps' is not known. Write {name}=" in said.stderr


def test_a_portal_with_a_wrong_switch_does_not_start(tmp_path):
    process = Portal(tmp_path, settings={"RECOVERY": "sometimes"}).start_expecting_refusal()
    assert process.returncode == 1
    assert "RECOVERY=active or RECOVERY=inactive" in " ".join(process.stderr.split())


def test_tests_without_the_bridge_are_a_contradiction(tmp_path):
    said = setting(tmp_path, "settings.DEBUG", BRIDGE_PROTOCOL="inactive")
    assert said.returncode != 0
    assert "Set BRIDGE_PROTOCOL=active, or TEST_FRAMEWORK=disabled too." in said.stderr


def test_both_off_is_no_contradiction(tmp_path):
    off = {"BRIDGE_PROTOCOL": "inactive", "TEST_FRAMEWORK": "disabled"}
    said = setting(tmp_path, "settings.BRIDGE_PROTOCOL or settings.TEST_FRAMEWORK", **off)
    assert (said.returncode, said.stdout.strip()) == (0, "False"), said.stderr


def test_hot_reload_reads_templates_and_static_files_anew(tmp_path):
    code = "settings.WHITENOISE_AUTOREFRESH, 'cached' not in str(settings.TEMPLATES[0]['OPTIONS'].get('loaders', 'cached'))"
    assert setting(tmp_path, code, HOT_RELOAD="true").stdout.strip() == "True True"
    assert setting(tmp_path, code, HOT_RELOAD="false").stdout.strip() == "False False"


@pytest.mark.django_db
def test_without_the_test_framework_no_test_run_starts(settings):
    settings.TEST_FRAMEWORK = False
    settings.CLI_HAS_RIGHTS = True
    with pytest.raises(FrameworkDisabled) as refused:
        start_testrun(by=for_command(None), environment=Environment.objects.get(slug="dev"))
    assert "TEST_FRAMEWORK=enabled" in refused.value.hint


def test_without_the_bridge_no_session_is_opened(tmp_path):
    where = Portal(tmp_path, settings={"BRIDGE_PROTOCOL": "inactive"})
    said = where.manage("bridge", "init", check=False)
    assert said.returncode == 2
    assert "BRIDGE_PROTOCOL=active" in said.stderr


def test_without_recovery_nobody_takes_its_queue():
    assert queues_of(["control", "recovery"], recovery=False) == ["control"]
    assert queues_of(["control", "recovery"], recovery=True) == ["control", "recovery"]


# --- the readers -------------------------------------------------------------------------------------------


def test_a_secret_comes_from_a_file(monkeypatch, tmp_path):
    (tmp_path / "token").write_text("from a file\n")
    monkeypatch.setenv("SOME_TOKEN_FILE", str(tmp_path / "token"))
    assert environment.text("SOME_TOKEN") == "from a file"


def test_a_secret_whose_file_is_missing_stops_the_start(monkeypatch, tmp_path):
    monkeypatch.setenv("SOME_TOKEN_FILE", str(tmp_path / "none"))
    with pytest.raises(ImproperlyConfigured, match="SOME_TOKEN_FILE"):
        environment.text("SOME_TOKEN")


def test_the_password_of_a_database_may_stand_beside_its_address(tmp_path):
    assert database("postgres://fc@db/fc", tmp_path, "s3cret")["PASSWORD"] == "s3cret"
    assert database("postgres://fc:own@db/fc", tmp_path, "s3cret")["PASSWORD"] == "own"
