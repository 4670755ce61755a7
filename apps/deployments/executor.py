"""Builds and deployments, from their claim to their end.

Before the stage `start` nothing has been changed, and what fails or is cancelled there just ends. From there on it is taken
back: `reverting` is written first, so that whoever goes on after a kill takes it back, too. Killed anywhere, the job is
taken up by another worker, which asks the engine what is true: each stage does what is missing.
"""

from __future__ import annotations

import contextlib
from typing import Any

from apps.common import clock
from apps.deployments import building
from apps.deployments.models import Build, Deployment, DeploymentStage
from apps.deployments.stages import backward, forward
from apps.deployments.stages.stand import BackwardStand, DeploymentStand
from apps.environments import observer
from apps.environments.containers.found import EngineAway
from apps.environments.stages import stack
from apps.environments.stages.attempt import Attempt
from apps.environments.stages.model import Stage, StageFailed, Stopped
from apps.jobs import leases
from apps.jobs.leases import Lease, LeaseLostError
from apps.jobs.states import State

Status = DeploymentStage.Status
CANCELLED = "Cancelled by "


def execute_deployment(pk: int, *, worker: str = "") -> Deployment | None:
    """Do the deployment `pk` if it is to be had. Returns its row as it is after this attempt, None where there was nothing
    to do."""
    lease = leases.claim(Deployment, pk, worker=worker)
    if lease is None:
        return None
    job = Deployment.objects.select_related("environment", "release", "previous").get(pk=pk)
    with lease:
        DeploymentAttempt(lease, job).perform()
    if not job.environment.engine_url.startswith("ssh://"):
        with contextlib.suppress(EngineAway):
            observer.look(job.environment)
    job.refresh_from_db()
    return job


def execute_build(pk: int, *, worker: str = "") -> Build | None:
    """Do the build `pk` if it is to be had; the answer is as that of `execute_deployment`."""
    lease = leases.claim(Build, pk, worker=worker)
    if lease is None:
        return None
    job = Build.objects.select_related("environment").get(pk=pk)
    with lease:
        BuildAttempt(lease, job, lambda: f"{Build.objects.get(pk=pk).release} is made.").perform()
    job.refresh_from_db()
    return job


class BuildAttempt(Attempt):
    def stand(self) -> building.BuildStand:
        return building.BuildStand(self.job, self.lease)

    def stage(self, name: str) -> Stage:
        return building.BY_NAME[name]


class DeploymentAttempt(Attempt):
    """The stages forward, and the way back where one of them fails."""

    job: Deployment

    def __init__(self, lease: Lease, job: Deployment) -> None:
        super().__init__(lease, job, self._said)

    def perform(self) -> None:
        if not self.job.reverting:
            super().perform()
            return
        with contextlib.suppress(LeaseLostError, Stopped):
            self._take_back(self.job.reverting)

    def stand(self) -> DeploymentStand:
        return DeploymentStand(self.job, self.lease, self.job.release)

    def stage(self, name: str) -> Stage:
        return forward.BY_NAME.get(name, backward.TAKE_BACK)

    def failed(self, row: Any, message: str) -> None:
        self._end(f"{row.title}: {message}", State.FAILED)

    def cancelled(self) -> None:
        by = Deployment.objects.values_list("cancel_requested_by", flat=True).get(pk=self.job.pk)
        with contextlib.suppress(LeaseLostError, Stopped):
            self._end(f"{CANCELLED}{by}.", State.CANCELLED)

    def _said(self) -> str:
        return f"{self.job.release} serves in {self.job.environment.name}."

    def _end(self, why: str, state: State) -> None:
        """End the deployment, taking back what it has changed."""
        if self._has_effects():
            self.lease.write(reverting=why)
            self._take_back(why)
        else:
            self.lease.finish(state, f"{why} Nothing was changed.")

    def _has_effects(self) -> bool:
        first = next((row for row in self.rows if row.name == forward.EFFECTS_FROM), None)
        return first is not None and first.status != Status.QUEUED

    def _take_back(self, why: str) -> None:
        state = State.CANCELLED if why.startswith(CANCELLED) else State.FAILED
        row = self._revert_row()
        self.write(row, status=Status.RUNNING, started_at=row.started_at or clock.now(), finished_at=None, message="")
        try:
            stand = BackwardStand(self.job, self.lease, self.job.previous or self.job.release)
            stand.tell = self._teller(row)
            outcome = backward.take_back(stand)
        except StageFailed as failure:
            self._could_not(row, why, failure)
            return
        self.write(row, status=Status.SUCCEEDED, finished_at=clock.now(), progress=1.0, message=outcome.message)
        reverted = Deployment.Outcome.REVERTED if self.job.switched_at else Deployment.Outcome.NONE
        self.lease.finish(state, f"{why} {outcome.message}", outcome=reverted)

    def _could_not(self, row: Any, why: str, failure: StageFailed) -> None:
        hide = stack.masker(self.job.environment)
        end = {"message": hide(failure.message), "hint": hide(failure.hint), "tail": "\n".join(map(hide, failure.tail))}
        self.write(row, status=Status.FAILED, finished_at=clock.now(), **end)
        again = f"When the cause is gone: `manage.py deployment {self._once_more()}`."
        self.lease.finish(State.FAILED, f"{why} It could not be taken back: {end['message']} {again}")

    def _once_more(self) -> str:
        """The command that brings back what served before; without a name it would be the release before that."""
        slug, before = self.job.environment.slug, self.job.previous
        return f"rollback {slug} --to {before}" if before else f"start {slug} --release {self.job.release}"

    def _revert_row(self) -> DeploymentStage:
        known = next((row for row in self.rows if row.name == backward.TAKE_BACK.name), None)
        if known is None:
            with self.lease.guarded():
                known = DeploymentStage.objects.create(
                    job=self.job, name=backward.TAKE_BACK.name, title=backward.TAKE_BACK.title, position=len(self.rows)
                )
            self.rows.append(known)
        return known
