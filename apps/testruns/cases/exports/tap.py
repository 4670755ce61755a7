"""TAP 14: https://testanything.org/tap-version-14-specification.html. A result a point, details in its YAML block."""

import json
import re
from collections.abc import Sequence
from typing import Literal

from apps.testruns.cases.model import Result

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def tap_text(results: Sequence[Result], *, version: Literal[13, 14] = 14) -> str:
    """The document. Its plan comes first, so that one that was cut off is seen to be.

    `version` 13 is for readers that refuse a 14, as Perl's do before Test::Harness 3.48; nothing else is written
    otherwise.
    """
    lines = [f"TAP version {version}", f"1..{len(results)}" if results else "1..0 # SKIP there are no results"]
    for number, each in enumerate(results, start=1):
        lines += _point(number, each)
    return "\n".join(lines) + "\n"


def _point(number: int, result: Result) -> list[str]:
    title = _escaped(f"{result.layer} {result.source}: {result.title}")
    word = "not ok" if result.status == "failed" else "ok"
    directive = f" # SKIP {_line(result.message)}".rstrip() if result.status == "skipped" else ""
    return [f"{word} {number} - {title}{directive}", *_details(result)]


def _details(result: Result) -> list[str]:
    """JSON is YAML, so every text is written as JSON writes it: on one line, whatever is in it."""
    details: dict[str, object] = {"duration_ms": round(result.seconds * 1000, 3)}
    if result.attempts > 1:
        details |= {"attempts": result.attempts, "flaky": result.flaky}
    if result.status == "failed":
        details |= {"message": result.message, "severity": "fail"}
    if result.output:
        details["output"] = result.output
    return ["  ---", *(f"  {name}: {json.dumps(value)}" for name, value in details.items()), "  ..."]


def _escaped(text: str) -> str:
    return _line(text).replace("\\", "\\\\").replace("#", "\\#")


def _line(text: str) -> str:
    return _UNPRINTABLE.sub(" ", text).strip()
