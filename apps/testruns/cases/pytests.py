"""A pytest file as cases: run in a process, each of its tests a result.

The file stands for itself: neither the settings of pytest nor the `conftest.py` of a folder above it count, and plugins
are loaded only by the file's own `pytest_plugins`. So a file tests the same wherever its folder lies.
"""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

from apps.testruns.cases.executables import end_of, own_folder
from apps.testruns.cases.model import Case, Place, Result, result_of
from apps.testruns.cases.process import CannotStartError, Running, declared_variables
from apps.testruns.cases.reading import STATUSES, End, Results, json_object, seconds_in
from apps.testruns.cases.tap import MOST_POINTS, Point

ROOT = Path(__file__).resolve().parents[3]  # what `apps` is imported from
NO_TESTS = 5  # pytest's exit status


def command(path: Path) -> list[str]:
    """How pytest is called for one file."""
    return [
        *(sys.executable, "-m", "pytest", str(path)),
        *("-p", "apps.testruns.cases.pytest_plugin", "-p", "no:cacheprovider"),
        *("-c", "/dev/null", "--rootdir", str(path.parent), "--confcutdir", str(path.parent)),
        *("-q", "--import-mode=importlib", "--color=no"),
    ]


def run_pytest(case: Case, place: Place, folder: Path, mark: str, stopping: Event) -> Iterator[Result]:
    """Run the file once. Results come as its tests end. Raises Stopped soon after `stopping` is set."""
    assert case.path is not None, "a pytest file has a path"
    reader, started = _PluginReader(case), time.monotonic()
    with own_folder(folder) as own:
        variables = declared_variables(place, case.layer, own, mark) | {
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        }
        try:
            running = Running(command(case.path), folder=own, variables=variables, takes_results=True)
        except CannotStartError as error:
            yield result_of(case, "failed", str(error))
            return
        with running:
            for stream, line in running.lines(case.timeout_seconds, stopping):
                if stream == "results":
                    yield from reader.feed(line)
        yield from reader.finish(end_of(running, case, time.monotonic() - started))


class _PluginReader:
    """Reads what the plugin tells. A killed process may leave half a line; it is not read."""

    def __init__(self, case: Case) -> None:
        self._made = Results(case)
        self._count = 0
        self._begun = ""
        self._has_ended = False

    def feed(self, line: str) -> list[Result]:
        event = json_object(line)
        self._begun = str(event.get("begins", self._begun))
        self._has_ended = self._has_ended or "ends" in event
        if "title" not in event or str(event.get("status")) not in STATUSES:
            return []
        self._count += 1
        self._begun = ""
        if self._count > MOST_POINTS:
            return []
        return self._made.of([_point(event, self._count)])

    def finish(self, end: End) -> list[Result]:
        trouble = self._trouble(end)
        return [self._made.whole(trouble, end)] if trouble else []

    def _trouble(self, end: End) -> str:
        """Why the file as a whole failed; "" when it did not."""
        during = f" It was running {self._begun}." if self._begun else ""
        if end.is_violent:
            return end.trouble + during
        if not self._has_ended:
            said = end.captured.text()
            if "No module named pytest" in said:
                return "pytest is not installed beside this portal: install it, or write the case in another way."
            last = "\n".join(end.captured.last(5))
            return f"pytest ended with exit code {end.code} before its tests did.{during}\n{last}".strip()
        if self._count > MOST_POINTS:
            return f"It has more than {MOST_POINTS:,} tests, and the rest was not read: split the file."
        if self._count == 0:
            return "It has no tests: begin the names of functions with test_, or remove the file."
        if end.code not in (0, NO_TESTS) and not self._made.any_failed:
            return f"Its tests passed, and pytest ended with exit code {end.code}: see the end of its output."
        return ""


def _point(event: dict[str, Any], number: int) -> Point:
    return Point(
        number,
        str(event["title"]),
        STATUSES[str(event["status"])],
        str(event.get("message", "")),
        str(event.get("output", "")),
        seconds_in(event),
    )
