"""The pages of webhooks: what comes in, what goes out, how each of them went."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.accounts import policy
from apps.common.errors import FlowControlError
from apps.common.paging import page as page_of
from apps.deployments.hooks import actions
from apps.deployments.hooks.forms import SourceForm, TargetForm
from apps.deployments.hooks.models import Delivery, HookSource, HookTarget, Notice
from apps.environments.models import Environment

SEE, MANAGE = "hooks.view", "hooks.manage"
Verdict = Delivery.Verdict
BADGES = {
    **dict.fromkeys([Verdict.ACCEPTED], "ok"),
    **dict.fromkeys([Verdict.REPEATED, Verdict.LIMITED, Verdict.DISABLED], "warn"),
    **dict.fromkeys([Verdict.UNSIGNED, Verdict.STALE, Verdict.MALFORMED, Verdict.UNKNOWN, Verdict.UNREADABLE], "bad"),
}


@require_GET
@policy.guard(SEE)
def show_hooks(request: HttpRequest) -> HttpResponse:
    last_in = Delivery.objects.filter(source=OuterRef("pk")).order_by("-pk").values("pk")[:1]
    last_out = Notice.objects.filter(target=OuterRef("pk")).order_by("-pk").values("pk")[:1]
    sources = list(_within(request, HookSource.objects.select_related("environment").annotate(last=Subquery(last_in))))
    targets = list(_within(request, HookTarget.objects.select_related("environment").annotate(last=Subquery(last_out))))
    deliveries = Delivery.objects.in_bulk([each.last for each in sources if each.last])
    notices = Notice.objects.in_bulk([each.last for each in targets if each.last])
    context = {
        "title": "Webhooks",
        "sources": [{"row": each, "last": _shown(deliveries.get(each.last))} for each in sources],
        "targets": [{"row": each, "last": notices.get(each.last)} for each in targets],
        "may_manage": policy.allowed(request.user, MANAGE),
    }
    return render(request, "deployments/hooks.html", context)


# --- in --------------------------------------------------------------------------------------------------


@require_GET
@never_cache
@policy.guard(SEE)
def show_source(request: HttpRequest, name: str) -> HttpResponse:
    """How to set it up, and what came."""
    source = _hook(request, HookSource, name, SEE)
    found = page_of(Delivery.objects.filter(source=source), request.GET, key="id", size=30)
    context = {
        "title": "Webhooks",
        "page_title": f"Hooks of {source.name}",
        "source": source,
        "address": address_of(request, source),
        "deliveries": [_shown(each) for each in found.rows],
        "page": found,
        "may_manage": policy.allowed(request.user, MANAGE, source.environment.slug),
    }
    return render(request, "deployments/hook_source.html", context)


@require_http_methods(["GET", "POST"])
@never_cache
@policy.guard(MANAGE)
@sensitive_variables("value")
def add_source(request: HttpRequest) -> HttpResponse:
    form = SourceForm(request.POST or None, environments=_environments(request))
    if request.method == "POST" and form.is_valid():
        made = _done(form, lambda: actions.add_source(by=request.user, **form.cleaned_data))
        if made:
            source, value = made
            return _made(request, source, value, address_of(request, source))
    title = "Take the hooks of a repository"
    return _form(request, form, title, "Take its hooks", status=422 if form.errors else 200)


@require_POST
@policy.guard(MANAGE)
def switch_source(request: HttpRequest, name: str) -> HttpResponse:
    return _switch(request, _hook(request, HookSource, name, MANAGE), "hooks:source")


@require_GET
@never_cache
@policy.guard(SEE)
def show_delivery(request: HttpRequest, pk: int) -> HttpResponse:
    row = _delivery(request, pk, SEE)
    may = policy.allowed(request.user, MANAGE, row.source.environment.slug) if row.source else False
    fetch = row.fetch
    context = {
        "title": "Webhooks",
        "page_title": f"Delivery {row.pk}",
        "row": row,
        "shown": _shown(row),
        "fetch": fetch,
        "stages": list(fetch.stages.all()) if fetch else [],
        "may_redeliver": may and row.is_signed and row.verdict != Verdict.PING,
    }
    return render(request, "deployments/hook_delivery.html", context)


@require_POST
@policy.guard(MANAGE)
def redeliver(request: HttpRequest, pk: int) -> HttpResponse:
    row = _delivery(request, pk, MANAGE)
    try:
        made = actions.redeliver(by=request.user, delivery=row)
    except actions.NotRedelivered as error:
        messages.error(request, f"{error.message} {error.hint}")
        return redirect("hooks:delivery", pk)
    messages.success(request, "It is in line.")
    return redirect("hooks:delivery", made.pk)


# --- out -------------------------------------------------------------------------------------------------


@require_GET
@never_cache
@policy.guard(SEE)
def show_target(request: HttpRequest, name: str) -> HttpResponse:
    target = _hook(request, HookTarget, name, SEE)
    found = page_of(Notice.objects.filter(target=target), request.GET, key="id", size=30)
    context = {
        "title": "Webhooks",
        "page_title": f"Notices to {target.name}",
        "target": target,
        "notices": found.rows,
        "page": found,
        "may_manage": policy.allowed(request.user, MANAGE, target.environment.slug),
    }
    return render(request, "deployments/hook_target.html", context)


@require_http_methods(["GET", "POST"])
@never_cache
@policy.guard(MANAGE)
@sensitive_variables("value")
def add_target(request: HttpRequest) -> HttpResponse:
    form = TargetForm(request.POST or None, environments=_environments(request))
    if request.method == "POST" and form.is_valid():
        made = _done(form, lambda: actions.add_target(by=request.user, **form.cleaned_data))
        if made:
            target, value = made
            return _made(request, target, value, "")
    title = "Tell somebody of deployments"
    return _form(request, form, title, "Add it", status=422 if form.errors else 200)


@require_POST
@policy.guard(MANAGE)
def switch_target(request: HttpRequest, name: str) -> HttpResponse:
    return _switch(request, _hook(request, HookTarget, name, MANAGE), "hooks:target")


@require_POST
@policy.guard(MANAGE)
def test_target(request: HttpRequest, name: str) -> HttpResponse:
    """Send a message of the type `test`; leads to how it goes."""
    notice = actions.test(by=request.user, target=_hook(request, HookTarget, name, MANAGE))
    messages.success(request, "A test is on its way.")
    return redirect("hooks:notice", notice.pk)


@require_GET
@never_cache
@policy.guard(SEE)
def show_notice(request: HttpRequest, pk: int) -> HttpResponse:
    row = _notice(request, pk, SEE)
    context = {
        "title": "Webhooks",
        "page_title": f"Notice {row.pk}",
        "row": row,
        "may_resend": row.is_final and policy.allowed(request.user, MANAGE, row.target.environment.slug),
    }
    return render(request, "deployments/hook_notice.html", context)


@require_POST
@policy.guard(MANAGE)
def resend(request: HttpRequest, pk: int) -> HttpResponse:
    row = _notice(request, pk, MANAGE)
    try:
        made = actions.resend(by=request.user, notice=row)
    except actions.NotRedelivered as error:
        messages.error(request, f"{error.message} {error.hint}")
        return redirect("hooks:notice", pk)
    messages.success(request, "It is sent once more.")
    return redirect("hooks:notice", made.pk)


# --- what they share -------------------------------------------------------------------------------------


def address_of(request: HttpRequest, source: HookSource) -> str:
    """What is to be pasted at the provider: this machine, as the reader calls it, at the webhook service's port."""
    host = request.get_host().rpartition(":")[0] if ":" in request.get_host().rpartition("]")[2] else request.get_host()
    scheme = "https" if request.is_secure() else "http"
    return f"{scheme}://{host}:{settings.WEBHOOK_PORT}{source.path}"


