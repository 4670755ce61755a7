"""The stage of a development stack that proves its tests work: shell framework on this machine, application in the stack.

The lowest layers run here, where the terminal and Docker are; the bridge hands their results over; the stack's test
framework takes the run up and goes on in its container.
"""

from __future__ import annotations

from django.conf import settings

from apps.audit.actors import Actor
from apps.bridge.errors import BridgeRefusal
from apps.bridge.protocol import Bridge
from apps.bridge.records import CaseRecord
from apps.bridge.states import State
from apps.environments.stages.model import Outcome, Stage, StageFailed
from apps.environments.stages.stand import Stand
from apps.jobs.waiting import wait
from apps.testruns import catalogue, executor
from apps.testruns.actions import start_testrun
from apps.testruns.cases.model import Place
from apps.testruns.cases.runner import run_layer
from apps.testruns.models import Status, TestRun
from apps.testruns.showing import state_word

SHELL_LAYER = "L1"
APPLICATION_LAYER = "L2"


def run_tests(stand: Stand) -> Outcome:
    """Run the platform's layer here and the environment's in the stack, joined by the bridge session of this job."""
    if stand.switches.get("TEST_FRAMEWORK") != "enabled":
        return Outcome("Switched off by TEST_FRAMEWORK=disabled.", skipped=True)
    try:
        _offer_shell_layer(stand)
    except BridgeRefusal as refusal:
        raise StageFailed(refusal.message, hint=refusal.cure) from refusal
    run = start_testrun(
        by=Actor(stand.by, "system"), environment=stand.environment, layers=[SHELL_LAYER, APPLICATION_LAYER]
    )

    def tell(row: TestRun) -> None:
        stand.check()
        stand.progress(0.5 + row.progress / 2, f"test run {row.pk} in the stack")

    run = wait(run, work=executor.execute, tell=tell, given_up=bool)
    if state_word(run) != Status.PASSED:
        failed = run.case_results.filter(status=Status.FAILED, is_quarantined=False).defer("output")
        raise StageFailed(
            run.message,
            hint=f"See the page of test run {run.pk}, or `manage.py testrun export {run.pk}`.",
            tail=[f"{case.layer} {case.title}: {case.message}" for case in failed[:20]],
        )
    return Outcome(run.message, refers_to=f"testrun:{run.pk}")


def _offer_shell_layer(stand: Stand) -> None:
    """Run the shell framework's layer and offer the session. One that an attempt before has offered is left as it is."""
    bridge = Bridge(settings.DATA, stand.environment.slug, actor=f"stack {stand.job.pk}")
    if bridge.status().session.state not in (State.INITIALISED, State.SHELL_RUNNING):
        return
    bridge.begin_layer(SHELL_LAYER)
    stand.progress(0.1, f"{SHELL_LAYER} on this machine")
    place = Place(stand.environment.slug, settings.DATA)
    found = catalogue.cases(SHELL_LAYER, stand.environment.slug)
    records: list[CaseRecord] = []
    run_layer(
        SHELL_LAYER,
        found,
        place,
        parallel=settings.TEST_WORKERS,
        on_done=lambda case, results: records.extend(
            CaseRecord(
                each.title,
                each.status,
                each.layer,
                each.source,
                round(each.seconds, 6),
                each.attempts,
                each.flaky,
                each.message,
            )
            for each in results
        ),
        should_stop=stand.lease.should_stop,
    )
    stand.check()
    bridge.record_many(records)
    bridge.end_layer(SHELL_LAYER)
    bridge.offer()


TESTS = Stage("tests", "Test framework", run_tests)
