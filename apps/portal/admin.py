"""The audit and the bridge in the admin, and what libraries keep for the house. All of it to look at."""

import json
import sqlite3
from collections.abc import Callable
from typing import Any

from axes.admin import AccessAttempt, AccessFailureLog, AccessLog
from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import DatabaseError, connections
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.template.response import SimpleTemplateResponse, TemplateResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django_celery_beat.admin import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule

from apps.audit.models import AuditEvent
from apps.bridge import database as bridge
from apps.bridge.errors import BridgeRefusal, NoSession
from apps.bridge.models import ALIAS as BRIDGE
from apps.bridge.models import BridgeCase, BridgeSession, BridgeTransition
from apps.jobs.admin import ReadOnlyAdmin

PATIENCE_SECONDS = 2.0  # with whoever holds the bridge's database


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnlyAdmin):
    list_display = ("seq", "at", "actor", "kind", "target", "environment")
    list_filter = ("actor_kind", "kind", "environment")
    search_fields = ("actor", "kind", "target")
    ordering = ("-seq",)
    fields = (
        "seq",
        "at",
        "kind",
        "actor",
        "actor_kind",
        "target",
        "environment",
        "written_out",
        "previous",
        "digest",
    )

    @admin.display(description="detail")
    def written_out(self, event: AuditEvent) -> SafeString:
        return format_html("<pre>{}</pre>", json.dumps(event.detail, ensure_ascii=False, indent=2))


class BridgeAdmin(ReadOnlyAdmin):
    """Looks into a file that others keep, shells among them: it may be away, held, damaged, or of a newer version. The
    page then says so in words. It is drawn here and not later, so that nothing of the file is read outside."""

    actions = None

    def changelist_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        return self._or_words(request, lambda: super(BridgeAdmin, self).changelist_view(request, *args, **kwargs))

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        return self._or_words(request, lambda: super(BridgeAdmin, self).changeform_view(request, *args, **kwargs))

    def _or_words(self, request: HttpRequest, answer: Callable[[], HttpResponseBase]) -> HttpResponseBase:
        try:
            if not bridge.check(settings.DATA / "test_state.db", settings.ENVIRONMENT, PATIENCE_SECONDS):
                return self._words(request, 200, "No test run has used the bridge here yet.", NoSession.cure)
            response = answer()
            return response.render() if isinstance(response, SimpleTemplateResponse) else response
        except BridgeRefusal as refusal:
            return self._words(request, 503, refusal.message, refusal.cure)
        except DatabaseError as error:
            cause = error.__cause__
            refused = bridge.refusal_of(cause, settings.ENVIRONMENT) if isinstance(cause, sqlite3.Error) else None
            if refused is None:
                raise
            return self._words(request, 503, refused.message, refused.cure)
        finally:
            # A connection that was opened before a repair put another file in its place would go on reading the old one.
            connections[BRIDGE].close()

    def _words(self, request: HttpRequest, status: int, text: str, cure: str) -> HttpResponseBase:
        self.check_may_look(request)
        hint = cure.replace("{env}", settings.ENVIRONMENT)
        context = {
            **self.admin_site.each_context(request),
            "title": str(self.opts.verbose_name_plural).capitalize(),
            "kind": "ok" if status == 200 else "bad",
            "text": text,
            "hint": hint,
        }
        return TemplateResponse(request, "portal/bridge.html", context, status=status)

    def check_may_look(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied


@admin.register(BridgeSession)
class BridgeSessionAdmin(BridgeAdmin):
    list_display = ("number", "id", "environment", "state", "created_at")
    list_filter = ("environment", "state")
    search_fields = ("=id",)
    ordering = ("-number",)


@admin.register(BridgeTransition)
class BridgeTransitionAdmin(BridgeAdmin):
    list_display = ("session", "seq", "from_state", "to_state", "actor", "at", "reason")
    list_filter = ("to_state",)
    search_fields = ("=session__id",)
    ordering = ("-row",)


@admin.register(BridgeCase)
class BridgeCaseAdmin(BridgeAdmin):
    list_display = ("number", "session", "layer", "source", "title", "status", "flaky", "seconds", "at")
    list_filter = ("layer", "status", "flaky")
    search_fields = ("=session__id", "title", "source")
    ordering = ("-number",)


# What the libraries register cannot stay: its pages look broken in this design, and rows that machines keep could be
# changed there. Failed logins stand in the audit; the one table that locks accounts out can be looked at.
for each in (
    AccessAttempt,
    AccessFailureLog,
    AccessLog,
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
):
    admin.site.unregister(each)


@admin.register(AccessAttempt)
class AccessAttemptAdmin(ReadOnlyAdmin):
    """Failed logins of late. "Unlock" in the list of users forgets them."""

    list_display = ("username", "ip_address", "failures_since_start", "attempt_time")
    fields = ("username", "ip_address", "user_agent", "failures_since_start", "attempt_time")
    ordering = ("-attempt_time",)
    search_fields = ("username", "=ip_address")


@admin.register(PeriodicTask)
class PeriodicTaskAdmin(ReadOnlyAdmin):
    list_display = ("name", "task", "enabled", "scheduler", "last_run_at", "total_run_count")
    list_select_related = ("interval", "crontab", "solar", "clocked")
    ordering = ("name",)
    search_fields = ("name", "task")
