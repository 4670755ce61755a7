"""Pages of environments: one with its stack live, the logs of a service on demand, and each change of a stack.

They read rows. No page touches Docker: what is seen of the engine is the observer's, lines are asked of who has it.
"""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.accounts import policy
from apps.common.errors import FlowControlError
from apps.environments import actions, asking, queries, standing
from apps.environments.models import Environment, StackJob
from apps.environments.stages import stack

UP, DOWN = StackJob.Action.UP, StackJob.Action.DOWN


# --- an environment -----------------------------------------------------------------------------------


@require_GET
@never_cache
@policy.guard("environments.view")
def show_environment(request: HttpRequest, slug: str) -> HttpResponse:
    """The stack as it was last seen, its last changes, and what runs there."""
    environment = _environment(request, slug, "environments.view")
    context = {"title": environment.name, "page_title": f"Environment {environment.name}"}
    return render(request, "environments/detail.html", context | _stack_context(request, environment))


@require_GET
@never_cache
@policy.guard("environments.view")
def live_environment(request: HttpRequest, slug: str) -> HttpResponse:
    """The parts of that page that change."""
    environment = _environment(request, slug, "environments.view")
    context = _stack_context(request, environment) | {"fragment": True}
    return render(request, "environments/detail.html#live", context)


def _stack_context(request: HttpRequest, environment: Environment) -> dict[str, Any]:
    """`place` is the environment: under that name the frame has its own label."""
    services, jobs, having_docker = (
        queries.services(environment),
        queries.jobs_of(environment),
        queries.docker_workers(),
    )
    may_change = policy.allowed(request.user, "environments.change", environment.slug)
    live = next((job for job in jobs if not job.is_final), None)
    return {
        "place": environment,
        "compose_file": environment.compose_file or stack.compose_file(environment).name,
        "stack": standing.of(environment, services),
        "services": [standing.shown(each) for each in services],
        "containers": [each.container for each in services],
        "jobs": jobs,
        "live_job": live,
        "docker_workers": having_docker,
        "may_change": may_change,
        "may_logs": policy.allowed(request.user, "environments.logs", environment.slug),
        "up_refusal": _refusal(environment, UP, having_docker, live) if may_change else "",
        "down_refusal": _refusal(environment, DOWN, having_docker, live) if may_change else "",
    }


def _refusal(environment: Environment, action: str, having_docker: list[Any], live: StackJob | None) -> str:
    if live is not None:
        return f"It is being brought {live.action} already."
    return standing.refusal(environment, action, having_docker)


@require_POST
@policy.guard("environments.change")
def bring_up(request: HttpRequest, slug: str) -> HttpResponse:
    """Start the stack, or bring what runs to what its files say; leads to the job's page."""
    return _change(request, _environment(request, slug, "environments.change"), UP)


@require_http_methods(["GET", "POST"])
@policy.guard("environments.change")
def bring_down(request: HttpRequest, slug: str) -> HttpResponse:
    """Asks, then stops and removes the stack's containers."""
    environment = _environment(request, slug, "environments.change")
    if request.method == "POST":
        return _change(request, environment, DOWN)
    context = {"title": environment.name, "place": environment}
    context["containers"] = [each.container for each in queries.services(environment)]
    return render(request, "environments/down.html", context)


def _change(request: HttpRequest, environment: Environment, action: str) -> HttpResponse:
    """Put the change in line, or say why not: on the page that it was asked from."""
    if reason := standing.refusal(environment, action, queries.docker_workers()):
        messages.error(request, reason)
        return redirect("environments:detail", environment.slug)
    try:
        job = actions.change_stack(by=request.user, environment=environment, action=action)
    except actions.StackBusy as busy:
        messages.warning(request, f"{busy.message} {busy.hint}")
        job = busy.job
    except FlowControlError as error:
        messages.error(request, f"{error.message} {error.hint}")
        return redirect("environments:detail", environment.slug)
    return redirect("environments:stack", job.pk)


# --- logs of a service --------------------------------------------------------------------------------


