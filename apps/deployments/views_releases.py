"""Pages of releases: the list, one with where it runs, two beside each other; and the making of one, live."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from apps.accounts import policy
from apps.common.errors import FlowControlError
from apps.common.paging import page
from apps.deployments import actions, lanes, plans, queries, telling
from apps.deployments.forms import BuildForm
from apps.deployments.models import Build, Deployment, Release
from apps.deployments.views import INVALID, REFUSED, log_context, log_file
from apps.environments import queries as stacks
from apps.environments import standing
from apps.environments.models import Environment

SHOWN_DEPLOYMENTS = 20
SHOWN_BUILDS = 5
SHOWN_OTHERS = 50  # releases that one can be compared with: the newest


@require_GET
@never_cache
@policy.guard("deployments.view")
def list_releases(request: HttpRequest) -> HttpResponse:
    """Releases, newest first, with where each serves."""
    slugs = policy.scope(request.user, "deployments.view")
    shown = page(queries.visible(slugs).select_related("origin").defer("description"), request.GET, key="pk", size=30)
    serving = serving_by_release(slugs)
    builds = Build.objects.filter(environment__in=stacks.within(slugs)).select_related("environment", "release")
    context = {
        "title": "Releases",
        "rows": [(each, serving.get(each.pk, [])) for each in shown.rows],
        "page": shown,
        "builds": builds.order_by("-pk").defer("release__description", "release__manifest")[:SHOWN_BUILDS],
        "may_release": policy.allowed(request.user, "deployments.release"),
    }
    return render(request, "deployments/releases.html", context)


def serving_by_release(slugs: Collection[str] | None) -> dict[int, list[Environment]]:
    """Where each release serves, by its key."""
    found: dict[int, list[Environment]] = {}
    for row in lanes.serves(stacks.within(slugs)).values():
        found.setdefault(row.release_id, []).append(row.environment)
    return found


@require_GET
@never_cache
@policy.guard("deployments.view")
def show_release(request: HttpRequest, name: str) -> HttpResponse:
    """One release: what it is made of, where it serves and served, and where it may go."""
    slugs = policy.scope(request.user, "deployments.view")
    release = _release(slugs, name)
    rows = Deployment.objects.filter(release=release, environment__in=stacks.within(slugs)).order_by("-pk")
    serves = serving_by_release(slugs).get(release.pk, [])
    others = queries.visible(slugs).exclude(pk=release.pk).order_by("-pk").values_list("name", flat=True)[:SHOWN_OTHERS]
    may_go = [each for each in _line_of(release) if each not in serves and _may_start(request, each)]
    context = {
        "title": f"Release {release}",
        "release": release,
        "serves": serves,
        "deployments": rows.select_related("environment").defer("plan")[:SHOWN_DEPLOYMENTS],
        "others": list(others),
        "before": queries.visible(slugs)
        .filter(pk__lt=release.pk)
        .order_by("-pk")
        .values_list("name", flat=True)
        .first(),
        "may_go": may_go,
    }
    return render(request, "deployments/release.html", context)


def _line_of(release: Release) -> list[Environment]:
    """The environments of the line of promotion in which the release was made."""
    lines = lanes.lines(list(Environment.objects.all()))
    return next((line for line in lines if release.origin in line), [])


def _may_start(request: HttpRequest, environment: Environment) -> bool:
    return policy.allowed(request.user, "deployments.start", environment.slug)


@require_GET
@policy.guard("deployments.view")
def show_difference(request: HttpRequest, name: str) -> HttpResponse:
    """What differs from another release, which stands in the query as `against`; without one, where it is chosen."""
    slugs = policy.scope(request.user, "deployments.view")
    if "against" not in request.GET:
        return redirect("deployments:release", _release(slugs, name).name)
    new, old = _release(slugs, name), _release(slugs, request.GET.get("against", "")[:40])
    reads, read = (set(each.manifest["configuration"]) for each in (new, old))
    made = {
        "services": plans.services(old, new, ()),
        "configuration": {"added": sorted(reads - read), "removed": sorted(read - reads)},
        "flows": plans.flows(old, new),
    }
    context = {"title": "What differs", "page_title": f"From {old} to {new}", "old": old, "new": new}
    return render(request, "deployments/difference.html", context | {"plan": telling.plan(made)})


# --- making one ----------------------------------------------------------------------------------------


@require_http_methods(["GET", "POST"])
@policy.guard("deployments.release")
def new_release(request: HttpRequest) -> HttpResponse:
    """The form that starts the making of a release; sent, it leads to its page."""
    mine = list(stacks.within(policy.scope(request.user, "deployments.release")))
    form = BuildForm(
        request.POST or None, environments=mine, initial={"environment": request.GET.get("environment")}
    )  # fmt: skip
    status = 200
    if request.method == "POST" and form.is_valid():
        try:
            job = actions.build_release(by=request.user, **form.cleaned_data)
        except policy.Denied:
            raise
        except FlowControlError as error:
            form.add_error(None, f"{error.message} {error.hint}")
            status = REFUSED
        else:
            return redirect("deployments:build", job.pk)
    context = {"title": "Make a release", "form": form, "nobody": "" if stacks.docker_workers() else standing.NOBODY}
    return render(
        request, "deployments/new_release.html", context, status=status if status != 200 or not form.errors else INVALID
    )


@require_GET
@never_cache
@policy.guard("deployments.view")
def show_build(request: HttpRequest, pk: int) -> HttpResponse:
    """The making of a release as it stands, and from there live."""
    job = _build(request, pk, "deployments.view")
    return render(request, "deployments/build.html", _build_context(request, job) | log_context("build", job))


@require_GET
@never_cache
@policy.guard("deployments.view")
def live_build(request: HttpRequest, pk: int) -> HttpResponse:
    """The parts of that page that change; lines of the log come as events."""
    context = _build_context(request, _build(request, pk, "deployments.view")) | {"fragment": True}
    return render(request, "deployments/build.html#live", context)


def _build_context(request: HttpRequest, job: Build) -> dict[str, Any]:
    stages = list(job.stages.all())
    may = policy.allowed(request.user, "deployments.release", job.environment.slug)
    return {
        "title": f"Build #{job.pk}",
        "page_title": f"A release of {job.environment.name}, build #{job.pk}",
        "job": job,
        "place": job.environment,
        "stages": stages,
        "stages_done": sum(each.status in ("succeeded", "skipped") for each in stages),
        "trouble": telling.trouble(job, stages),
        "last_event": job.event_seq,
        "may_cancel": may and not job.is_final,
        "may_again": may and job.is_final and job.release is None,
    }


@require_http_methods(["GET", "POST"])
@policy.guard("deployments.release")
def cancel_build(request: HttpRequest, pk: int) -> HttpResponse:
    """Asks, then cancels."""
    job = _build(request, pk, "deployments.release")
    if request.method == "GET":
        return render(request, "deployments/build_cancel.html", {"title": f"Build #{pk}", "job": job})
    actions.cancel_build(by=request.user, build=job)
    return redirect("deployments:build", pk)


@require_GET
@policy.guard("deployments.view")
def download_build_log(request: HttpRequest, pk: int) -> HttpResponse:
    """All lines of the build's log as plain text."""
    return log_file("build", _build(request, pk, "deployments.view"))


# --- finding -------------------------------------------------------------------------------------------


def _release(slugs: Collection[str] | None, name: str) -> Release:
    """The release, for somebody who may see it. Raises Http404: who may not is not told that it is there."""
    found = queries.visible(slugs).select_related("origin").filter(name=name).first()
    if found is None:
        raise Http404("There is no such release.")
    return found


def _build(request: HttpRequest, pk: int, action: str) -> Build:
    job = get_object_or_404(Build.objects.select_related("environment", "release"), pk=pk)
    policy.check(request.user, action, job.environment.slug)
    return job
