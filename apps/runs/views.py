"""Pages of runs: the list, one run live, its outputs, and the form that starts one."""

import mimetypes
import os
from collections.abc import AsyncIterator
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.http import content_disposition_header
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.accounts import policy
from apps.common.errors import FlowControlError
from apps.common.paging import page
from apps.environments.models import Environment
from apps.flows import reading
from apps.flows.models import Flow
from apps.jobs import workers
from apps.jobs.states import State
from apps.runs import actions, files, queries, showing
from apps.runs.forms import RunForm
from apps.runs.models import Output, Run, StepRun

LOG_LINES = 500  # the newest, on the page; all of them are in the download


@require_GET
@policy.guard("runs.view")
def list_runs(request: HttpRequest) -> HttpResponse:
    """Runs, newest first, by flow, state and environment."""
    filters = {name: request.GET.get(name, "").strip() for name in ("flow", "state", "environment")}
    slugs = policy.scope(request.user, "runs.view")
    shown = page(queries.filtered(**filters, slugs=slugs), request.GET, key="pk")
    return render(
        request,
        "runs/list.html",
        {
            "title": "Runs",
            "runs": shown.rows,
            "page": shown,
            "filters": filters,
            "filtered": any(filters.values()),
            "states": [*State.values, "lost"],
            "environments": Environment.objects.order_by("position"),
        },
    )


@require_GET
@never_cache
@policy.guard("runs.view")
def show_run(request: HttpRequest, pk: int) -> HttpResponse:
    """One run as it stands, and from there live."""
    run = _run(request, pk)
    lines = showing.newest_lines(run, LOG_LINES)
    context = {**_live_context(request, run), "log": lines, "log_cut": len(lines) == LOG_LINES}
    return render(request, "runs/detail.html", context)


@require_GET
@never_cache
@policy.guard("runs.view")
def live_run(request: HttpRequest, pk: int) -> HttpResponse:
    """The parts of the page that change, as it stands now."""
    return render(request, "runs/detail.html#live", {**_live_context(request, _run(request, pk)), "fragment": True})


def _live_context(request: HttpRequest, run: Run) -> dict[str, Any]:
    flow, slug = run.flow, run.environment.slug
    drawn = reading.read(run.version.text).graph
    steps = showing.steps(run, drawn)
    return {
        "title": f"Run #{run.pk}",
        "page_title": f"Run #{run.pk} of {flow.name}",
        "run": run,
        "flow": flow,
        "trouble": showing.trouble(run),
        "steps": steps,
        "steps_done": sum(step.state == State.SUCCEEDED for step in steps),
        "graph": showing.picture(drawn, steps),
        "checks": run.checks.all(),
        "outputs": run.outputs.all(),
        "params": sorted(run.params.items()),
        "last_event": run.event_seq,
        "may_cancel": not run.is_final and policy.allowed(request.user, "runs.cancel", slug),
        "may_rerun": run.is_final and not flow.is_archived and policy.allowed(request.user, "runs.start", slug),
        "may_download": policy.allowed(request.user, "runs.download", slug),
    }


@require_http_methods(["GET", "POST"])
@policy.guard("runs.start")
def new_run(request: HttpRequest, name: str) -> HttpResponse:
    """The form with the flow's parameters; sent, it starts the run and leads to it."""
    flow = get_object_or_404(Flow.objects.select_related("current"), name=name)
    version = flow.current
    if version is None:
        raise Http404("This flow has no version yet.")
    environments = [
        each
        for each in Environment.objects.order_by("position")
        if policy.allowed(request.user, "runs.start", each.slug)
    ]
    form = RunForm(request.POST or None, version=version, environments=environments)
    problem = None
    if request.method == "POST" and form.is_valid():
        policy.check(request.user, "runs.start", form.cleaned_data["environment"].slug)
        try:
            run = actions.start_run(
                by=request.user,
                version=queries.version_in(flow, form.cleaned_data["environment"]) or version,
                environment=form.cleaned_data["environment"],
                params=form.values(),
            )
        except actions.ParamsInvalid as error:
            for each in error.diagnostics:
                form.refuse(each)
        except FlowControlError as error:
            problem = {"text": error.message, "hint": error.hint}
        else:
            return redirect("runs:detail", run.pk)
    context = {
        "title": "Run",
        "page_title": f"Run {name}",
        "flow": flow,
        "version": version,
        "promoted": queries.promoted(flow),
        "form": form,
        "problem": problem,
        "can_run": bool(environments),
        "no_workers": "" if workers.alive() else "No worker is alive. The run will wait in the queue until one starts.",
    }
    return render(request, "runs/new.html", context, status=422 if problem or form.errors else 200)


