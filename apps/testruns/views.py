"""Pages of test runs: the list, one run live as a matrix of layers and cases, a case with its history, exports."""

from collections.abc import Mapping, Sequence
from datetime import datetime, time
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import content_disposition_header
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.accounts import policy
from apps.common.errors import FlowControlError
from apps.common.paging import page
from apps.environments.models import Environment
from apps.jobs import workers
from apps.testruns import actions, exporting, queries, showing
from apps.testruns.forms import QuarantineForm, TestRunForm
from apps.testruns.models import CaseResult, TestRun


@require_GET
@policy.guard("testruns.view")
def list_testruns(request: HttpRequest) -> HttpResponse:
    """Test runs, newest first, by environment."""
    filters = {"environment": request.GET.get("environment", "").strip()}
    slugs = policy.scope(request.user, "testruns.view")
    shown = page(queries.filtered(**filters, slugs=slugs), request.GET, key="pk")
    context = {
        "title": "Tests",
        "runs": shown.rows,
        "layers": queries.layers_of(shown.rows),
        "page": shown,
        "filters": filters,
        "filtered": any(filters.values()),
        "environments": Environment.objects.order_by("position"),
        "may_start": policy.allowed(request.user, "testruns.start"),
    }
    return render(request, "testruns/list.html", context)


@require_GET
@never_cache
@policy.guard("testruns.view")
def show_testrun(request: HttpRequest, pk: int) -> HttpResponse:
    """One test run as it stands, and from there live."""
    run = _run(request, pk)
    cases = queries.cases_of(run)
    context = {**_live_context(request, run), "cases": cases, "last_case": _last(cases, 0)}
    return render(request, "testruns/detail.html", context)


@require_GET
@never_cache
@policy.guard("testruns.view")
def live_testrun(request: HttpRequest, pk: int) -> HttpResponse:
    """What has changed: the head of the page, and the cases whose key is above `after`."""
    run = _run(request, pk)
    after = request.GET.get("after", "")
    number = int(after) if after.isascii() and after.isdigit() and len(after) < 19 else 0
    cases = queries.cases_of(run, after=number)
    context = {**_live_context(request, run), "cases": cases, "last_case": _last(cases, number), "fragment": True}
    return render(request, "testruns/detail.html#live", context)


def _last(cases: Mapping[str, Sequence[CaseResult]], before: int) -> int:
    """The highest key that the page has shown."""
    return max((row.pk for rows in cases.values() for row in rows), default=before)


def _live_context(request: HttpRequest, run: TestRun) -> dict[str, Any]:
    layers = list(run.layer_results.all())
    return {
        "title": f"Test run #{run.pk}",
        "page_title": f"Test run #{run.pk} of {run.environment.name}",
        "run": run,
        "layers": [showing.layer(row, run.environment.slug) for row in layers],
        "totals": showing.totals(layers),
        "trouble": showing.trouble(run, layers),
        "transitions": showing.transitions(run),
        "last_event": run.event_seq,
        "cases_url": reverse("testruns:detail", args=[run.pk]) + "cases/",
        "forms": exporting.FORMS,
        "may_cancel": not run.is_final and policy.allowed(request.user, "testruns.cancel", run.environment.slug),
        "may_start": run.is_final and policy.allowed(request.user, "testruns.start", run.environment.slug),
    }


@require_http_methods(["GET", "POST"])
@policy.guard("testruns.start")
def new_testrun(request: HttpRequest) -> HttpResponse:
    """The form that starts a test run; sent, it leads to its page."""
    every = Environment.objects.order_by("position")
    mine = [each for each in every if policy.allowed(request.user, "testruns.start", each.slug)]
    form = TestRunForm(request.POST or None, environments=mine, initial={"environment": request.GET.get("environment")})
    if request.method == "POST" and form.is_valid():
        run = actions.start_testrun(by=request.user, **form.cleaned_data)
        return redirect("testruns:detail", run.pk)
    nobody = "" if workers.alive("control") else "No worker is alive. The tests wait in the queue until one starts."
    context = {"title": "Run tests", "form": form, "can_start": bool(mine), "no_workers": nobody}
    return render(request, "testruns/new.html", context, status=422 if form.errors else 200)


