"""State to look at. Machines keep it, so nobody changes it here."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from apps.jobs.models import JobEvent, Leader, Worker


class ReadOnlyAdmin(ModelAdmin):
    """Rows to look at: none is added, changed or deleted. Rooms above use it for the rows of their jobs."""

    show_full_result_count = False  # counting a long table costs more than showing a page of it
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Worker)
class WorkerAdmin(ReadOnlyAdmin):
    list_display = ("name", "host", "pid", "queues", "started_at", "seen_at")
    ordering = ("name",)


@admin.register(Leader)
class LeaderAdmin(ReadOnlyAdmin):
    list_display = ("role", "holder", "fence", "expires_at", "ticked_at", "tick_seconds")
    ordering = ("role",)


@admin.register(JobEvent)
class JobEventAdmin(ReadOnlyAdmin):
    list_display = ("id", "job_kind", "job_id", "seq", "at", "kind")
    ordering = ("-id",)
    search_fields = ("=job_id",)
    search_help_text = "The number of a job"
