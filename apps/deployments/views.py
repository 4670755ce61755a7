"""Pages of deployments: the lanes, what would happen and why not, and each deployment live.

They read rows. No page touches Docker; what is asked for here is put in line for who has it.
"""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth import authenticate
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.accounts import policy
from apps.audit.actors import actor_of
from apps.common.errors import FlowControlError
from apps.common.paging import page
from apps.deployments import actions, gate, lanes, plans, queries, telling
from apps.deployments.forms import ApproveForm
from apps.deployments.models import Deployment, Release
from apps.environments import queries as stacks
from apps.environments import standing
from apps.environments.models import Environment
from apps.jobs.models import Job, JobEvent

REFUSED = 409  # what was asked for cannot be done as things are; the page says why
INVALID = 422
HISTORY = 25
UNSEEN = "none"  # the digest of no plan: who has seen none begins nothing


# --- the lanes -----------------------------------------------------------------------------------------


@require_GET
@never_cache
@policy.guard("deployments.view")
def show_lanes(request: HttpRequest) -> HttpResponse:
    """What serves where, what is under way, what could go on; and below it what was."""
    return render(request, "deployments/lanes.html", _lanes_context(request))


@require_GET
@never_cache
@policy.guard("deployments.view")
def live_lanes(request: HttpRequest) -> HttpResponse:
    """The parts of that page that change."""
    return render(request, "deployments/lanes.html#live", _lanes_context(request) | {"fragment": True})


def _lanes_context(request: HttpRequest) -> dict[str, Any]:
    slugs = policy.scope(request.user, "deployments.view")
    places = list(stacks.within(slugs).select_related("after"))
    by_key = lanes.of(places)
    lines = [[by_key[each.pk] for each in line] for line in lanes.lines(places)]
    wanted = request.GET.get("environment", "")
    rows = Deployment.objects.filter(environment__in=[each.pk for each in places if wanted in ("", each.slug)])
    return {
        "title": "Deployments",
        "lines": sorted(lines, key=lambda line: not any(lane.is_used for lane in line)),
        "places": places,
        "filters": {"environment": wanted},
        "page": page(_listed(rows), request.GET, key="pk", size=HISTORY),
        "any_live": any(lane.live for lane in by_key.values()),
        "any_release": Release.objects.exists(),
        "may_release": policy.allowed(request.user, "deployments.release"),
    }


def _listed(rows: QuerySet[Deployment]) -> QuerySet[Deployment]:
    return rows.select_related("environment", "release", "previous").defer(*lanes.LONG, "release__manifest")


# --- before: the plan ----------------------------------------------------------------------------------


@require_http_methods(["GET", "POST"])
@never_cache
@policy.guard("deployments.view")
def show_plan(request: HttpRequest, slug: str, release: str) -> HttpResponse:
    """What deploying the release would do, and whether it may. Sent, it is begun if that is still so: the form holds the
    plan that was seen, and a stale one comes back with what has changed."""
    environment = _environment(request, slug, "deployments.view")
    found = get_object_or_404(Release.objects.select_related("origin"), name=release)
    if request.method != "POST":
        return render(request, "deployments/plan.html", _plan_context(request, environment, found))
    policy.check(request.user, "deployments.start", slug)
    try:
        job = actions.start(
            by=request.user, environment=environment, release=found, plan_digest=request.POST.get("digest") or UNSEEN
        )
    except FlowControlError as error:
        context = _plan_context(request, environment, found) | {"refusal": error}
        context["stale"] = telling.differences(telling.unseal(request.POST.get("seen", "")), context["made"])
        return render(request, "deployments/plan.html", context, status=REFUSED)
    return redirect("deployments:detail", job.pk)


def _plan_context(request: HttpRequest, environment: Environment, release: Release) -> dict[str, Any]:
    made, evidence = plans.make(release, environment), gate.evidence(release, environment)
    live = queries.live(environment)
    return {
        "title": f"Plan for {environment.name}",
        "page_title": f"Plan: {release} into {environment.name}",
        "place": environment,
        "release": release,
        "made": made,
        "plan": telling.plan(made),
        "seen": telling.seal(made),
        "evidence": evidence,
        "shut": [each for each in evidence if not each.ok],
        "live": live,
        "pin": queries.pin(environment),
        "nobody": "" if stacks.docker_workers() else standing.NOBODY,
        "may_start": policy.allowed(request.user, "deployments.start", environment.slug),
    }


