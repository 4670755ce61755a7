"""Rows of layers and cases: written as they end, and made true once more when the run ends."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

from django.db import transaction
from django.db.models import Count, Q

from apps.common import clock
from apps.jobs.events import clean
from apps.testruns import passage
from apps.testruns.cases.model import Case, Result
from apps.testruns.models import CaseResult, LayerResult, Status, TestRun, key_of

LONGEST = {"source": 300, "title": 500, "message": 4000}


def close(run: TestRun) -> None:
    """Make the rows say how the run ended. Called in the transaction that ends it, by a worker or the reconciler: what
    was running did not end, and what waited never will."""
    now = clock.now()
    run.layer_results.filter(status=Status.RUNNING).update(
        status=Status.FAILED, message="The test run ended before the layer did.", finished_at=now
    )
    run.layer_results.filter(status=Status.QUEUED).update(status=Status.SKIPPED, message="The layer was not reached.")
    # The bridge has files of its own, so it is told when this is certain.
    transaction.on_commit(partial(passage.settle, run), robust=True)


def add(
    run: TestRun, layer: LayerResult, ended: Iterable[tuple[Case, Sequence[Result]]], quarantined: set[str]
) -> list[CaseResult]:
    """Write what has ended, whole cases at a time. In the caller's transaction."""
    position, number = layer.passed + layer.failed + layer.skipped, 0
    rows: list[CaseResult] = []
    for _case, results in ended:
        number += 1
        for each in results:
            rows.append(_row(run, each, position + len(rows), quarantined))
    CaseResult.objects.bulk_create(rows)
    layer.ended += number
    count(layer)
    return rows


def _row(run: TestRun, result: Result, position: int, quarantined: set[str]) -> CaseResult:
    texts = clean({"source": result.source, "title": result.title, "message": result.message, "output": result.output})
    source, title = texts["source"][: LONGEST["source"]], texts["title"][: LONGEST["title"]]
    key = key_of(result.layer, result.source, result.title)  # of the whole, so that two long titles stay two
    return CaseResult(
        test_run=run,
        environment_id=run.environment_id,
        layer=result.layer,
        source=source,
        title=title,
        key=key,
        status=result.status,
        is_flaky=result.flaky,
        is_quarantined=result.status == "failed" and key in quarantined,
        seconds=result.seconds,
        attempts=result.attempts,
        message=texts["message"][: LONGEST["message"]],
        output=texts["output"],
        position=position,
    )


def count(layer: LayerResult) -> None:
    """Set the layer's counts from the rows of its cases, and save it."""
    rows = CaseResult.objects.filter(test_run=layer.test_run_id, layer=layer.layer).order_by()
    counts = rows.aggregate(
        passed=Count("pk", filter=Q(status=Status.PASSED)),
        failed=Count("pk", filter=Q(status=Status.FAILED)),
        skipped=Count("pk", filter=Q(status=Status.SKIPPED)),
        flaky=Count("pk", filter=Q(is_flaky=True)),
        quarantined=Count("pk", filter=Q(is_quarantined=True)),
    )
    for name, number in counts.items():
        setattr(layer, name, number)
    layer.save()


def judge(layer: LayerResult) -> None:
    """End a layer by its counts: it passed if a case passed and none failed that counts. A layer in which nothing
    passed has proven nothing, and fails."""
    counting = layer.failed - layer.quarantined
    if counting:
        layer.status, layer.message = Status.FAILED, ""
    elif layer.passed:
        layer.status, layer.message = Status.PASSED, ""
    else:
        layer.status = Status.FAILED
        layer.message = "Every case was skipped: nothing was proven." if layer.skipped else "The layer has no case."
    layer.finished_at = clock.now()
    layer.save()
