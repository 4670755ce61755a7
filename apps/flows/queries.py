"""What pages and commands ask about flows. Each costs a fixed number of queries; none reads texts that it does not need."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import F, Q, QuerySet

from apps.flows.models import Flow, FlowTestResult, FlowVersion
from apps.language.parser import parse


def listed(query: str = "", *, archived: bool = False) -> QuerySet[Flow]:
    """The flows that are in use (or those put aside), with a word of `query` in name or description; page by `name`."""
    rows = Flow.objects.filter(current__isnull=False, archived_at__isnull=not archived)
    for word in query.replace("\0", "").split():
        rows = rows.filter(Q(name__icontains=word) | Q(description__icontains=word))
    return rows.select_related("current").defer("current__text").order_by("name")


def versions_of(flow: Flow) -> QuerySet[FlowVersion]:
    """A flow's versions without their texts, newest first; page by `number`. `previous` is the number of the version
    that this one was written on, None for the first."""
    return flow.versions.defer("text").annotate(previous=F("parent__number")).order_by("-number")


def head_for(flow: Flow | None, text: str) -> FlowVersion | None:
    """The current version of `flow`, or where it is None of the flow that the text names."""
    if flow is None:
        tree = parse(text).tree
        flow = Flow.objects.filter(name=tree.header.name).first() if tree else None
    if flow is None:
        return None
    # As it is now: `flow` may have been read before somebody saved.
    current = Flow.objects.filter(pk=flow.pk).values("current")
    return FlowVersion.objects.select_related("flow").filter(pk__in=current).first()


def test_counts(versions: Iterable[int | None]) -> dict[int, FlowTestResult]:
    """The newest test result of each version, by the version's key, without the cases: `total`, `failed`, `outcome`."""
    rows = FlowTestResult.objects.filter(version__in=[pk for pk in versions if pk is not None])
    return {row.version_id: row for row in rows.defer("cases").order_by("pk")}


def newest_tests(version: FlowVersion) -> FlowTestResult | None:
    """The newest test result of a version, whatever its state; None where its tests were never asked for."""
    result: FlowTestResult | None = FlowTestResult.objects.filter(version=version).order_by("-pk").first()
    return result


def test_results(version: FlowVersion) -> list[dict[str, Any]]:
    """The cases of a version's newest result: [{"title", "ok", "message", "seconds"}]."""
    result = newest_tests(version)
    return list(result.cases) if result else []