# --- one deployment ------------------------------------------------------------------------------------


@require_GET
@never_cache
@policy.guard("deployments.view")
def show_deployment(request: HttpRequest, pk: int) -> HttpResponse:
    """One deployment as it stands, and from there live."""
    job = _deployment(request, pk, "deployments.view")
    context = _deployment_context(request, job) | log_context("deployment", job)
    return render(request, "deployments/detail.html", context)


@require_GET
@never_cache
@policy.guard("deployments.view")
def live_deployment(request: HttpRequest, pk: int) -> HttpResponse:
    """The parts of that page that change; lines of the log come as events."""
    context = _deployment_context(request, _deployment(request, pk, "deployments.view")) | {"fragment": True}
    return render(request, "deployments/detail.html#live", context)


def _deployment_context(request: HttpRequest, job: Deployment) -> dict[str, Any]:
    stages, slug = list(job.stages.all()), job.environment.slug
    may_start = policy.allowed(request.user, "deployments.start", slug)
    serves = queries.newest_good(job.environment) if may_start and job.is_final else None
    is_waiting = job.status == "waiting"
    return {
        "title": f"Deployment #{job.pk}",
        "page_title": f"{job.release} into {job.environment.name}, deployment #{job.pk}",
        "job": job,
        "place": job.environment,
        "approval": getattr(job, "approval", None),
        "plan": telling.plan(job.plan),
        "stages": stages,
        "stages_done": sum(each.status in ("succeeded", "skipped") for each in stages),
        "is_watching": any(each.name == "watch" and each.status == "running" for each in stages),
        "figures": telling.figures(job),
        "trouble": telling.trouble(job, stages),
        "last_event": job.event_seq,
        "may_cancel": not job.is_final and may_start,
        "may_roll_back": serves is not None and serves.pk == job.pk and job.previous is not None,
        "may_again": job.is_final and may_start and (serves is None or serves.release_id != job.release_id),
        "may_approve": is_waiting
        and not _own(request, job)
        and policy.allowed(request.user, "deployments.approve", slug),
        "is_own": is_waiting and _own(request, job),
    }


def _own(request: HttpRequest, job: Deployment) -> bool:
    return actor_of(request.user).name == job.requested_by.removeprefix("cli:")


@require_http_methods(["GET", "POST"])
@policy.guard("deployments.start")
def cancel_deployment(request: HttpRequest, pk: int) -> HttpResponse:
    """Asks, then cancels."""
    job = _deployment(request, pk, "deployments.start")
    if request.method == "GET":
        return render(request, "deployments/cancel.html", {"title": f"Deployment #{pk}", "job": job})
    actions.cancel(by=request.user, deployment=job)
    return redirect("deployments:detail", pk)


@require_http_methods(["GET", "POST"])
@never_cache
@policy.guard("deployments.approve")
def approve_deployment(request: HttpRequest, pk: int) -> HttpResponse:
    """What is to be approved, as it was planned and as it is now; then the approver's own password."""
    job = _deployment(request, pk, "deployments.approve")
    form, is_waiting = ApproveForm(request.POST or None), job.status == "waiting"
    stale = telling.differences(job.plan, plans.make(job.release, job.environment)) if is_waiting else []
    refusal, status = None, 200
    if request.method == "POST" and form.is_valid() and _is_really(request, form):
        try:
            if stale:
                raise actions.PlanStale(
                    "The plan is stale; nothing was approved.", hint="Cancel it, and ask for it anew."
                )
            actions.approve(by=request.user, deployment=job, note=form.cleaned_data["note"])
        except FlowControlError as error:
            refusal, status = error, REFUSED
        else:
            messages.success(request, f"Approved: {job.release} goes into {job.environment.name}.")
            return redirect("deployments:detail", pk)
    evidence = gate.evidence(job.release, job.environment)
    context = {
        "title": f"Approve deployment #{pk}",
        "job": job,
        "place": job.environment,
        "form": form,
        "refusal": refusal,
        "plan": telling.plan(job.plan),
        "stale": stale,
        "evidence": evidence,
        "shut": [each for each in evidence if not each.ok],
        "is_own": _own(request, job),
        "is_waiting": is_waiting,
    }
    return render(request, "deployments/approve.html", context, status=INVALID if form.errors else status)