@require_http_methods(["GET", "POST"])
@policy.guard("runs.cancel")
def cancel_run(request: HttpRequest, pk: int) -> HttpResponse:
    """Asks, then cancels: a queued run at once, a running one within seconds, by its worker."""
    run = _run(request, pk)
    policy.check(request.user, "runs.cancel", run.environment.slug)
    if request.method == "GET":
        return render(request, "runs/cancel.html", {"title": f"Run #{pk}", "run": run, "flow": run.flow})
    actions.cancel_run(by=request.user, run=run)
    return redirect("runs:detail", pk)


@require_POST
@policy.guard("runs.start")
def rerun(request: HttpRequest, pk: int) -> HttpResponse:
    """The same version, parameters and logical time once more, as a run of its own."""
    run = _run(request, pk)
    policy.check(request.user, "runs.start", run.environment.slug)
    try:
        again = actions.rerun(by=request.user, run=run)
    except FlowControlError as error:  # its flow is archived, or a parameter does not fit any more
        messages.error(request, f"{error.message} {error.hint}")
        return redirect("runs:detail", pk)
    messages.success(request, f"Run #{again.pk} does run #{pk} again.")
    return redirect("runs:detail", again.pk)


@require_GET
@policy.guard("runs.view")
def show_output(request: HttpRequest, pk: int, output: int) -> HttpResponse:
    """The first rows of an output, as it stands in the workspace."""
    run, found = _output(request, pk, output)
    context = {
        "title": f"Run #{pk}",
        "page_title": f"{found.path} of run #{pk}",
        "run": run,
        "output": found,
        "shown": showing.rows_of_output(run, found),
        "replaced_by": queries.replaced_by(found),
        "may_download": policy.allowed(request.user, "runs.download", run.environment.slug),
    }
    return render(request, "runs/output.html", context)


@require_GET
@policy.guard("runs.view")
def show_step(request: HttpRequest, pk: int, name: str) -> HttpResponse:
    """The first rows that a step gave in this run."""
    run = _run(request, pk)
    found = get_object_or_404(StepRun.objects.exclude(kind="sink"), run=run, name=name)
    context = {
        "title": f"Run #{pk}",
        "page_title": f"{found.name} of run #{pk}",
        "run": run,
        "step": found,
        "shown": showing.rows_of_step(run, found),
    }
    return render(request, "runs/step.html", context)


@require_GET
@policy.guard("runs.download")
def download_output(request: HttpRequest, pk: int, output: int) -> HttpResponseBase:
    """The output's file as an attachment; a folder as a zip. Only what the row names is ever opened."""
    run, found = _output(request, pk, output)
    policy.check(request.user, "runs.download", run.environment.slug)
    try:
        file, name = files.open_output(run.environment.workspace, found.path)
    except files.OutputMissingError as error:
        messages.error(request, f"{error.message} {error.hint}")
        return redirect("runs:output", pk, output)
    length = os.fstat(file.fileno()).st_size
    return _attachment(files.chunks(file), name, mimetypes.guess_type(name)[0] or "application/octet-stream", length)


@require_GET
@policy.guard("runs.view")
def download_log(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Every line of the log, as text."""
    return _attachment(showing.log_text(_run(request, pk)), f"run-{pk}.log", "text/plain; charset=utf-8")


def _attachment(chunks: AsyncIterator[Any], name: str, kind: str, length: int | None = None) -> StreamingHttpResponse:
    """A download that is never shown as a page, and never held in memory as a whole."""
    response = StreamingHttpResponse(chunks, content_type=kind)
    response.headers["Content-Disposition"] = content_disposition_header(as_attachment=True, filename=name) or ""
    response.headers["X-Content-Type-Options"] = "nosniff"
    if length is not None:
        response.headers["Content-Length"] = str(length)
    return response


def _run(request: HttpRequest, pk: int) -> Run:
    """The run, for somebody who may see runs of its environment. Raises Denied, Http404."""
    run = get_object_or_404(Run.objects.select_related("flow", "version", "environment"), pk=pk)
    policy.check(request.user, "runs.view", run.environment.slug)
    return run


def _output(request: HttpRequest, pk: int, output: int) -> tuple[Run, Output]:
    return _run(request, pk), get_object_or_404(Output, pk=output, run_id=pk)
