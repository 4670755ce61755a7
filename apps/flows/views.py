"""Pages of flows: the list, one flow, its editor, its versions. What runs know of a flow, their template tags bring."""

import contextlib
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.accounts import policy
from apps.common.paging import page
from apps.flows import actions, difference, pictures, queries, reading
from apps.flows.forms import NEW_TEXT, TextForm
from apps.flows.models import Flow, FlowVersion
from apps.language.diagnostics import has_errors
from apps.language.formatter import FormatError, format_text

MOST_DIFF_ROWS = 3000  # a page that a browser can still draw


@require_GET
@policy.guard("flows.view")
def list_flows(request: HttpRequest) -> HttpResponse:
    """All flows by name, or those with a word in their name or description."""
    query = request.GET.get("q", "").strip()
    archived = bool(request.GET.get("archived"))
    shown = page(queries.listed(query, archived=archived), request.GET, key="name", descending=False)
    return render(
        request,
        "flows/list.html",
        {
            "title": "Flows",
            "flows": shown.rows,
            "archived": archived,
            "tests": queries.test_counts([flow.current_id for flow in shown.rows]),
            "page": shown,
            "query": query,
            "may_edit": policy.allowed(request.user, "flows.edit"),
        },
    )


@require_GET
@policy.guard("flows.view")
def show_flow(request: HttpRequest, name: str) -> HttpResponse:
    """One flow as its current version has it."""
    flow, version = _current(name)
    read = reading.read(version.text)
    links = pictures.links_to(read.graph, reverse("flows:edit", args=[name]))
    may_edit = policy.allowed(request.user, "flows.edit")
    return render(
        request,
        "flows/detail.html",
        {
            "title": "Flow",
            "page_title": flow.name,
            "flow": flow,
            "version": version,
            "head": read.options,
            "parameters": read.parameters,
            "graph": pictures.picture(read.graph, links=links if may_edit else None),
            "versions": queries.versions_of(flow)[:5],
            "tests": queries.newest_tests(version),
            "may_edit": may_edit,
            "may_archive": policy.allowed(request.user, "flows.delete"),
        },
    )


@require_http_methods(["GET", "POST"])
@policy.guard("flows.edit")
def edit_flow(request: HttpRequest, name: str) -> HttpResponse:
    """The editor of a flow's current version."""
    flow, version = _current(name)
    if request.method == "POST":
        return _save(request, flow)
    return _editor(request, flow, text=version.text, base=version.sha256)


@require_http_methods(["GET", "POST"])
@policy.guard("flows.edit")
def new_flow(request: HttpRequest) -> HttpResponse:
    """The editor with a small flow that runs as it is."""
    if request.method == "POST":
        return _save(request, None)
    return _editor(request, None, text=NEW_TEXT, base="")


def _save(request: HttpRequest, flow: Flow | None) -> HttpResponse:
    form = TextForm(request.POST)
    if not form.is_valid():
        return _editor(
            request,
            flow,
            text=form.given("text"),
            base=form.given("base"),
            note=form.given("note"),
            refused=form.refusal,
        )
    text, base, note = form.cleaned_data["text"], form.cleaned_data["base"], form.cleaned_data["note"]
    action = request.POST.get("action", "save")
    if action == "format":
        try:
            text = format_text(text)
        except FormatError:
            action = "check"  # the diagnostics say what keeps it from being laid out
    if action != "save":
        return _editor(request, flow, text=text, base=base, note=note, checked=True)
    try:
        version = actions.save_version(
            by=request.user, name=flow.name if flow else None, text=text, base_sha256=base or None, note=note
        )
    except actions.SaveConflict as error:
        return _conflict(request, error.theirs, text, note)
    except actions.FlowInvalid as error:
        return _editor(request, flow, text=text, base=base, note=note, checked=True, refused=error)
    messages.success(request, f"Saved as version {version.number}.")
    return redirect("flows:detail", version.flow.name)


def _editor(
    request: HttpRequest,
    flow: Flow | None,
    *,
    text: str,
    base: str,
    note: str = "",
    checked: bool = False,
    refused: Any = None,
) -> HttpResponse:
    diagnostics, drawn = reading.examine(text) if checked or refused else ([], reading.read(text).graph)
    context = {
        "title": "Edit" if flow else "New flow",
        "page_title": f"Edit {flow.name}" if flow else "New flow",
        "flow": flow,
        "text": text,
        "base": base,
        "note": note,
        "diagnostics": [each.to_json() for each in diagnostics],
        "checked": checked,
        "refused": refused,
        "graph": pictures.picture(drawn, only_tall=True),
    }
    return render(request, "flows/edit.html", context, status=422 if refused else 200)