@require_http_methods(["GET", "POST"])
@policy.guard("testruns.cancel")
def cancel_testrun(request: HttpRequest, pk: int) -> HttpResponse:
    """Asks, then cancels."""
    run = _run(request, pk)
    policy.check(request.user, "testruns.cancel", run.environment.slug)
    if request.method == "GET":
        return render(request, "testruns/cancel.html", {"title": f"Test run #{pk}", "run": run})
    actions.cancel_testrun(by=request.user, run=run)
    return redirect("testruns:detail", pk)


@require_GET
@policy.guard("testruns.view")
def export(request: HttpRequest, pk: int, form: str) -> HttpResponse:
    """The results as a file that other tools read."""
    if form not in exporting.FORMS:
        raise Http404(f"Results are exported as {', '.join(exporting.FORMS)}.")
    file = exporting.export(_run(request, pk), form)
    response = HttpResponse(file.text, content_type=file.content_type)
    response.headers["Content-Disposition"] = content_disposition_header(as_attachment=True, filename=file.name) or ""
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


@require_GET
@policy.guard("testruns.view")
def show_case(request: HttpRequest, pk: int, case: int) -> HttpResponse:
    """One case: what it said and printed, its last results, its quarantine."""
    found = _case(request, pk, case)
    return render(request, "testruns/case.html", _case_context(request, found, QuarantineForm()))


def _case_context(request: HttpRequest, case: CaseResult, form: QuarantineForm) -> dict[str, Any]:
    history = queries.history(case)
    return {
        "title": f"Test run #{case.test_run_id}",
        "page_title": f"{case.title} in test run #{case.test_run_id}",
        "case": case,
        "run": case.test_run,
        "history": history,
        "flaky_share": queries.flaky_share(history),
        "quarantine": queries.quarantine_of(case),
        "form": form,
        "may_quarantine": policy.allowed(request.user, "testruns.quarantine", case.environment.slug),
    }


@require_POST
@policy.guard("testruns.quarantine")
def quarantine(request: HttpRequest, pk: int, case: int) -> HttpResponse:
    """Let the case's failures not count until a day."""
    found = _case(request, pk, case)
    policy.check(request.user, "testruns.quarantine", found.environment.slug)
    form = QuarantineForm(request.POST)
    if form.is_valid():
        until = timezone.make_aware(datetime.combine(form.cleaned_data["until"], time.min))
        try:
            actions.quarantine(by=request.user, case=found, until=until, reason=form.cleaned_data["reason"])
        except FlowControlError as error:
            form.add_error(None, f"{error.message} {error.hint}")
        else:
            messages.success(request, f"In quarantine until {until:%d %b %Y}: its failures do not count.")
            return redirect("testruns:case", pk, case)
    return render(request, "testruns/case.html", _case_context(request, found, form), status=422)


@require_POST
@policy.guard("testruns.quarantine")
def release(request: HttpRequest, pk: int, case: int) -> HttpResponse:
    """End the quarantine: the case's failures count again."""
    found = _case(request, pk, case)
    policy.check(request.user, "testruns.quarantine", found.environment.slug)
    if row := queries.quarantine_of(found):
        actions.release(by=request.user, row=row)
        messages.success(request, "Out of quarantine: its failures count.")
    return redirect("testruns:case", pk, case)


def _run(request: HttpRequest, pk: int) -> TestRun:
    """The test run, for somebody who may see those of its environment. Raises Denied, Http404."""
    run = get_object_or_404(TestRun.objects.select_related("environment"), pk=pk)
    policy.check(request.user, "testruns.view", run.environment.slug)
    return run


def _case(request: HttpRequest, pk: int, case: int) -> CaseResult:
    rows = CaseResult.objects.select_related("test_run__environment", "environment")
    found = get_object_or_404(rows, pk=case, test_run=pk)
    policy.check(request.user, "testruns.view", found.environment.slug)
    return found
