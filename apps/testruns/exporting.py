"""A test run's results as files that other tools read."""

from __future__ import annotations

from dataclasses import dataclass

from apps.common import clock
from apps.testruns.cases.exports.ctrf import ctrf_json
from apps.testruns.cases.exports.junit import junit_xml
from apps.testruns.cases.exports.tap import tap_text
from apps.testruns.cases.model import Result
from apps.testruns.models import TestRun

FORMS = {"junit": "JUnit XML", "tap": "TAP", "ctrf": "CTRF JSON"}


@dataclass(frozen=True, slots=True)
class File:
    name: str
    text: str
    content_type: str


def export(run: TestRun, form: str) -> File:
    """The results so far in one of FORMS: two queries. A quarantined failure is told as skipped, with its message."""
    slug, began = run.environment.slug, run.started_at or run.created_at
    results, name = results_of(run), f"testrun-{run.pk}"
    if form == "junit":
        text = junit_xml(results, name=f"tests of {slug}", started=began)
        return File(f"{name}.xml", text, "application/xml; charset=utf-8")
    if form == "tap":
        return File(f"{name}.tap", tap_text(results), "text/plain; charset=utf-8")
    text = ctrf_json(results, started=began, ended=run.finished_at or clock.now(), environment=slug)
    return File(f"{name}.ctrf.json", text, "application/json")


def results_of(run: TestRun) -> list[Result]:
    found = []
    for row in run.case_results.order_by("layer", "position"):
        status, message = row.told
        values = (row.seconds, row.attempts, row.is_flaky, message, row.output)
        found.append(Result(row.layer, row.source, row.title, status, *values))
    return found
