"""Pages that cross rooms: the overview, search, environments, the audit; and what machines ask."""

import ipaddress
import json
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET
from django_prometheus.exports import ExportToDjangoView

from apps.accounts import policy
from apps.common import clock
from apps.common.paging import page
from apps.common.tokens import bearer_matches
from apps.deployments import queries as releases
from apps.deployments.models import Deployment
from apps.environments import queries as stacks
from apps.environments import standing
from apps.environments.models import Service, StackJob
from apps.jobs import queries as jobs
from apps.jobs import workers
from apps.portal import chart, queries
from apps.runs import queries as runs
from apps.runs.models import Run

STARTED = clock.now()  # when this process began to serve


@require_GET
@never_cache
@policy.guard("portal.view")
def overview(request: HttpRequest) -> HttpResponse:
    """How it goes: figures, what needs attention, recent runs, flows."""
    live, days = runs.live(), runs.per_day()
    slugs = policy.scope(request.user, "runs.view")
    serving = queries.serving(policy.scope(request.user, "deployments.view"))
    return render(
        request,
        "portal/overview.html",
        {
            "title": "Overview",
            "live": live,
            "day": runs.last_day(),
            "notices": _notices(live.queued),
            "chart": chart.bars(days) if any(day.total for day in days) else "",
            "attention": _needs_attention(request.user, serving),
            "serving": serving,
            "runs": queries.recent_runs(slugs),
            "flows": queries.strips(),
            "may_edit": policy.allowed(request.user, "flows.edit"),
        },
    )


def _notices(queued: int) -> list[dict[str, str]]:
    """What keeps all work from going on, in plain words."""
    found = []
    if not workers.alive():
        waiting = f"{queued} queued run{' waits' if queued == 1 else 's wait'} for one. " if queued else ""
        hint = f"{waiting}Start the portal with `make run`, or a worker beside it; what is queued goes on by itself."
        found.append({"kind": "warn", "text": "No worker is alive: nothing runs.", "hint": hint})
    return found + [{"kind": "warn", "text": reason, "hint": ""} for reason in jobs.readiness()["reasons"]]


def _needs_attention(user: Any, serving: Sequence[queries.Serving]) -> list[dict[str, Any]]:
    """Releases and stacks first, since what runs in them depends on them; then flows."""
    slugs = policy.scope(user, "environments.view")
    found = [each for row in serving if row.newest and (each := _attention_of_deployment(row.newest))]
    found += [_attention_of_stack(job) for job in stacks.troubled_jobs(slugs)]
    found += [_attention_of_service(service) for service in stacks.troubled_services(slugs)]
    return found + [_attention(run) for run in runs.troubled(policy.scope(user, "runs.view"))]


def _attention_of_deployment(job: Deployment) -> dict[str, Any] | None:
    """Of the newest deployment into an environment; None where it goes as it should."""
    words = {"waiting": "waits for approval in", "failed": "did not come into", "reverted": "was taken back in"}
    if job.status not in words:
        return None
    waits = job.status == "waiting"
    return {
        "kind": "warn" if waits else "bad",
        "title": f"{job.release} {words[job.status]} {job.environment.name}",
        "text": f"{job.requested_by} asked for it; somebody else has to approve it." if waits else job.message,
        "at": job.created_at if waits else job.finished_at,
        "href": reverse("deployments:detail", args=[job.pk]),
        "link": f"Open deployment #{job.pk}",
    }


def _attention_of_stack(job: StackJob) -> dict[str, Any]:
    lost = job.display_state == "lost"
    return {
        "kind": "warn" if lost else "bad",
        "title": f"{job.environment.name} {job.action} {'is lost' if lost else 'failed'}",
        "text": "Its worker has not been heard of; another takes it over." if lost else job.message,
        "at": job.lease_expires_at if lost else job.finished_at,
        "href": reverse("environments:stack", args=[job.pk]),
        "link": f"Open stack job #{job.pk}",
    }


def _attention_of_service(service: Service) -> dict[str, Any]:
    stale = standing.stale(service.environment)
    ended = f" with exit code {service.exit_code}" if service.exit_code else ""
    return {
        "kind": "warn" if stale else "bad",
        "title": f"{service.name} is {standing.word(service)}{ended} in {service.environment.name}",
        "text": stale or f"Container {service.container}.",
        "at": service.seen_at,
        "href": reverse("environments:detail", args=[service.environment.slug]),
        "link": f"Open {service.environment.name}",
    }


