"""Reads the Test Anything Protocol, versions 12 to 14, line by line: https://testanything.org/tap-version-14-specification.html

Tolerant, as its specification asks: a line that is no TAP is output, never an error. Strict in what counts: a plan that
is not met, a number that comes twice or a bail-out is a trouble, which whoever runs the file counts as one failure more.
Only top-level points count. An indented subtest belongs to the point that follows it.
"""

import itertools
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from apps.testruns.cases.output import Capture

MOST_POINTS = 10_000  # of one file; what comes after is not read
LARGEST_DETAIL = 8_192  # characters kept of what stands beside one point
LARGEST_DETAILS = 1_000_000  # and of all of a file together

_VERSION = re.compile(r"TAP version \d{1,9}\s*$", re.IGNORECASE)
_PLAN = re.compile(r"1\.\.(?P<count>\d{1,9})\s*(?:#\s*(?P<skip>SKIP\S*)?\s*(?P<reason>.*))?$", re.IGNORECASE)
_POINT = re.compile(r"(?P<not>not\s+)?ok(?=[\s#]|$)\s*(?P<number>\d{1,9}(?=\s|#|$))?\s*(?P<rest>.*)$")
_DIRECTIVE = re.compile(r"(?P<said>(?:[^\\]|\\.)*?)#\s*(?P<word>SKIP\S*|TODO\b):?\s*(?P<reason>.*)$", re.IGNORECASE)
_BAIL_OUT = re.compile(r"\s*Bail out!\s*(?P<reason>.*)$", re.IGNORECASE)
_PRAGMA = re.compile(r"pragma [+-]\w")
_YAML_DURATION = re.compile(r"\s*duration_ms:\s*[\"']?(?P<said>\d{1,9}(?:\.\d{1,9})?)\b", re.ASCII)
_YAML_MESSAGE = re.compile(r"\s*message:\s*(?P<said>.*)$")


@dataclass(frozen=True, slots=True)
class Point:
    """One test point. A failing one that is marked SKIP or TODO counts as skipped."""

    number: int
    title: str
    status: Literal["passed", "failed", "skipped"]
    message: str = ""
    output: str = ""  # subtest, comments and YAML that belong to it
    seconds: float = 0.0  # `duration_ms` of its YAML, else since the point before it came


