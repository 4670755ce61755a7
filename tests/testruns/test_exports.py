"""Exports open in their own readers, whatever is in the results."""

import json
import os
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree as ET

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.testruns.cases.exports.ctrf import ctrf_json
from apps.testruns.cases.exports.junit import junit_xml
from apps.testruns.cases.exports.tap import tap_text
from apps.testruns.cases.model import Result
from apps.testruns.cases.tap import TapReader

STARTED = datetime(2026, 3, 1, 12, tzinfo=UTC)
ENDED = STARTED + timedelta(seconds=2.5)
SCHEMA = json.loads(Path(__file__).with_name("ctrf.schema.json").read_text())

RESULTS = [
    Result("L0", "L0/colour.sh", "256 colours", "passed", seconds=0.25, output="\x1b[31mred\x1b[0m\x07"),
    Result("L0", "L0/tty.sh", "has a terminal", "skipped", message="no terminal here"),
    Result("L2", "L2/redis.sh", "answers # in time", "failed", 1.5, message="no answer\nfrom <redis>", output="a\0b"),
    Result("L2", "checks:disk", "has room \\", "passed", 0.1, attempts=2, flaky=True),
]

TEXTS = st.text(max_size=80) | st.sampled_from(
    ["\x00\x1b[0m", "]]>", "# SKIP", "\\# TODO", "\ud800", "\n1..5\nok 2", "  ..."]
)
ANY_RESULT = st.builds(
    Result,
    layer=st.sampled_from(["L0", "L5"]),
    source=TEXTS,
    title=TEXTS,
    status=st.sampled_from(["passed", "failed", "skipped"]),
    seconds=st.floats(0, 1e6),
    attempts=st.integers(1, 3),
    flaky=st.booleans(),
    message=TEXTS,
    output=TEXTS,
)


# --- JUnit ---------------------------------------------------------------------------------------------------------


def test_junit_has_a_suite_a_layer_and_a_case_a_result():
    root = ET.fromstring(junit_xml(RESULTS, name="dev 7", started=STARTED))
    assert (root.tag, root.attrib) == (
        "testsuites",
        {"name": "dev 7", "tests": "4", "failures": "1", "errors": "0", "skipped": "1", "time": "1.850"},
    )
    assert [(suite.get("name"), suite.get("tests"), suite.get("timestamp")) for suite in root] == [
        ("L0", "2", "2026-03-01T12:00:00"),
        ("L2", "2", "2026-03-01T12:00:00"),
    ]
    cases = {case.get("name"): case for case in root.iter("testcase")}
    assert cases["answers # in time"].find("failure").get("message") == "no answer"
    assert cases["answers # in time"].find("failure").text == "no answer\nfrom <redis>"
    assert cases["answers # in time"].get("classname") == "L2/redis.sh"
    assert cases["has a terminal"].find("skipped").get("message") == "no terminal here"
    assert cases["256 colours"].find("system-out").text == "red\ufffd"
    assert cases["has room \\"].find("properties/property").get("value") == "passed at attempt 2"


def test_junit_opens_in_a_reader_of_others(tmp_path):
    junitparser = pytest.importorskip("junitparser")
    (tmp_path / "junit.xml").write_text(junit_xml(RESULTS, name="dev 7", started=STARTED), encoding="utf-8")
    read = junitparser.JUnitXml.fromfile(str(tmp_path / "junit.xml"))
    assert (read.tests, read.failures, read.skipped) == (4, 1, 1)
    assert [case.name for suite in read for case in suite] == [each.title for each in RESULTS]


@given(st.lists(ANY_RESULT, max_size=5))
def test_junit_of_anything_is_xml(results):
    root = ET.fromstring(junit_xml(results, name="any", started=STARTED).encode())
    assert len(list(root.iter("testcase"))) == len(results)


# --- TAP -------------------------------------------------------------------------------------------------------------


def read_tap(text):
    reader = TapReader()
    points = [point for line in text.splitlines() for point in reader.feed(line)] + reader.finish()
    return points, reader


def test_tap_is_read_as_it_was_written():
    points, reader = read_tap(tap_text(RESULTS))
    assert reader.trouble() == ""
    assert [(point.status, point.title) for point in points] == [
        ("passed", "L0 L0/colour.sh: 256 colours"),
        ("skipped", "L0 L0/tty.sh: has a terminal"),
        ("failed", "L2 L2/redis.sh: answers # in time"),
        ("passed", "L2 checks:disk: has room \\"),
    ]
    assert points[1].message == "no terminal here"
    assert points[0].seconds == 0.25


@given(st.lists(ANY_RESULT, min_size=1, max_size=5))
def test_tap_of_anything_has_the_same_counts(results):
    points, reader = read_tap(tap_text(results))
    assert reader.trouble() == ""
    assert [point.status for point in points] == [each.status for each in results]


@pytest.mark.skipif(shutil.which("prove") is None, reason="prove (Perl's TAP::Harness) is not installed")
def test_tap_opens_in_prove(tmp_path):
    (tmp_path / "results.tap").write_text(tap_text(RESULTS, version=13))
    done = subprocess.run(
        ["prove", "-v", "-e", "cat", "results.tap"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Failed 1/4 subtests" in done.stdout
    assert "Failed test:  3" in done.stdout
    assert "less 1 skipped" in done.stdout
    assert "Parse errors" not in done.stdout


# --- CTRF ------------------------------------------------------------------------------------------------------------


def test_ctrf_says_what_came():
    report = json.loads(ctrf_json(RESULTS, started=STARTED, ended=ENDED, environment="dev", version="0.1.0"))
    jsonschema.validate(report, SCHEMA)
    assert report["results"]["summary"] == {
        "tests": 4,
        "passed": 2,
        "failed": 1,
        "skipped": 1,
        "pending": 0,
        "other": 0,
        "flaky": 1,
        "suites": 4,
        "start": 1772366400000,
        "stop": 1772366402500,
    }
    failed, flaky = report["results"]["tests"][2:]
    assert (failed["duration"], failed["suite"], failed["message"]) == (
        1500,
        ["L2", "L2/redis.sh"],
        "no answer\nfrom <redis>",
    )
    assert (flaky["flaky"], flaky["retries"], flaky["status"]) == (True, 1, "passed")
    assert report["results"]["environment"] == {"testEnvironment": "dev"}


@given(st.lists(ANY_RESULT, max_size=5))
def test_ctrf_of_anything_is_valid(results):
    jsonschema.validate(json.loads(ctrf_json(results, started=STARTED, ended=ENDED).encode()), SCHEMA)


def test_the_schema_refuses_what_is_no_report():
    report = json.loads(ctrf_json(RESULTS, started=STARTED, ended=ENDED))
    report["results"]["tests"][0]["status"] = "good"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(report, SCHEMA)
