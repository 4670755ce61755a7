"""The plugin that pytest is run with: one JSON line a test, written as the test ends. See pytests.py.

Loaded by `-p` in the process of the tests, so it imports nothing of the house.
"""

import json
import os
from typing import Any

_RESULTS = int(os.environ.pop("FLOWCONTROL_RESULTS_FD", "-1"))
if _RESULTS >= 0:
    os.set_inheritable(_RESULTS, False)

_running: dict[str, dict[str, Any]] = {}


def _tell(**event: Any) -> None:
    if _RESULTS >= 0:
        data = json.dumps(event).encode() + b"\n"
        while data:
            data = data[os.write(_RESULTS, data) :]


def _title(nodeid: str) -> str:
    """The name of a test inside of its file."""
    return nodeid.partition("::")[2] or nodeid


def pytest_runtest_logstart(nodeid: str) -> None:
    _running[nodeid] = {"title": _title(nodeid), "status": "pass", "seconds": 0.0, "message": "", "output": ""}
    _tell(begins=_title(nodeid))


def pytest_runtest_logreport(report: Any) -> None:
    """Called after setup, call and teardown; the worst of the three is the result."""
    result = _running.setdefault(report.nodeid, {"title": _title(report.nodeid), "status": "pass", "seconds": 0.0})
    result["seconds"] += report.duration
    if report.skipped and result["status"] == "pass":
        result |= {"status": "skip", "message": _why_skipped(report)}
    elif report.failed and result["status"] != "fail":
        where = "" if report.when == "call" else f"error in {report.when}: "
        result |= {"status": "fail", "message": where + _last_line(report), "output": report.longreprtext}
    if report.when == "teardown":
        sections = [f"--- {name} ---\n{text}" for name, text in report.sections]
        result["output"] = "\n".join([*filter(None, [result.get("output", "")]), *sections])[-50_000:]
        result["message"] = result.get("message", "")[:4_000]
        _tell(**_running.pop(report.nodeid))


def pytest_collectreport(report: Any) -> None:
    """A file that cannot be read, or that skips itself, has no tests: then this is its result."""
    if report.failed:
        text = report.longreprtext
        _tell(title="collection", status="fail", seconds=0.0, message=_last_line(report), output=text[-50_000:])
    elif report.skipped:
        _tell(title="collection", status="skip", seconds=0.0, message=_why_skipped(report), output="")


def pytest_sessionfinish(exitstatus: int) -> None:
    _tell(ends=int(exitstatus))


def _why_skipped(report: Any) -> str:
    if hasattr(report, "wasxfail"):
        return f"expected to fail: {report.wasxfail.removeprefix('reason: ') or 'it gave no reason'}"
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return str(reason).removeprefix("Skipped: ")


def _last_line(report: Any) -> str:
    """What went wrong, in a line: pytest's own, without its margin."""
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is not None:
        return f"{crash.message} ({os.path.basename(crash.path)}, line {crash.lineno})"
    lines = [line.removeprefix("E").strip() for line in report.longreprtext.splitlines() if line.strip()]
    return lines[-1] if lines else "it failed"
