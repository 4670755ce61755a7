"""JUnit XML, in the shape that Ant began and Jenkins, GitLab and most others read: a suite a layer, a testcase a result.

https://github.com/testmoapp/junitxml describes what is common. It has no word for flaky: such a case has passed, with a
property and a line of output that say so.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from xml.etree import ElementTree as ET

from apps.testruns.cases.model import Result

# What XML 1.0 has no way to say, not even escaped. Colours of a terminal go whole.
_COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_xml(results: Sequence[Result], *, name: str, started: datetime) -> str:
    """The document, as text with its declaration. `name` is the test run's."""
    root = ET.Element("testsuites", {"name": _text(name), **_counts(results)})
    for layer in dict.fromkeys(each.layer for each in results):
        of_layer = [each for each in results if each.layer == layer]
        suite = ET.SubElement(root, "testsuite", {"name": _text(layer), **_counts(of_layer)})
        suite.set("timestamp", started.replace(microsecond=0, tzinfo=None).isoformat())
        for each in of_layer:
            _add_case(suite, each)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _counts(results: Sequence[Result]) -> dict[str, str]:
    return {
        "tests": str(len(results)),
        "failures": str(sum(each.status == "failed" for each in results)),
        "errors": "0",
        "skipped": str(sum(each.status == "skipped" for each in results)),
        "time": _seconds(each.seconds for each in results),
    }


def _add_case(suite: ET.Element, result: Result) -> None:
    names = {"classname": _text(result.source), "name": _text(result.title), "time": _seconds([result.seconds])}
    case = ET.SubElement(suite, "testcase", names)
    if result.flaky:
        properties = ET.SubElement(case, "properties")
        ET.SubElement(properties, "property", {"name": "flaky", "value": f"passed at attempt {result.attempts}"})
    first = result.message.partition("\n")[0]
    if result.status == "failed":
        failure = ET.SubElement(case, "failure", {"message": _text(first), "type": "failure"})
        failure.text = _text(result.message)
    elif result.status == "skipped":
        ET.SubElement(case, "skipped", {"message": _text(first)})
    said = f"Passed only at attempt {result.attempts}.\n{result.output}" if result.flaky else result.output
    if said:
        ET.SubElement(case, "system-out").text = _text(said)


def _text(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", _COLOUR.sub("", text))


def _seconds(seconds: Iterable[float]) -> str:
    return f"{sum(seconds):.3f}"
