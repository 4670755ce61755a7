"""A version's own tests as leased work: executed in a confined process, kept as a row that a gate can read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import Any

from django.conf import settings

from apps.engine import child, paths, process
from apps.engine.limits import MIB
from apps.flows import casechild
from apps.flows.checked import workspace
from apps.flows.models import FlowTestResult, FlowVersion
from apps.jobs import leases
from apps.jobs.leases import Lease
from apps.jobs.states import State

TIMEOUT_SECONDS = 120.0
MEMORY_BYTES = 512 * MIB
LOOK_SECONDS = 0.2


class StoppedError(Exception):
    """The tests were ended before they had said anything; the message says by what."""


def execute(pk: int, *, worker: str = "") -> FlowTestResult | None:
    """Run the tests of the result `pk`; None where it is not to be had (another has it, or it is done).

    Killed anywhere, the reconciler has it done again: tests change nothing.
    """
    lease = leases.claim(FlowTestResult, pk, worker=worker)
    if lease is None:
        return None
    with lease:
        try:
            _finish(lease, _answer(lease))
        except StoppedError as stop:
            state = State.CANCELLED if lease.cancel_requested() else State.FAILED
            lease.finish(state, str(stop))
    result: FlowTestResult = lease.job
    return result


def _finish(lease: Lease, answer: dict[str, Any]) -> None:
    if "error" in answer:
        lease.finish(State.FAILED, answer["error"])
        return
    cases = answer["cases"]
    failed = sum(not case["ok"] for case in cases)
    lease.finish(
        State.SUCCEEDED,
        f"{failed} of {len(cases)} tests fail." if failed else "",
        cases=cases,
        passed=len(cases) - failed,
        failed=failed,
        seconds=round(sum(case["seconds"] for case in cases), 4),
    )


def _answer(lease: Lease) -> dict[str, Any]:
    """What the child says. Raises StoppedError when it died, took too long, or is not wanted any more."""
    version = FlowVersion.objects.get(pk=lease.job.version_id)
    given = {"text": version.text, "workspace": str(workspace()), "memory_bytes": MEMORY_BYTES}
    running = subprocess.Popen(
        [sys.executable, "-P", "-s", "-m", "apps.flows.casechild", str(os.getpid())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=_environment(),
        cwd="/",
    )
    try:
        said = _wait(running, json.dumps(given).encode(), lease)
    finally:
        running.kill()
        running.wait()
    try:
        answer: dict[str, Any] = json.loads(said)
    except ValueError:
        words = paths.relative(said.decode(errors="replace"), workspace())
        cause = process.cause_of_death(running.returncode, words, casechild.limits(MEMORY_BYTES))
        raise StoppedError(f"The tests could not be executed: {cause.message}") from None
    return answer


def _wait(running: subprocess.Popen[bytes], given: bytes, lease: Lease) -> bytes:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    to_send: bytes | None = given
    while not lease.should_stop():
        try:
            return running.communicate(to_send, timeout=LOOK_SECONDS)[0]
        except subprocess.TimeoutExpired:
            to_send = None
        if time.monotonic() > deadline:
            raise StoppedError(f"The tests took longer than {TIMEOUT_SECONDS:g} s and were stopped. Make them smaller.")
    raise StoppedError("They were stopped before they had ended.")


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in child.KEPT_VARIABLES if name in os.environ}
    return {**kept, "PYTHONPATH": str(settings.BASE_DIR), "MALLOC_ARENA_MAX": "2"}
