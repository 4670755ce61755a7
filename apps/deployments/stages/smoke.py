"""The environment's own tests of what serves, run in the watch window: data/checks/<environment>/L3."""

from __future__ import annotations

import time

from apps.audit.actors import Actor
from apps.deployments.stages.stand import DeploymentStand
from apps.environments.stages.model import StageFailed
from apps.jobs.waiting import wait
from apps.testruns import catalogue, executor
from apps.testruns.actions import FrameworkDisabled, start_testrun
from apps.testruns.cases import executables
from apps.testruns.models import Status, TestRun

LAYER = "L3"
LONGEST_SECONDS = 600.0  # that the window waits for them beyond its own end


def begin(stand: DeploymentStand) -> tuple[TestRun | None, str]:
    """Put the layer in line, where the environment has cases of its own in it. The run that an attempt before has begun is
    the same; killed before that was written down, there is one more, which harms nothing. None, and why, for no run."""
    slug = stand.environment.slug
    if known := stand.deployment.watched.get("smoke"):
        return TestRun.objects.filter(pk=known).first(), ""
    if not executables.discover(catalogue.folder_of(slug), (LAYER,)).cases:
        return None, ""
    try:
        run = start_testrun(by=Actor(stand.by, "system"), environment=stand.environment, layers=[LAYER])
    except FrameworkDisabled:
        return None, f" The cases of {LAYER} were not run: the test framework is switched off."
    stand.deployment.watched = {**stand.deployment.watched, "smoke": run.pk}
    stand.lease.write(watched=stand.deployment.watched)
    return run, ""


def check(run: TestRun) -> None:
    """Raise StageFailed as soon as a case has failed that nobody has put into quarantine."""
    failed = run.case_results.filter(status=Status.FAILED, is_quarantined=False).defer("output")[:20]
    if failed:
        raise StageFailed(
            f"{failed[0].layer} {failed[0].title} of test run {run.pk} failed: {failed[0].message}",
            hint=f"See the page of test run {run.pk}, or `manage.py testrun export {run.pk}`.",
            tail=[f"{case.layer} {case.title}: {case.message}" for case in failed],
        )


def await_end(stand: DeploymentStand, run: TestRun) -> str:
    """Wait until the run has ended, and do it here where no worker is there for it. Returns what to say of it. A run that
    could not be made says nothing of the release, and takes nothing back. Raises StageFailed."""
    deadline = time.monotonic() + LONGEST_SECONDS

    def tell(row: TestRun) -> None:
        stand.check()
        check(row)
        stand.progress(1.0, f"waiting for test run {row.pk}")

    run = wait(run, work=executor.execute, tell=tell, given_up=lambda: time.monotonic() > deadline)
    check(run)
    return f" Test run {run.pk}: {run.message}" if run.is_final else f" Test run {run.pk} has not ended in time."
