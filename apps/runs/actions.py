"""What people do with runs: start, cancel, do again. Each is one transaction with its audit event."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction

from apps.accounts import policy
from apps.audit.actions import record
from apps.audit.actors import actor_of
from apps.common import clock
from apps.common.errors import FlowControlError
from apps.environments.models import Environment
from apps.flows.models import Flow, FlowVersion
from apps.jobs import actions as jobs
from apps.runs.models import Promotion, Run
from apps.runs.values import ParamsInvalid, check_values

__all__ = ["FlowArchived", "ParamsInvalid", "cancel_run", "promote", "rerun", "start_run"]


class FlowArchived(FlowControlError):  # noqa: N818  it is what the person reads
    """The flow is archived."""

    code = "flow_archived"


def start_run(
    *,
    by: Any,
    version: FlowVersion,
    environment: Environment,
    params: Mapping[str, str],
    logical_time: datetime | None = None,
) -> Run:
    """Put a run of `version` in line. `params`: name → value as a person writes it; left out keeps its default.

    `logical_time` (aware; default: this moment) is what the flow's `now()` says. Raises Denied, ParamsInvalid,
    FlowArchived; then there is no run.
    """
    return _start(by, version, environment, dict(params), logical_time or clock.now(), None)


def rerun(*, by: Any, run: Run) -> Run:
    """The same version, parameters and logical time once more, as a run of its own. Raises as start_run does."""
    return _start(by, run.version, run.environment, dict(run.params), run.logical_time, run)


def _start(
    by: Any,
    version: FlowVersion,
    environment: Environment,
    params: dict[str, str],
    logical_time: datetime,
    rerun_of: Run | None,
) -> Run:
    policy.check(by, "runs.start", environment.slug)
    check_values(version.text, params, logical_time=logical_time, workspace=environment.workspace)
    with transaction.atomic():
        flow = Flow.objects.select_for_update().get(pk=version.flow_id)
        if flow.is_archived:
            raise FlowArchived(
                f"The flow '{flow.name}' is archived, so no run of it starts.", hint="Save a version to bring it back."
            )
        run: Run = Run.objects.create(
            flow=flow,
            version=version,
            environment=environment,
            params=params,
            logical_time=logical_time,
            rerun_of=rerun_of,
            requested_by=actor_of(by).name,
        )
        record(
            "run.rerun" if rerun_of else "run.start",
            by=by,
            target=f"run:{run.pk}",
            environment=environment.slug,
            detail={"flow": flow.name, "version": version.number, "sha256": version.sha256, "params": params}
            | ({"of": rerun_of.pk} if rerun_of else {}),
        )
        jobs.enqueue(run)
    return run


def promote(environment: Environment, release: str, versions: Mapping[str, str]) -> None:
    """Let an environment run these versions (name of the flow → SHA-256 of its text), and of other flows the current one.
    Called in the transaction in which the release comes to serve. A version that is not there is left out."""
    rows = FlowVersion.objects.filter(sha256__in=set(versions.values())).select_related("flow")
    environment.promotions.all().delete()
    Promotion.objects.bulk_create(
        Promotion(environment=environment, flow=row.flow, version=row, release=release)
        for row in rows
        if versions.get(row.flow.name) == row.sha256
    )


def cancel_run(*, by: Any, run: Run) -> str:
    """Cancel a run: a queued one at once, a running one within two seconds, by its worker. Returns the state it is in
    now. One that has ended, or was cancelled before, stays as it is. Raises Denied."""
    policy.check(by, "runs.cancel", run.environment.slug)
    return jobs.cancel(run, by=by)
