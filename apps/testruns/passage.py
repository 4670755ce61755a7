"""A test run's bridge session: opened with it, carried from the shell framework to the application framework, ended.

Each verb of the bridge can be done again, so that a run that is taken up by another worker goes on where it was. A
session of this environment that a shell framework has offered is taken over, with the results it brings.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from django.conf import settings
from django.db import transaction

from apps.audit import actions as audit
from apps.audit.actors import SYSTEM
from apps.bridge.errors import BridgeRefusal
from apps.bridge.protocol import Bridge
from apps.bridge.records import CaseRecord, Status, Transition
from apps.bridge.states import State
from apps.environments.models import StackJob
from apps.jobs.states import FINAL
from apps.jobs.states import State as JobState
from apps.testruns.models import CaseResult, TestRun

# Run by the shell framework; what is above is the application's.
SHELL_LAYERS = ("L0", "L1", "L2")
TOLD = ("title", "status", "layer", "source", "seconds", "attempts", "flaky", "message")
MADE_UP = 3  # test runs whose transitions are looked after when another begins
_ACTOR = "testrun"


def _token(run: TestRun) -> str:
    return f"testrun:{run.pk}"


def is_ours(token: str) -> bool:
    """Whether a test run has opened the session, and not a shell framework."""
    return token.startswith("testrun:")


def bridge_of(data: Path, run: TestRun) -> Bridge:
    """The bridge, for the run's session alone."""
    return Bridge(data, run.environment.slug, session=run.session, actor=f"{_ACTOR} {run.pk}")


def begin(data: Path, run: TestRun) -> str:
    """The id of the run's session: its own where it has one, one that a shell framework has offered, or a new one.

    A session that a test run left behind which has ended is ended first. Raises BridgeRefusal where another is at work.
    """
    bridge = Bridge(data, run.environment.slug, actor=f"{_ACTOR} {run.pk}")
    active = _active(bridge)
    if active is not None and active.session.token != _token(run):
        if active.session.state == State.HANDOFF_OFFERED and not is_ours(active.session.token):
            return active.session.id
        if _is_left_behind(active):
            bridge.fail("its job has ended without it")
    return bridge.init(reason=f"test run {run.pk}", token=_token(run)).id


def _active(bridge: Bridge) -> Status | None:
    try:
        found = bridge.status()
    except BridgeRefusal:
        return None  # there is none, or `init` says what is wrong
    return None if found.session.state in (State.COMPLETED, State.FAILED, State.ABORTED) else found


def _is_left_behind(status: Status) -> bool:
    """Whether it belongs to a job that has ended without it, or that nobody here knows."""
    name, _, number = status.session.token.partition(":")
    model = {"testrun": TestRun, "stack": StackJob}.get(name)
    if model is None or not number.isdigit():
        return False
    owner = model.objects.filter(pk=int(number)).first()
    return owner is None or owner.is_final


def inherited(bridge: Bridge) -> list[CaseRecord]:
    """The results that a session brings which a shell framework has offered."""
    document = bridge.results()
    return [CaseRecord(**{name: case[name] for name in TOLD}) for case in document["cases"]]


def enter_layer(bridge: Bridge, run: TestRun, layer: str) -> None:
    """Begin a layer; before the first of the application's the session is handed over."""
    if layer not in SHELL_LAYERS:
        hand_over(bridge, run)
    bridge.begin_layer(layer)


def hand_over(bridge: Bridge, run: TestRun) -> None:
    """Offer and accept, if that has not been done. A session in which no layer ran yet is not handed over before one has."""
    state = bridge.status().session.state
    if state == State.SHELL_RUNNING:
        bridge.offer()
        state = State.HANDOFF_OFFERED
    if state == State.HANDOFF_OFFERED:
        bridge.accept(token=_token(run))


def tell(bridge: Bridge, rows: Iterable[CaseResult]) -> None:
    """Record results. Told again, nothing changes. A quarantined failure is told as skipped, with its message."""
    records = [_record(row) for row in rows]
    if records:
        bridge.record_many(records)


def _record(row: CaseResult) -> CaseRecord:
    status, message = row.told
    seconds = round(row.seconds, 6)
    at = row.at.isoformat()
    return CaseRecord(
        row.title, status, row.layer, row.source, seconds, row.attempts, row.is_flaky, message, at, key=row.key
    )


def complete(bridge: Bridge, run: TestRun) -> None:
    """End the session by its results, and write results.json."""
    if not any(layer.status == "failed" for layer in bridge.status().layers):
        hand_over(bridge, run)
    bridge.complete()


def stop(data: Path, run: TestRun, reason: str, *, wanted: bool) -> None:
    """End the session before its time: aborted where somebody wanted that, else failed. One that has ended stays so."""
    if not run.session:
        return
    bridge = bridge_of(data, run)
    try:
        (bridge.abort if wanted else bridge.fail)(reason)
    except BridgeRefusal:
        return  # it is over, or cannot be reached: `bridge repair` mends that, and the run's own rows say how it ended


def settle(run: TestRun) -> None:
    """After the run has ended, whoever ended it: end its session if nobody did, and take what the bridge did into the
    audit. Done twice it is done once. Not done, because the process was killed or the bridge cannot be reached, it is
    made up for when the next test run of the environment begins."""
    if not run.session:
        return
    stop(settings.DATA, run, "its test run has ended without it", wanted=run.state == JobState.CANCELLED)
    with transaction.atomic():
        audit_transitions(run, transitions(settings.DATA, run))


def make_up(run: TestRun) -> None:
    """Take into the audit what the bridge did for the last test runs before this one and is not there yet."""
    before = TestRun.objects.filter(environment=run.environment_id, pk__lt=run.pk, state__in=FINAL).exclude(session="")
    for each in before.select_related("environment").order_by("-pk")[:MADE_UP]:
        with transaction.atomic():
            audit_transitions(each, transitions(settings.DATA, each))


def audit_transitions(run: TestRun, passed: Sequence[Transition]) -> None:
    """Write those that the audit does not have yet, known by session and number. In the caller's transaction; they were
    read before, since no transaction spans two databases."""
    details = [
        {
            "seq": each.seq,
            "from": each.source,
            "to": each.target,
            "actor": each.actor,
            "at": each.at,
            "reason": each.reason,
            "digest": each.digest,
        }
        for each in passed
    ]
    target, environment = f"bridge:{run.session}", run.environment.slug
    audit.record_missing(
        "bridge.transition", by=SYSTEM, target=target, environment=environment, key="seq", details=details
    )


def transitions(data: Path, run: TestRun) -> Sequence[Transition]:
    """What was logged of the run's session; nothing where it cannot be read."""
    try:
        return bridge_of(data, run).status(run.session).transitions
    except BridgeRefusal:
        return ()
