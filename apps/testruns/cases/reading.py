"""What the output of an executable means: TAP, one JSON object a line, or nothing but its exit code.

The output decides. JSON: its first meaningful line is a result. TAP: its first meaningful line is a version, a plan or a
test point, or a version or a plan comes later. Everything else is plain.
"""

import json
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from apps.testruns.cases.model import WHOLE, Case, Result, Status, result_of, shortened
from apps.testruns.cases.output import Capture
from apps.testruns.cases.tap import MOST_POINTS, Point, TapReader

SKIPPED_EXIT_CODE = 77  # as automake and meson have it
LARGEST_LAST_LINES = 2_000  # characters
UNDECIDED_LINES = 2_000  # after so many without a sign of TAP there will be none

STATUSES: dict[str, Status] = {"pass": "passed", "fail": "failed", "skip": "skipped"}


@dataclass(frozen=True, slots=True)
class End:
    """How a process ended."""

    code: int  # negative is a signal
    seconds: float
    captured: Capture
    late_after: float | None = None  # its time in seconds, when that was not enough

    @property
    def trouble(self) -> str:
        """How it ended, as a sentence; "" when it ended well."""
        if self.late_after is not None:
            return f"It did not end within {self.late_after:g} s: make it quicker, or give it more time."
        if self.code < 0:
            return f"It was killed by {signal_name(-self.code)}: see the end of its output."
        return f"It ended with exit code {self.code}: see the end of its output." if self.code else ""

    @property
    def is_violent(self) -> bool:
        """Whether it did not end by itself: no result that it printed explains that."""
        return self.late_after is not None or self.code < 0


class OutputReader:
    """Fed the lines of standard output; gives results as they come, and at the end what the end itself says.

    Never raises, whatever is fed. `finish` comes once, after the last line.
    """

    def __init__(self, case: Case, captured: Capture) -> None:
        """`captured` grows while the process runs: a failed result shows what was said last when it came."""
        self._case = case
        self._kind: Literal["undecided", "tap", "json", "plain"] = "undecided"
        self._tap = TapReader()
        self._json = JsonReader()
        self._held: list[Point] = []  # points of what may still turn out to be no TAP
        self._lines = 0
        self._is_first = True
        self._made = Results(case, captured)

    def feed(self, line: str) -> list[Result]:
        """The results that are whole with this line."""
        if self._kind == "plain":
            return []
        if self._is_first and line.strip() and not line.lstrip().startswith("#"):
            self._is_first = False
            if is_json_result(line):
                self._kind = "json"
        if self._kind == "json":
            return self._made.of(self._json.feed(line))
        return self._feed_tap(line)

    def _feed_tap(self, line: str) -> list[Result]:
        points = self._tap.feed(line)
        if self._kind == "tap":
            return self._made.of(points)
        self._held += points
        self._lines += 1
        if self._tap.is_tap:
            self._kind = "tap"
            points, self._held = self._held, []
            return self._made.of(points)
        if self._lines >= UNDECIDED_LINES:
            self._kind = "plain"
        return []

    def finish(self, end: End) -> list[Result]:
        """The results that are left, with the one failure more if there is cause for it."""
        if self._kind == "json":
            return self._whole([], self._json.trouble(), end)
        if self._kind == "tap":
            return self._whole(self._made.of(self._tap.finish()), self._tap.trouble(), end)
        return [plain_result(self._case, end)]

    def _whole(self, results: list[Result], trouble: str, end: End) -> list[Result]:
        """A non-zero exit code after a failed result only repeats it; after none it is a failure of its own."""
        if self._kind == "tap" and self._tap.plan == 0 and not self._tap.count and not trouble and not end.trouble:
            return [result_of(self._case, "skipped", self._tap.skip_reason or "", seconds=end.seconds)]
        if end.is_violent or not self._made.any_failed:
            trouble = " ".join(each for each in (trouble, end.trouble) if each)
        if not trouble:
            return results
        last = end.captured.last(5)
        said = "\n".join([trouble, "Its last lines:", *last]) if end.trouble and last else trouble
        return [*results, self._made.whole(said, end)]


