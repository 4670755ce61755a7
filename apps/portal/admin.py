"""The audit in the admin, and what libraries keep for the house. All of it to look at."""

import json

from axes.admin import AccessAttempt, AccessFailureLog, AccessLog
from django.contrib import admin
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django_celery_beat.admin import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule

from apps.audit.models import AuditEvent
from apps.jobs.admin import ReadOnlyAdmin


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