def _attention(run: Run) -> dict[str, Any]:
    lost = run.display_state == "lost"
    return {
        "kind": "warn" if lost else "bad",
        "title": f"{run.flow.name} {'is lost' if lost else 'failed'} in {run.environment.name}",
        "text": "Its worker has not been heard of; another takes it over." if lost else run.message,
        "at": run.lease_expires_at if lost else run.finished_at,
        "href": reverse("runs:detail", args=[run.pk]),
        "link": f"Open run #{run.pk}",
    }


@require_GET
@policy.guard("runs.view")
def search(request: HttpRequest) -> HttpResponse:
    """Flows, runs and releases by a word or a number."""
    query = request.GET.get("q", "").strip()[:200].replace("\0", "")
    slugs = policy.scope(request.user, "runs.view")
    found: dict[str, Any] = {}
    if query:
        found = {"flows": queries.found_flows(query), "runs": queries.found_runs(query, slugs)}
        found["releases"] = releases.found(query, policy.scope(request.user, "deployments.view"))
    return render(request, "portal/search.html", {"title": "Search", "query": query, **found})


@require_GET
@never_cache
@policy.guard("environments.view")
def environments(request: HttpRequest) -> HttpResponse:
    """Each environment with its stack, its newest change, its workers and runs."""
    rows = queries.environment_rows(policy.scope(request.user, "environments.view"))
    context = {
        "title": "Environments",
        "environments": rows,
        "any_stack": any(row.stack.word != "unseen" or row.job for row in rows),
        "has_docker": bool(stacks.docker_workers()),
    }
    return render(request, "portal/environments.html", context)


@require_GET
@policy.guard("audit.view")
def audit(request: HttpRequest) -> HttpResponse:
    """Every change, newest first."""
    query = request.GET.get("q", "").strip().replace("\0", "")
    shown = page(queries.audit_rows(query), request.GET, key="seq", size=100)
    events = [(row, json.dumps(row.detail, ensure_ascii=False) if row.detail else "") for row in shown.rows]
    context = {"title": "Audit", "events": events, "page": shown, "filters": {"q": query}}
    return render(request, "portal/audit.html", context)


@require_GET
@never_cache
@policy.public("a process manager asks it, and it tells nothing but that the process answers")
def healthz(request: HttpRequest) -> HttpResponse:
    """Alive: the process answers. It asks nobody else, so that a database that is away does not restart the web."""
    return HttpResponse("alive\n", content_type="text/plain")


@require_GET
@never_cache
@policy.public("a process manager asks it; it tells ages and counts, no names of flows or people")
def readyz(request: HttpRequest) -> JsonResponse:
    """Whether work makes progress: 200, or 503 with the reasons."""
    try:
        connection.ensure_connection()
        answer = jobs.readiness()
    except DatabaseError as error:
        answer = {"ready": False, "reasons": [f"The database does not answer: {type(error).__name__}."]}
    return JsonResponse({"version": 1, "since": STARTED.isoformat(), **answer}, status=200 if answer["ready"] else 503)


@require_GET
@never_cache
@policy.public("it guards itself: this machine, a scraper with the token, or an account with metrics.view")
def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus figures, for a scraper on this machine or with METRICS_TOKEN, or an account that may.

    Behind a proxy every request comes from this machine, so there only the account counts.
    """
    scraper = bearer_matches(request.headers.get("Authorization", ""), settings.METRICS_TOKEN)
    if not (scraper or _is_local(request) or policy.allowed(request.user, "metrics.view")):
        return HttpResponse(
            "Figures are given to this machine itself, to a scraper with the token (METRICS_TOKEN), "
            "or to an account with the right metrics.view.\n",
            status=403,
            content_type="text/plain",
        )
    return ExportToDjangoView(request)


def _is_local(request: HttpRequest) -> bool:
    if settings.BEHIND_TLS or "X-Forwarded-For" in request.headers or "Forwarded" in request.headers:
        return False
    try:
        return ipaddress.ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False