def _is_really(request: HttpRequest, form: ApproveForm) -> bool:
    """Whether the password is that of the account whose session this is; failures count like those of the login page."""
    typed = form.cleaned_data["password"]
    if authenticate(request, username=request.user.get_username(), password=typed) == request.user:
        return True
    form.add_error("password", "That is not your password. Nothing was approved.")
    return False


@require_GET
@policy.guard("deployments.view")
def download_log(request: HttpRequest, pk: int) -> HttpResponse:
    """All lines of the deployment's log as plain text."""
    return log_file("deployment", _deployment(request, pk, "deployments.view"))


# --- back ----------------------------------------------------------------------------------------------


@require_http_methods(["GET", "POST"])
@never_cache
@policy.guard("deployments.start")
def roll_back(request: HttpRequest, slug: str) -> HttpResponse:
    """Which release to go back to, and what that does; sent, it is begun."""
    environment = _environment(request, slug, "deployments.start")
    now, served = queries.in_force(environment), queries.served(environment)
    choices = [each for each in served if each != now]
    named = request.POST.get("to") or request.GET.get("to")
    target = next((each for each in choices if each.name == named), choices[0] if choices and not named else None)
    context = {"title": f"Roll back {environment.name}", "place": environment, "now": now, "choices": choices}
    if request.method == "POST":
        try:
            return redirect(
                "deployments:detail", actions.rollback(by=request.user, environment=environment, to=target).pk
            )
        except FlowControlError as error:
            context["refusal"] = error
    plan = telling.plan(plans.make(target, environment)) if target else None
    context |= {"target": target, "plan": plan, "nobody": "" if stacks.docker_workers() else standing.NOBODY}
    return render(request, "deployments/rollback.html", context, status=REFUSED if "refusal" in context else 200)


@require_POST
@policy.guard("deployments.start")
def unpin(request: HttpRequest, slug: str) -> HttpResponse:
    """Let releases come in by themselves again."""
    environment = _environment(request, slug, "deployments.start")
    if actions.unpin(by=request.user, environment=environment):
        messages.success(request, f"{environment.name} is not pinned any more.")
    return redirect("deployments:lanes")


# --- logs of jobs of this room -------------------------------------------------------------------------


def log_context(kind: str, job: Job) -> dict[str, Any]:
    """The newest lines, and whether there are more."""
    rows = _log(kind, job).order_by("-seq")[: stacks.SHOWN_LINES]
    log = list(rows)[::-1]
    return {"log": log, "log_cut": len(log) == stacks.SHOWN_LINES}


def log_file(kind: str, job: Job) -> HttpResponse:
    rows = _log(kind, job).order_by("seq")
    lines = (f"{row.at:%Y-%m-%dT%H:%M:%S.%fZ} {row.data.get('line', '')}\n" for row in rows)
    response = HttpResponse("".join(lines), content_type="text/plain; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="{kind}-{job.pk}.log"'
    return response


def _log(kind: str, job: Job) -> QuerySet[JobEvent]:
    return JobEvent.objects.filter(job_kind=kind, job_id=job.pk, kind="log")


# --- finding -------------------------------------------------------------------------------------------


def _environment(request: HttpRequest, slug: str, action: str) -> Environment:
    """The environment, for somebody who may there. Raises Denied, Http404."""
    environment = get_object_or_404(Environment.objects.select_related("after"), slug=slug)
    policy.check(request.user, action, environment.slug)
    return environment


def _deployment(request: HttpRequest, pk: int, action: str) -> Deployment:
    rows = Deployment.objects.select_related("environment__after", "release", "previous", "approval")
    job = get_object_or_404(rows, pk=pk)
    policy.check(request.user, action, job.environment.slug)
    return job
