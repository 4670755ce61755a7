"""`manage.py testrun`: what it prints, writes and ends with."""

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from xml.etree import ElementTree as ET

import pytest
from django.core.management import call_command

from apps.jobs import messages
from apps.testruns import catalogue
from apps.testruns.cases.checks import Registry
from apps.testruns.models import TestRun
from tests.testruns.rooms import FAILS, POINTS, add_case


@pytest.fixture(autouse=True)
def data(transactional_db, settings, tmp_path, monkeypatch):
    settings.DATA = tmp_path
    monkeypatch.setattr(catalogue, "registry", Registry())
    monkeypatch.setattr(messages, "send", lambda kind, pk, queue: True)
    return tmp_path


def command(*words):
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
        call_command("testrun", *map(str, words))
    return ended.value.code, out.getvalue(), err.getvalue()


def test_without_a_worker_it_is_done_here_and_told_layer_by_layer(data):
    add_case(data, "L1/a.sh"), add_case(data, "L2/b.sh", FAILS)
    status, out, err = command("start", "dev", "--layers", "L2,L1")
    assert (status, out) == (1, "")
    assert "L1 core          passed  1 passed" in err
    assert "b.sh: " in err
    assert "it is broken" in err
    assert "failed: L2 environment failed: 1 of 1 cases, the first: b.sh." in err


def test_json_is_one_document_of_the_promised_form(data):
    add_case(data, "L1/points.sh", POINTS)
    status, out, err = command("start", "dev", "--layers", "L1", "--json")
    document = json.loads(out)
    assert (status, err) == (1, "")
    assert (document["version"], document["id"], document["status"]) == (1, TestRun.objects.get().pk, "failed")
    assert document["layers"][0].items() >= {"layer": "L1", "status": "failed", "passed": 1, "failed": 1}.items()
    assert document["cases"][0].keys() == {"layer", "source", "title", "status", "seconds", "attempts", "message"}


def test_junit_is_written_and_results_are_exported(data):
    add_case(data, "L1/a.sh")
    status, _, _ = command("start", "dev", "--layers", "L1", "--junit", data / "junit.xml")
    assert status == 0
    assert ET.parse(data / "junit.xml").getroot().get("tests") == "1"
    status, out, _ = command("export", TestRun.objects.get().pk, "--format", "tap")
    assert (status, out.splitlines()[:2]) == (0, ["TAP version 14", "1..1"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["start", "moon"], "There are: dev"),
        (["start", "dev", "--layers", "L4"], "L0, L1, L2, L3, L5"),
        (["start", "dev", "--as", "nobody"], "nobody"),
        (["export", "99"], "no test run 99"),
    ],
)
def test_wrong_use_is_status_2_and_says_what_would_do(words, said):
    status, out, err = command(*words)
    assert (status, out) == (2, "")
    assert said in err
    assert not TestRun.objects.exists()