class TapReader:
    """Fed line by line; each `feed` gives the points that are whole now, `finish` the rest.

    A point is whole when the next one begins, since what explains it follows it. Nothing here raises, whatever is fed.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since = clock()
        self.plan: int | None = None
        self.skip_reason: str | None = None  # `1..0 # SKIP reason`: there is nothing to run, and why
        self.bail_out: str | None = None
        self.is_tap = False  # a version, a plan, or a point as its first meaningful line
        self._numbers: set[int] = set()
        self._plans = 0
        self._twice: list[int] = []
        self._open: _OpenPoint | None = None
        self._before: list[str] = []  # a subtest, whose point is to come
        self._before_size = 0
        self._detail_left = LARGEST_DETAILS
        self._too_many = False
        self._is_first = True

    @property
    def count(self) -> int:
        return len(self._numbers) + len(self._twice)

    def feed(self, line: str) -> list[Point]:
        """The points that this line made whole: none or one."""
        line = line.rstrip("\r\n")
        if self.bail_out is not None or self._too_many:
            return []
        if self._open is not None and self._open.takes_as_yaml(line):
            return []
        first, self._is_first = self._is_first, self._is_first and (not line.strip() or line.lstrip().startswith("#"))
        if bail_out := _BAIL_OUT.match(line):
            return self._bail(bail_out["reason"])
        if point := _POINT.match(line):
            self.is_tap = self.is_tap or first
            return self._begin(point)
        if plan := _PLAN.match(line):
            self._take_plan(plan)
        elif _VERSION.match(line):
            self.is_tap = True
        elif not _PRAGMA.match(line):
            self._keep(line)
        return []

    def finish(self) -> list[Point]:
        """The last point. Nothing may be fed after it."""
        return self._close()

    def trouble(self) -> str:
        """Why the stream as a whole is bad, and what to do about it; "" when it is as it should be."""
        if self.bail_out is not None:
            return f"It bailed out: {self.bail_out or 'it gave no reason'}."
        if self._too_many:
            return f"It has more than {MOST_POINTS:,} points, and the rest was not read: split the file."
        found = [self._plan_trouble(), self._number_trouble()]
        return " ".join(each for each in found if each)

    # --- what each kind of line does ------------------------------------------------------------------

    def _begin(self, found: re.Match[str]) -> list[Point]:
        done = self._close()
        if self.count >= MOST_POINTS:
            self._too_many = True
            return done
        number = int(found["number"]) if found["number"] else self.count + 1
        if number in self._numbers:
            self._twice.append(number)
        self._numbers.add(number)
        before, self._since = self._since, self._clock()
        room = min(LARGEST_DETAIL, self._detail_left)
        self._open = _OpenPoint(number, not found["not"], found["rest"], room, self._since - before)
        for line in self._before:
            self._open.explain(line, counts=False)
        self._before, self._before_size = [], 0
        return done

    def _take_plan(self, found: re.Match[str]) -> None:
        self.is_tap = True
        self._plans += 1
        self.plan = int(found["count"])
        if self.plan == 0:
            self.skip_reason = (found["reason"] or "").strip() or "it gave no reason"

    def _bail(self, reason: str) -> list[Point]:
        self.is_tap = True
        self.bail_out = reason.strip().rstrip(".")
        return self._close()

    def _keep(self, line: str) -> None:
        """Comments explain the point before them; a subtest the one after."""
        if line.startswith("    ") or line.lstrip().startswith("# Subtest"):
            self._before_size += len(line)
            if self._before_size <= LARGEST_DETAIL:
                self._before.append(line)
        elif self._open is not None:
            self._open.explain(line, counts=line.startswith("#"))

    def _close(self) -> list[Point]:
        if self._open is None:
            return []
        point, self._open = self._open.closed(), None
        self._detail_left = max(0, self._detail_left - len(point.output))
        return [point]

    # --- what is wrong with the whole -----------------------------------------------------------------

    def _plan_trouble(self) -> str:
        if self.plan is None:
            return f"It has no plan: print 1..{self.count or 'N'} first or last, so that a crash is noticed."
        if self._plans > 1:
            return "It has more than one plan: print one, first or last."
        if self.plan == self.count:
            return ""
        few = self.count < self.plan
        advice = "see where it stopped" if few else "correct the plan, or remove what is run twice"
        return f"It planned {_points(self.plan)} and ran {self.count}: {advice}."

    def _number_trouble(self) -> str:
        if self._twice:
            listed = ", ".join(str(number) for number in sorted(set(self._twice))[:5])
            return f"These numbers came more than once: {listed}. Count on, or leave the numbers out."
        if self.plan is None:
            return ""
        missing = itertools.islice((at for at in range(1, self.plan + 1) if at not in self._numbers), 5)
        listed = ", ".join(str(number) for number in missing)
        return f"These numbers are missing: {listed}." if listed else ""


class _OpenPoint:
    """A point whose explanation may still come."""

    __slots__ = (
        "_comments",
        "_detail",
        "_in_yaml",
        "_is_ok",
        "_may_have_yaml",
        "_number",
        "_rest",
        "_seconds",
        "_yaml",
    )

    def __init__(self, number: int, is_ok: bool, rest: str, room: int, seconds: float) -> None:
        self._number, self._is_ok, self._rest, self._seconds = number, is_ok, rest, seconds
        self._detail = Capture(room)
        self._comments: list[str] = []
        self._yaml: list[str] = []
        self._in_yaml, self._may_have_yaml = False, True

    def takes_as_yaml(self, line: str) -> bool:
        """Whether the line belongs to the YAML block below the point; if so it is kept."""
        is_indented = line[:1] in (" ", "\t")
        if self._in_yaml and (is_indented or not line.strip()):
            self._in_yaml = line.strip() != "..."
        elif self._may_have_yaml and is_indented and line.strip() == "---":
            self._in_yaml, self._may_have_yaml = True, False
        else:
            self._in_yaml = False  # nothing ended it, and it is over
            self._may_have_yaml = self._may_have_yaml and (not line.strip() or line.lstrip().startswith("#"))
            return False
        self._detail.add(line)
        if len(self._yaml) < 100:
            self._yaml.append(line)
        return True

    def explain(self, line: str, *, counts: bool) -> None:
        """Keep a line; one that `counts` is part of the message when the point failed."""
        if line.strip():
            self._detail.add(line)
        if counts and len(self._comments) < 20:
            self._comments.append(line.lstrip("# ").rstrip())

    def closed(self) -> Point:
        said, word, reason = _directive_of(self._rest)
        title = _unescaped(said.strip().removeprefix("-").strip())
        skipped = word == "skip" or (word == "todo" and not self._is_ok)
        if skipped:
            message = reason or ("it gave no reason" if word == "skip" else "to do")
            status: Literal["passed", "failed", "skipped"] = "skipped"
        elif self._is_ok:
            status, message = "passed", ""
        else:
            status, message = "failed", self._why()
        seconds = _yaml_seconds(self._yaml, self._seconds)
        return Point(self._number, title or f"point {self._number}", status, message, self._detail.text(), seconds)

    def _why(self) -> str:
        return _yaml_message(self._yaml) or "\n".join(line for line in self._comments if line) or "not ok"


def _directive_of(rest: str) -> tuple[str, str, str]:
    """Description, "skip", "todo" or "", and the reason."""
    found = _DIRECTIVE.match(rest)
    if not found:
        return rest, "", ""
    return found["said"], found["word"][:4].lower(), found["reason"].strip()


def _unescaped(text: str) -> str:
    return re.sub(r"\\([\\#])", r"\1", text)


def _yaml_message(lines: list[str]) -> str:
    """The value of `message:`, as far as it can be told without reading YAML: a scalar, or a block of lines."""
    for at, line in enumerate(lines):
        found = _YAML_MESSAGE.match(line)
        if not found:
            continue
        said = found["said"].strip()
        if said[:1] not in ("|", ">"):
            return said.strip("\"'")
        return _block_below(line, lines[at + 1 :])
    return ""


def _block_below(line: str, lines: list[str]) -> str:
    """The lines that are indented deeper than `line`."""
    indent = _indent(line)
    block = itertools.takewhile(lambda each: not each.strip() or _indent(each) > indent, lines)
    return "\n".join(each.strip() for each in block).strip()


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _yaml_seconds(lines: list[str], otherwise: float) -> float:
    for line in lines:
        if found := _YAML_DURATION.match(line):
            return float(found["said"]) / 1000
    return otherwise


def _points(count: int) -> str:
    return "1 point" if count == 1 else f"{count:,} points"
