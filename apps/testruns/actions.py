"""What people do with layered tests: start a run, cancel it, put a case into quarantine and let it out. Each is one
transaction with its audit event."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction

from apps.accounts import policy
from apps.audit.actions import record
from apps.audit.actors import actor_of
from apps.common import clock
from apps.common.errors import FlowControlError
from apps.environments.models import Environment
from apps.jobs import actions as jobs
from apps.testruns.cases.model import LAYERS
from apps.testruns.models import CaseResult, LayerResult, Quarantine, TestRun

LONGEST_QUARANTINE = timedelta(days=90)


class LayersUnknown(FlowControlError):  # noqa: N818  it is what the person reads
    """There is no such layer."""

    code = "layers_unknown"


class FrameworkDisabled(FlowControlError):  # noqa: N818
    """Layered tests are switched off here."""

    code = "test_framework_disabled"


class QuarantineInvalid(FlowControlError):  # noqa: N818
    """A quarantine needs a reason and an end."""

    code = "quarantine_invalid"


def start_testrun(
    *, by: Any, environment: Environment, layers: Sequence[str] = (), keep_going: bool = False
) -> TestRun:
    """Put a run of `layers` (all, when empty) in line; they run in the order of LAYERS, whatever the order here.

    With `keep_going` a failed layer does not stop those above it. Raises Denied, LayersUnknown, FrameworkDisabled; then there is no run.
    """
    policy.check(by, "testruns.start", environment.slug)
    wanted = layers_named(layers)
    if not settings.TEST_FRAMEWORK:
        raise FrameworkDisabled(hint="Set TEST_FRAMEWORK=enabled where the portal and its worker are started.")
    with transaction.atomic():
        run: TestRun = TestRun.objects.create(
            environment=environment, layers=wanted, keep_going=keep_going, requested_by=actor_of(by).name
        )
        LayerResult.objects.bulk_create(
            LayerResult(test_run=run, layer=layer, position=position) for position, layer in enumerate(wanted)
        )
        record(
            "testrun.start",
            by=by,
            target=f"testrun:{run.pk}",
            environment=environment.slug,
            detail={"layers": wanted, "keep_going": keep_going},
        )
        jobs.enqueue(run)
    return run


def layers_named(names: Sequence[str]) -> list[str]:
    """The layers of that name in their order, each once; all of them for none. Raises LayersUnknown."""
    asked = {name.strip().upper() for name in names if name.strip()}
    unknown = sorted(asked.difference(LAYERS))
    if unknown:
        raise LayersUnknown(
            f"There is no layer {', '.join(unknown)}.", hint=f"The layers are {', '.join(LAYERS)}, lowest first."
        )
    return [layer for layer in LAYERS if not asked or layer in asked]


def cancel_testrun(*, by: Any, run: TestRun) -> str:
    """Cancel a test run: a queued one at once, a running one within two seconds, with what it started. Returns the
    state it is in now; one that has ended stays as it is. Raises Denied."""
    policy.check(by, "testruns.cancel", run.environment.slug)
    return jobs.cancel(run, by=by)


def quarantine(*, by: Any, case: CaseResult, until: datetime, reason: str) -> Quarantine:
    """Let failures of the case not count in its environment until then (aware, at most 90 days ahead); said again, the
    new end and reason hold. Raises Denied, QuarantineInvalid."""
    policy.check(by, "testruns.quarantine", case.environment.slug)
    _check_quarantine(until, reason)
    fields = {"until": until, "reason": reason.strip(), "created_by": actor_of(by).name, "created_at": clock.now()}
    names = {"layer": case.layer, "source": case.source, "title": case.title}
    with transaction.atomic():
        row, _ = Quarantine.objects.update_or_create(
            environment=case.environment, key=case.key, defaults={**fields, **names}
        )
        record(
            "case.quarantine",
            by=by,
            target=f"case:{case.key}",
            environment=case.environment.slug,
            detail={**names, "until": until.isoformat(), "reason": row.reason},
        )
    return row


def _check_quarantine(until: datetime, reason: str) -> None:
    now = clock.now()
    if not reason.strip():
        raise QuarantineInvalid("A quarantine needs a reason.", hint="Say why, so that whoever reads it later knows.")
    if not now < until <= now + LONGEST_QUARANTINE:
        raise QuarantineInvalid(
            "A quarantine ends in the future, within 90 days.",
            hint="A case that nobody will mend in that time is better removed.",
        )


def release(*, by: Any, row: Quarantine) -> None:
    """End a quarantine before its time. Released twice is released once. Raises Denied."""
    policy.check(by, "testruns.quarantine", row.environment.slug)
    with transaction.atomic():
        if not Quarantine.objects.filter(pk=row.pk).delete()[0]:
            return
        record(
            "case.release",
            by=by,
            target=f"case:{row.key}",
            environment=row.environment.slug,
            detail={"layer": row.layer, "source": row.source, "title": row.title},
        )
