"""To look at: stacks are changed in the portal or by command, and what runs is as the engine has it."""

from django.contrib import admin

from apps.environments.models import Environment, Service, StackJob, StageResult
from apps.jobs.admin import ReadOnlyAdmin


@admin.register(Environment)
class EnvironmentAdmin(ReadOnlyAdmin):
    list_display = ("slug", "name", "position", "after", "engine_url", "compose_file", "created_at")
    list_select_related = ("after",)
    ordering = ("position",)


@admin.register(StackJob)
class StackJobAdmin(ReadOnlyAdmin):
    list_display = ("id", "environment", "action", "display_state", "attempt", "worker", "requested_by", "finished_at")
    list_select_related = ("environment",)
    list_filter = ("state", "action", "environment")
    ordering = ("-id",)


@admin.register(StageResult)
class StageResultAdmin(ReadOnlyAdmin):
    list_display = ("id", "job_id", "position", "name", "status", "message", "started_at", "finished_at")
    list_filter = ("status", "name")
    ordering = ("-id",)
    search_fields = ("=job__id",)


@admin.register(Service)
class ServiceAdmin(ReadOnlyAdmin):
    list_display = ("environment", "container", "image", "state", "health", "restarts", "seen_at")
    list_select_related = ("environment",)
    list_filter = ("environment", "state", "health")