def _within(request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
    slugs = policy.scope(request.user, SEE)
    return rows if slugs is None else rows.filter(environment__slug__in=slugs)


def _environments(request: HttpRequest) -> QuerySet[Environment]:
    slugs = policy.scope(request.user, MANAGE)
    rows = Environment.objects.order_by("position", "slug")
    return rows if slugs is None else rows.filter(slug__in=slugs)


def _hook[Hook: (HookSource, HookTarget)](request: HttpRequest, model: type[Hook], name: str, action: str) -> Hook:
    """The hook, for somebody who may do `action` in its environment. Raises Denied, Http404."""
    found: Hook = get_object_or_404(model.objects.select_related("environment"), name=name)
    policy.check(request.user, action, found.environment.slug)
    return found


def _delivery(request: HttpRequest, pk: int, action: str) -> Delivery:
    rows = Delivery.objects.select_related(
        "source__environment", "fetch__build__release", "fetch__deployment", "redelivery_of"
    )
    found: Delivery = get_object_or_404(rows, pk=pk)
    policy.check(request.user, action, found.source.environment.slug if found.source else "")
    return found


def _notice(request: HttpRequest, pk: int, action: str) -> Notice:
    found: Notice = get_object_or_404(Notice.objects.select_related("target__environment"), pk=pk)
    policy.check(request.user, action, found.target.environment.slug)
    return found


def _shown(row: Delivery | None) -> dict[str, Any] | None:
    return {"row": row, "badge": BADGES.get(Verdict(row.verdict), "")} if row else None


def _done(form: Any, act: Callable[[], Any]) -> Any:
    """What was made; None where it could not be, and the form says why."""
    try:
        return act()
    except policy.Denied:
        raise
    except FlowControlError as error:
        form.add_error(None, f"{error.message} {error.hint}")
        return None


def _form(request: HttpRequest, form: Any, title: str, button: str, *, status: int) -> HttpResponse:
    context = {"title": "Webhooks", "page_title": title, "form": form, "button": button}
    return render(request, "deployments/hook_new.html", context, status=status)


@sensitive_variables("value")
def _made(request: HttpRequest, hook: HookSource | HookTarget, value: str, address: str) -> HttpResponse:
    """The one page that shows a secret: one that was made just now, and that nobody can read again."""
    context = {
        "title": "Webhooks",
        "page_title": f"{hook.name} is added",
        "hook": hook,
        "is_source": isinstance(hook, HookSource),
        "value": value,
        "address": address,
    }
    response = render(request, "deployments/hook_made.html", context)
    response["Cache-Control"] = "no-store"
    return response


def _switch(request: HttpRequest, hook: HookSource | HookTarget, page: str) -> HttpResponse:
    on = request.POST.get("on") == "1"
    actions.switch(by=request.user, hook=hook, on=on)
    messages.success(request, f"{hook.name} is switched {'on' if on else 'off'}.")
    return redirect(page, hook.name)
