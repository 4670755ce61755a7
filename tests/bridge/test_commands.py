"""`manage.py bridge …`: documents on standard output, sentences on standard error, exit statuses; no Django."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from apps.bridge.cli_text import VERBS
from apps.bridge.protocol import Bridge
from apps.bridge.states import State
from tests.bridge.driving import ROOT, bring_to, manage

ROAD = (
    ("init",),
    ("layer", "L0"),
    ("case", "pass", "it is there"),
    ("case", "skip", "it is not here", "0", "no engine"),
    ("status",),
    ("offer",),
    ("accept",),
    ("layer", "L5"),
    ("case", "pass", "it runs", "1.5"),
    ("verify",),
    ("repair",),
    ("complete",),
)


def test_a_session_by_commands_alone(data: Path):
    states = []
    for words in ROAD:
        done = manage(data, *words, "--env", "dev", "--json")
        assert (done.returncode, done.stderr) == (0, ""), words
        document = json.loads(done.stdout)
        assert document["version"] == 1
        if words[0] != "verify":
            assert document["environment"] == "dev"
            states.append(document["state"])
    assert states[-1] == "completed"
    keys = ["version", "environment", "session", "state", "layers_done", "transitions"]
    status = json.loads(manage(data, "status", "--json").stdout)
    assert list(status) == keys
    assert list(status["transitions"][0]) == ["seq", "from", "to", "actor", "at", "reason"]
    assert status["layers_done"] == ["L0", "L5"]


def test_the_same_for_people(data: Path):
    for words in ROAD:
        done = manage(data, *words, env={"NO_COLOR": "1"})
        assert (done.returncode, done.stdout) == (0, ""), words
        assert done.stderr.strip()
        assert "\033" not in done.stderr


def test_a_refusal_is_a_document_and_exits_with_one(data: Path):
    done = manage(data, "layer", "L0", "--env", "staging", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout) == {
        "version": 1,
        "error": {
            "code": "no_session",
            "message": "There is no session for this.",
            "cure": "Open one: manage.py bridge init --env staging",
        },
    }
    told = manage(data, "layer", "L0")
    assert (told.returncode, told.stdout) == (1, "")
    assert told.stderr == "error: There is no session for this.\n  Open one: manage.py bridge init --env dev\n"


@pytest.mark.parametrize(
    "words",
    [(), ("begin",), ("layer",), ("layer", "L4"), ("case", "maybe", "x"), ("case", "pass", "x", "soon"),
     ("status", "--env", "../x"), ("offer", "--seconds", "-1"), ("init", "--unknown")],
    ids=str,
)  # fmt: skip
def test_wrong_use_exits_with_two(words: tuple[str, ...], data: Path):
    done = manage(data, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")


def test_a_failed_session_exits_with_one(bridge: Bridge, data: Path):
    bring_to(bridge, State.SHELL_RUNNING)
    manage(data, "case", "fail", "it is so")
    done = manage(data, "complete", "--json")
    assert (done.returncode, json.loads(done.stdout)["state"]) == (1, "failed")


def test_verify_exits_with_one_until_repair_has_been_called(bridge: Bridge, data: Path):
    bring_to(bridge, State.HANDOFF_OFFERED)
    (data / "handoff.json").unlink()
    done = manage(data, "verify", "--json")
    assert done.returncode == 1
    assert [each["code"] for each in json.loads(done.stdout)["problems"]] == ["handoff_missing"]
    assert json.loads(manage(data, "repair", "--json").stdout)["problems"]
    assert manage(data, "verify").returncode == 0


def test_repair_in_an_empty_folder_says_so(data: Path):
    done = manage(data, "repair", "--json")
    assert (done.returncode, json.loads(done.stdout)["session"]) == (0, None)


def test_the_environment_is_named_by_the_variable(bridge: Bridge, data: Path):
    manage(data, "init", env={"FLOWCONTROL_ENV": "staging"})
    assert Bridge(data, "staging").status().session.environment == "staging"


@pytest.mark.parametrize("verb", VERBS)
def test_help_says_how_a_verb_is_used(verb: str, data: Path):
    done = manage(data, verb, "--help")
    assert done.returncode == 0
    assert "Exit status" in done.stdout


def test_the_verbs_need_no_django(bridge: Bridge, data: Path):
    bring_to(bridge, State.SHELL_RUNNING)
    code = "import sys; sys.argv = ['manage.py', 'bridge', 'status']; import runpy\ntry: runpy.run_path('manage.py', run_name='__main__')\nexcept SystemExit: print('django' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={"FLOWCONTROL_DATA": str(data), "PATH": ""},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "False\n"


def test_django_lists_the_verbs():
    done = subprocess.run(
        [sys.executable, "manage.py", "help", "bridge"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert [verb for verb in VERBS if f"\n    {verb} " not in done.stdout] == []
