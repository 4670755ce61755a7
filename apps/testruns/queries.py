"""What pages, exports and commands ask about test runs. Each costs a fixed number of queries, none grows with history."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable

from django.db.models import QuerySet

from apps.common import clock
from apps.environments.models import Environment
from apps.testruns.models import CaseResult, LayerResult, Quarantine, Status, TestRun

HISTORY = 30


def filtered(*, environment: str = "", slugs: Collection[str] | None = None) -> QuerySet[TestRun]:
    """Test runs of an environment's slug, of all where it is empty; only of `slugs`, where those are given. Page by `pk`."""
    rows: QuerySet[TestRun] = TestRun.objects.select_related("environment")
    for wanted in ([environment] if environment else None, slugs):
        if wanted is not None:
            known = Environment.objects.filter(slug__in=wanted).values_list("pk", flat=True)
            rows = rows.filter(environment__in=list(known))
    return rows


def layers_of(runs: Iterable[TestRun]) -> dict[int, list[LayerResult]]:
    """The layers of each run in their order, by the run's key: one query."""
    found: dict[int, list[LayerResult]] = defaultdict(list)
    for row in LayerResult.objects.filter(test_run__in=[run.pk for run in runs]).order_by("position"):
        found[row.test_run_id].append(row)
    return found


def cases_of(run: TestRun, *, after: int = 0) -> dict[str, list[CaseResult]]:
    """The cases that have ended, by layer, without what they printed: one query. `after`: only rows with a higher key."""
    found: dict[str, list[CaseResult]] = defaultdict(list)
    for row in run.case_results.filter(pk__gt=after).defer("output").order_by("pk"):
        found[row.layer].append(row)
    return found


def history(case: CaseResult, most: int = HISTORY) -> list[CaseResult]:
    """The last results of the same case in the same environment, oldest first, this one among the newest."""
    rows = CaseResult.objects.filter(environment=case.environment_id, key=case.key).select_related("test_run")
    return list(rows.defer("output").order_by("-pk")[:most])[::-1]


def quarantine_of(case: CaseResult) -> Quarantine | None:
    """The quarantine that holds now."""
    return Quarantine.objects.filter(environment=case.environment_id, key=case.key, until__gt=clock.now()).first()


def quarantined_keys(environment: Environment) -> set[str]:
    """The keys of the cases whose failure does not count now."""
    rows = Quarantine.objects.filter(environment=environment, until__gt=clock.now())
    return set(rows.values_list("key", flat=True))


def flaky_share(results: Iterable[CaseResult]) -> float | None:
    """Which part of the results that passed did so only after a retry; None where none passed."""
    passed = [row for row in results if row.status == Status.PASSED]
    return sum(row.is_flaky for row in passed) / len(passed) if passed else None