class Results:
    """Makes results of one run of a case: counted on, and no title twice."""

    def __init__(self, case: Case, captured: Capture | None = None) -> None:
        self._case, self._captured = case, captured
        self._seen: dict[str, int] = {}
        self._count = 0
        self.any_failed = False

    def of(self, points: Iterable[Point]) -> list[Result]:
        return [self._one(each) for each in points]

    def whole(self, message: str, end: End) -> Result:
        """The one failure more."""
        output = end.captured.text()
        return self._one(Point(0, WHOLE, "failed", message, output, end.seconds))

    def _one(self, point: Point) -> Result:
        self._count += 1
        self.any_failed = self.any_failed or point.status == "failed"
        return Result(
            self._case.layer,
            self._case.source,
            self._unique(point.title),
            point.status,
            seconds=point.seconds,
            message=point.message,
            output=self._output_of(point),
            order=self._count,
        )

    def _output_of(self, point: Point) -> str:
        """What belongs to the point. One that failed shows the last lines of the file too: standard error is among
        them, of which nobody can say to which point it belongs."""
        if point.status != "failed" or self._captured is None or point.title == WHOLE:
            return point.output
        said = shortened("\n".join(self._captured.last(20)), LARGEST_LAST_LINES)
        return "\n".join(filter(None, [point.output, "--- the last lines of the file at that time ---", said]))

    def _unique(self, title: str) -> str:
        """A case's history goes by its title, so the second of a name is another."""
        title = title[:250]
        self._seen[title] = self._seen.get(title, 0) + 1
        return title if self._seen[title] == 1 else self._unique(f"{title} ({self._seen[title]})")


# --- one JSON object a line ------------------------------------------------------------------------------


class JsonReader:
    """Lines such as {"title": "Redis answers", "status": "pass", "seconds": 0.1, "message": ""}."""

    def __init__(self) -> None:
        self._count = 0

    def feed(self, line: str) -> list[Point]:
        """The result in the line. A line that begins like an object and is no result is a failed one."""
        if not line.lstrip().startswith("{"):
            return []
        self._count += 1
        if self._count > MOST_POINTS:
            return []
        return [_json_point(line, self._count)]

    def trouble(self) -> str:
        if self._count > MOST_POINTS:
            return f"It has more than {MOST_POINTS:,} results, and the rest was not read: split the file."
        return ""


def is_json_result(line: str) -> bool:
    """Whether the line is a result. Any other document is output: a program may print JSON for its own ends."""
    found = json_object(line)
    return "title" in found and "status" in found


def _json_point(line: str, number: int) -> Point:
    found = json_object(line)
    title, status = found.get("title"), found.get("status")
    if not isinstance(title, str) or not title.strip() or not isinstance(status, str) or status not in STATUSES:
        why = 'write {"title": …, "status": "pass", "fail" or "skip"}, and if you like "seconds" and "message"'
        return Point(number, f"result {number}", "failed", f"This line is no result: {line[:200]}\n{why}")
    message = found.get("message") or ""
    if not message and status != "pass":
        message = "it gave no reason"
    return Point(number, title.strip(), STATUSES[status], str(message), seconds=seconds_in(found))


def seconds_in(found: dict[str, Any]) -> float:
    """The value of `seconds`, 0 if it is no length of time: JSON as Python reads it has NaN and infinity."""
    seconds = found.get("seconds")
    return float(seconds) if isinstance(seconds, int | float) and 0 <= seconds < 10**9 else 0.0


def json_object(line: str) -> dict[str, Any]:
    """The object in the line, {} if there is none."""
    if not line.lstrip().startswith("{"):
        return {}
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


# --- nothing but the exit code -----------------------------------------------------------------------------


def plain_result(case: Case, end: End) -> Result:
    """0 passed, 77 skipped with the last line as the reason, anything else failed with the last lines as the message."""
    output, last = end.captured.text(), end.captured.last()
    if end.code == SKIPPED_EXIT_CODE and not end.is_violent:
        return result_of(case, "skipped", last[-1] if last else "it gave no reason", seconds=end.seconds, output=output)
    if not end.trouble:
        return result_of(case, "passed", seconds=end.seconds, output=output)
    message = "\n".join([end.trouble, *last]) if end.is_violent or not last else "\n".join(last)
    return result_of(case, "failed", message, seconds=end.seconds, output=output)


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
