"""CI: the workflows say what the project can do, and their summary says what happened."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yaml"))


def summary(*reports):
    spec = importlib.util.spec_from_file_location("summary", ROOT / ".ci" / "summary.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.page(list(reports))


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda each: each.name)
def test_what_a_workflow_calls_is_there(workflow):
    text = workflow.read_text(encoding="utf-8")
    targets = set(re.findall(r"\bmake ([a-z-]+)", text))
    assert targets <= set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for path in re.findall(r"\.venv/bin/python (\S+\.py)", text):
        assert (ROOT / path).exists(), path


def test_each_target_of_the_dockerfile_is_built_in_ci():
    built = re.search(r"target: \[(.+)\]", (ROOT / ".github" / "workflows" / "test.yaml").read_text("utf-8"))
    dockerfile = (ROOT / "Dockerfile").read_text("utf-8")
    targets = set(re.findall(r" AS (\S+)", dockerfile)) - {"packages", "dev-packages", "base"}
    assert {each.strip() for each in built[1].split(",")} == targets


def test_the_summary_names_what_failed(tmp_path):
    report = tmp_path / "suite.xml"
    report.write_text(
        '<testsuites><testsuite tests="3" failures="1" errors="0" skipped="1" time="4.2"><testcase classname="a" name="b">'
        '<failure message="it is | wrong"/></testcase></testsuite></testsuites>'
    )
    said = summary(report)
    assert "### suite: FAILED" in said
    assert "3 tests, 1 failed, 1 skipped, 4 s" in said
    assert "- `a.b`: it is \\| wrong" in said


def test_the_summary_shows_the_stages(tmp_path):
    report = tmp_path / "up.json"
    stages = [{"name": "platform", "status": "succeeded", "seconds": 1.5, "message": "all is there"}]
    report.write_text(json.dumps({"version": 1, "environment": "staging", "status": "succeeded", "stages": stages}))
    said = summary(report)
    assert "### Stack of staging: succeeded" in said
    assert "| platform | succeeded | 1.5 | all is there |" in said


def test_a_report_that_is_missing_is_said(tmp_path):
    assert "There is no report to read" in summary(tmp_path / "none.xml")
