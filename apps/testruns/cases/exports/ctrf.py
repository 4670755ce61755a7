"""CTRF, the Common Test Report Format in JSON: https://ctrf.io/docs/specification/overview"""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from apps.testruns.cases.model import Result

SPEC_VERSION = "0.1.0"  # as its published examples have it


def ctrf_json(
    results: Sequence[Result], *, started: datetime, ended: datetime, environment: str = "", version: str = ""
) -> str:
    """The report. Times of day are whole milliseconds since 1970, durations whole milliseconds."""
    tool = {"name": "Flow Control"} | ({"version": version} if version else {})
    report = {
        "reportFormat": "CTRF",
        "specVersion": SPEC_VERSION,
        "generatedBy": "Flow Control",
        "timestamp": ended.isoformat(),
        "results": {
            "tool": tool,
            "summary": _summary(results, started, ended),
            "tests": [_test(each) for each in results],
            **({"environment": {"testEnvironment": environment}} if environment else {}),
        },
    }
    return json.dumps(report, indent=2, ensure_ascii=False) + "\n"


def _summary(results: Sequence[Result], started: datetime, ended: datetime) -> dict[str, int]:
    count = {status: sum(each.status == status for each in results) for status in ("passed", "failed", "skipped")}
    return {
        "tests": len(results),
        **count,
        "pending": 0,
        "other": 0,
        "flaky": sum(each.flaky for each in results),
        "suites": len({(each.layer, each.source) for each in results}),
        "start": _milliseconds(started.timestamp()),
        "stop": _milliseconds(ended.timestamp()),
    }


def _test(result: Result) -> dict[str, Any]:
    test: dict[str, Any] = {
        "name": result.title or "unnamed",
        "status": result.status,
        "duration": _milliseconds(result.seconds),
        "suite": [result.layer, result.source],
        "retries": result.attempts - 1,
        "flaky": result.flaky,
    }
    if result.message:
        test["message"] = result.message
    if result.output and result.status == "failed":
        test["trace"] = result.output
    elif result.output:
        test["stdout"] = result.output.splitlines()
    return test


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