def _conflict(request: HttpRequest, theirs: FlowVersion, text: str, note: str) -> HttpResponse:
    """Somebody was first: both texts, and what differs. Status 409."""
    return render(
        request,
        "flows/conflict.html",
        {
            "title": "Saved by somebody else",
            "theirs": theirs,
            "text": text,
            "note": note,
            "rows": difference.rows(theirs.text, text)[:MOST_DIFF_ROWS],
            "action": reverse("flows:edit", args=[theirs.flow.name]),
            "next_number": theirs.number + 1,
        },
        status=409,
    )


@require_POST
@policy.guard("flows.edit")
def check_text(request: HttpRequest) -> JsonResponse:
    """What is wrong with the posted `text`, its graph, and with `format` the text laid out. Nothing is kept.

    {"version": 1, "ok", "diagnostics": [as `flow check --json`], "graph": SVG or null, "formatted": text or null}
    """
    text = request.POST.get("text", "").replace("\r\n", "\n")
    diagnostics, drawn = reading.examine(text)
    formatted = None
    if request.POST.get("format"):
        with contextlib.suppress(FormatError):
            formatted = format_text(text)
            diagnostics, drawn = reading.examine(formatted)
    return JsonResponse(
        {
            "version": 1,
            "ok": not has_errors(diagnostics),
            "diagnostics": [each.to_json() for each in diagnostics],
            # A text that cannot be read at all leaves the picture as it was.
            "graph": pictures.picture(drawn, only_tall=True).tall if drawn.nodes else None,
            "formatted": formatted,
        }
    )


@require_GET
@policy.guard("flows.view")
def list_versions(request: HttpRequest, name: str) -> HttpResponse:
    flow = _flow(name)
    shown = page(queries.versions_of(flow), request.GET, key="number")
    return render(
        request,
        "flows/versions.html",
        {
            "title": "Versions",
            "page_title": f"Versions of {name}",
            "flow": flow,
            "versions": shown.rows,
            "tests": queries.test_counts([version.pk for version in shown.rows]),
            "page": shown,
        },
    )


@require_GET
@policy.guard("flows.view")
def show_version(request: HttpRequest, name: str, number: int) -> HttpResponse:
    flow = _flow(name)
    version = get_object_or_404(queries.versions_of(flow).defer(None), number=number)
    context = {
        "title": "Version",
        "page_title": f"{name} v{number}",
        "flow": flow,
        "version": version,
        "tests": queries.test_counts([version.pk]).get(version.pk),
        "graph": pictures.picture(reading.read(version.text).graph),
    }
    return render(request, "flows/version.html", context)


@require_GET
@policy.guard("flows.view")
def show_difference(request: HttpRequest, name: str, old: int, new: int) -> HttpResponse:
    """What changed from one version to another; any two will do."""
    flow = _flow(name)
    versions = {version.number: version for version in FlowVersion.objects.filter(flow=flow, number__in=[old, new])}
    if old not in versions or new not in versions:
        raise Http404("There is no such version.")
    rows = difference.rows(versions[old].text, versions[new].text)
    added, removed = difference.counts(rows)
    context = {
        "title": "What changed",
        "page_title": f"{name} v{old} to v{new}",
        "flow": flow,
        "old": versions[old],
        "new": versions[new],
        "rows": rows[:MOST_DIFF_ROWS],
        "left_out": max(0, len(rows) - MOST_DIFF_ROWS),
        "added": added,
        "removed": removed,
    }
    return render(request, "flows/diff.html", context)


@require_http_methods(["GET", "POST"])
@policy.guard("flows.delete")
def archive_flow(request: HttpRequest, name: str) -> HttpResponse:
    """Asks, then takes the flow out of the list."""
    flow = _flow(name)
    if request.method == "GET":
        return render(
            request, "flows/archive.html", {"title": "Archive", "page_title": f"Archive {name}", "flow": flow}
        )
    actions.archive_flow(by=request.user, flow=flow)
    messages.success(request, f"{name} is archived. Its versions and runs stay.")
    return redirect("flows:list")


@require_POST
@policy.guard("flows.delete")
def restore_flow(request: HttpRequest, name: str) -> HttpResponse:
    """Brings an archived flow back."""
    actions.restore_flow(by=request.user, flow=_flow(name))
    messages.success(request, f"{name} is back in the list.")
    return redirect("flows:detail", name)


@require_POST
@policy.guard("flows.edit")
def test_flow(request: HttpRequest, name: str) -> HttpResponse:
    """Puts the tests of the current version in line once more."""
    _, version = _current(name)
    actions.test_again(by=request.user, version=version)
    messages.info(request, f"The tests of version {version.number} are in line. Reload in a moment.")
    return redirect("flows:detail", name)


def _flow(name: str) -> Flow:
    return get_object_or_404(Flow, name=name)


def _current(name: str) -> tuple[Flow, FlowVersion]:
    """A flow and its current version. 404 for a name that is none, or has no version yet."""
    flow = get_object_or_404(Flow.objects.select_related("current"), name=name)
    if flow.current is None:
        raise Http404("This flow has no version yet.")
    return flow, flow.current
