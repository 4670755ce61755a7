"""A page for a CI run from its reports: JUnit XML of tests, and the JSON of `environment up`.

    python .ci/summary.py REPORT…

A report that is missing or broken is said, not passed over: the step that should have written it failed.
"""

import json
import sys
import xml.etree.ElementTree as ET  # our own reports, written in this run
from pathlib import Path


def page(reports: list[Path]) -> str:
    return "\n".join(_part(path) for path in reports)


def _part(path: Path) -> str:
    try:
        return _of_stack(path) if path.suffix == ".json" else _of_tests(path)
    except (OSError, ValueError, KeyError, ET.ParseError) as error:
        return f"### {path.name}\n\nThere is no report to read: {type(error).__name__}: {error}\n"


def _of_stack(path: Path) -> str:
    document = json.loads(path.read_text(encoding="utf-8"))
    rows = [
        f"| {each['name']} | {each['status']} | {each['seconds']} | {_cell(each['message'])} |"
        for each in document["stages"]
    ]
    head = [
        f"### Stack of {document['environment']}: {document['status']}",
        "",
        "| stage | status | seconds | |",
        "|---|---|---|---|",
    ]
    return "\n".join([*head, *rows, ""])


def _of_tests(path: Path) -> str:
    suites = list(ET.parse(path).getroot().iter("testsuite"))  # noqa: S314
    count = {
        name: sum(int(suite.get(name, 0)) for suite in suites) for name in ("tests", "failures", "errors", "skipped")
    }
    seconds = sum(float(suite.get("time", 0)) for suite in suites)
    bad = count["failures"] + count["errors"]
    lines = [
        f"### {path.stem}: {'FAILED' if bad else 'passed'}",
        "",
        f"{count['tests']} tests, {bad} failed, {count['skipped']} skipped, {seconds:.0f} s",
        "",
    ]
    lines += [
        f"- `{case.get('classname')}.{case.get('name')}`: {_cell(trouble.get('message') or '')}"
        for suite in suites
        for case in suite.iter("testcase")
        for trouble in (*case.findall("failure"), *case.findall("error"))
    ]
    return "\n".join([*lines, ""])


def _cell(text: str) -> str:
    return " ".join(str(text).split()).replace("|", "\\|")[:300]


if __name__ == "__main__":
    sys.stdout.write(page([Path(name) for name in sys.argv[1:]]))