@require_GET
@never_cache
@policy.guard("environments.logs")
def show_logs(request: HttpRequest, slug: str, service: str) -> HttpResponse:
    """The last lines of a service. Without a token they are asked for; with one, what has come is shown."""
    environment = _environment(request, slug, "environments.logs")
    rows = [each for each in queries.services(environment) if each.name == service]
    token = request.GET.get("token", "")[:100]
    answer = asking.answer(environment, service, token) if token else asking.Answer("nobody")
    if not token and queries.docker_workers():
        token = asking.ask(environment, service) if rows else ""
        answer = asking.Answer("waiting" if token else "away" if rows else "unseen")
    context = {
        "title": environment.name,
        "page_title": f"Log of {service} in {environment.name}",
        "place": environment,
        "service": service,
        "services": sorted({each.name for each in queries.services(environment)}),
        "rows": rows,
        "token": token,
        "answer": answer,
        "patience": f"{asking.PATIENCE_SECONDS:g}",
    }
    part = "#answer" if request.headers.get("HX-Request") else ""
    return render(request, f"environments/logs.html{part}", context)


# --- a change of a stack ------------------------------------------------------------------------------


@require_GET
@never_cache
@policy.guard("environments.view")
def show_stack(request: HttpRequest, pk: int) -> HttpResponse:
    """One change as it stands, and from there live."""
    job = _job(request, pk, "environments.view")
    log = queries.log_of(job)
    context = {"log": log, "log_cut": len(log) == queries.SHOWN_LINES}
    return render(request, "environments/stack.html", context | _job_context(request, job))


@require_GET
@never_cache
@policy.guard("environments.view")
def live_stack(request: HttpRequest, pk: int) -> HttpResponse:
    """The parts of that page that change; lines of the log come as events."""
    context = _job_context(request, _job(request, pk, "environments.view")) | {"fragment": True}
    return render(request, "environments/stack.html#live", context)


def _job_context(request: HttpRequest, job: StackJob) -> dict[str, Any]:
    stages, slug = list(job.stages.all()), job.environment.slug
    title = f"{job.environment.name} {job.action}"
    return {
        "title": title,
        "page_title": f"{title}, stack job #{job.pk}",
        "job": job,
        "place": job.environment,
        "stages": stages,
        "stages_done": sum(each.status in ("succeeded", "skipped") for each in stages),
        "trouble": standing.trouble(job, stages),
        "last_event": job.event_seq,
        "may_cancel": not job.is_final and policy.allowed(request.user, "environments.change", slug),
        "may_again": job.is_final and job.action == UP and policy.allowed(request.user, "environments.change", slug),
    }


@require_http_methods(["GET", "POST"])
@policy.guard("environments.change")
def cancel_stack(request: HttpRequest, pk: int) -> HttpResponse:
    """Asks, then cancels."""
    job = _job(request, pk, "environments.change")
    if request.method == "GET":
        return render(request, "environments/cancel.html", {"title": f"Stack job #{pk}", "job": job})
    actions.cancel(by=request.user, job=job)
    return redirect("environments:stack", pk)


@require_GET
@policy.guard("environments.view")
def download_log(request: HttpRequest, pk: int) -> HttpResponse:
    """All lines of the job's log as plain text."""
    job = _job(request, pk, "environments.view")
    lines = (f"{row.at:%Y-%m-%dT%H:%M:%S.%fZ} {row.data.get('line', '')}\n" for row in queries.log_of(job, None))
    response = HttpResponse("".join(lines), content_type="text/plain; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="stack-{job.pk}.log"'
    return response


# --- finding ------------------------------------------------------------------------------------------


def _environment(request: HttpRequest, slug: str, action: str) -> Environment:
    """The environment, for somebody who may there. Raises Denied, Http404."""
    environment = get_object_or_404(Environment.objects.select_related("after"), slug=slug)
    policy.check(request.user, action, environment.slug)
    return environment


def _job(request: HttpRequest, pk: int, action: str) -> StackJob:
    job = get_object_or_404(StackJob.objects.select_related("environment"), pk=pk)
    policy.check(request.user, action, job.environment.slug)
    return job
