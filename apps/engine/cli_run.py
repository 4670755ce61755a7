"""`manage.py flow run FILE --workspace DIR`: one run in a child of this process.

The child was forked before this module was imported. While it imports the engine, this process reads the arguments and
makes the plan; then it only listens. The child works under the same limits as a worker's runs.
"""

import argparse
import json
import os
import signal
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

from apps.common import clock
from apps.engine import cli_text, manifest
from apps.engine.cli_commands import UsageError
from apps.engine.errors import FlowRefused
from apps.engine.fork import Forked
from apps.engine.limits import GIB, MIB
from apps.engine.process import FlowProcess
from apps.engine.spec import RunOutcome, RunSpec
from apps.language import source
from apps.language.diagnostics import Diagnostic

KEY_PREFIX = "file-"  # of the keys of such runs: what a killed one leaves is removed by the next


def run(path: Path, data: bytes, workspace: Path, arguments: argparse.Namespace) -> int:
    """Run the file and print how it went; 0 if it succeeded. Ctrl-C cancels the run, a second one kills it.

    Killed itself, the run dies too, and the next one in the workspace finishes or removes what it left.
    """
    text, diagnostics = source.decode(data, str(path))
    wrong = next((each for each in diagnostics if each.is_error), None)
    outcome = (
        _refused(wrong)
        if wrong
        else _run(_spec(path, text, workspace, arguments), arguments.forked, quiet=arguments.json)
    )
    if arguments.json:
        sys.stdout.write(json.dumps(document(outcome), ensure_ascii=False, indent=2) + "\n")
        sys.stdout.flush()
    cli_text.show_outcome(outcome, path, text, quiet=arguments.json)
    return 0 if outcome.status == "succeeded" else 1


def document(outcome: RunOutcome) -> dict[str, Any]:
    """The documented form of a run: `docs/reference/commands-files.md`."""
    return {
        "version": 1,
        "status": outcome.status,
        "seconds": outcome.seconds,
        "error": outcome.error,
        "steps": [
            {"name": each["name"], "status": each["status"], "rows": each["rows"], "seconds": each["seconds"]}
            for each in outcome.steps
            if each["kind"] == "step"
        ],
        "outputs": outcome.outputs,
        "checks": outcome.checks,
    }


def _run(spec: RunSpec, forked: Forked, *, quiet: bool) -> RunOutcome:
    manifest.sweep(spec.workspace, KEY_PREFIX)
    process = FlowProcess(spec)
    process.start(forked, plan="there")
    interrupts = 0

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal interrupts
        interrupts += 1
        if interrupts == 1:
            cli_text.say("Cancelling … (press again to kill it)")
            # Not in here: the signal may have come in the middle of an order to the child.
            threading.Thread(target=process.cancel).start()
        else:
            process.kill()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        return _follow(process, quiet=quiet)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        manifest.forget(spec.workspace, spec.run_key)


def _follow(process: FlowProcess, *, quiet: bool) -> RunOutcome:
    started = time.monotonic()
    try:
        process.make_plan()
    except FlowRefused as error:
        process.abandon()
        return RunOutcome("failed", round(time.monotonic() - started, 4), error.to_json())
    with cli_text.Progress(quiet=quiet) as progress:
        for event in process.events():
            progress.show(event)
    return process.outcome


def _spec(path: Path, text: str, workspace: Path, arguments: argparse.Namespace) -> RunSpec:
    return RunSpec(
        text=text,
        path=str(path),
        workspace=workspace,
        params=_params(arguments.param),
        logical_time=_moment(arguments.now),
        run_key=f"{KEY_PREFIX}{os.urandom(16).hex()}",
        memory_bytes=arguments.memory * MIB if arguments.memory else _usual_memory(),
        temp_bytes=arguments.temp * MIB,
        timeout_seconds=arguments.timeout,
        threads=arguments.threads,
        previews=False,
    )


def _params(given: list[str]) -> dict[str, str]:
    values = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals or not name.strip():
            raise UsageError(
                f"--param {each}: a name, '=' and a value are expected.", hint="For example: --param region=EU"
            )
        values[name.strip()] = value
    return values


def _moment(text: str | None) -> datetime:
    if text is None:
        return clock.now()
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--now {text}: that is no time.", hint="Write it like 2026-01-01T06:00 (UTC).") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _usual_memory() -> int:
    """Half of the machine's memory, at least 1 GB: somebody at a terminal has the machine to himself."""
    return max(GIB, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2)


def _refused(wrong: Diagnostic) -> RunOutcome:
    shown = wrong.to_json()
    error = {key: shown[key] for key in ("code", "message", "hint", "line", "column")}
    return RunOutcome("failed", 0.0, error)
