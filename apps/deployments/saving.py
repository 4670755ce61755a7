"""The state of an environment, saved before a deployment changes it."""

from __future__ import annotations

from apps.audit.actors import SYSTEM
from apps.common.errors import FlowControlError
from apps.deployments import queries
from apps.deployments.stages.stand import DeploymentStand
from apps.environments.models import Snapshot
from apps.environments.snapshots import places, saving
from apps.environments.stages.model import StageFailed


def save(stand: DeploymentStand) -> tuple[str, str]:
    """Save it; the snapshot's name, and a sentence. The one of an earlier attempt at the same deployment is as good: nothing
    was changed since. Raises StageFailed, Stopped."""
    job = stand.deployment
    known = Snapshot.objects.filter(environment=job.environment, deployment=job.pk).first()
    if known is None or known.name not in places.names(job.environment.slug):
        serves = queries.in_force(job.environment)
        try:
            known = saving.save(
                by=SYSTEM,
                environment=job.environment,
                reason=f"before {job.release}",
                release=str(serves or ""),
                deployment=job.pk,
                check=stand.check,
                progress=lambda words: stand.progress(0.5, words),
            )
        except FlowControlError as error:
            raise StageFailed(error.message, hint=error.hint) from error
    return known.name, f"{known.members} members, {known.bytes:,} bytes, in {known.seconds:.1f} s: {known.name}."
