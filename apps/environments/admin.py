"""To look at: stacks are changed in the portal or by command, and what runs is as the engine has it."""

from django.contrib import admin

from apps.environments.models import (
    Environment,
    Secret,
    SecretGeneration,
    Service,
    Snapshot,
    StackJob,
    StageResult,
    Variable,
)
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


@admin.register(Variable)
class VariableAdmin(ReadOnlyAdmin):
    list_display = ("name", "environment", "reference", "changed_at", "changed_by")
    list_filter = ("environment",)
    list_select_related = ("environment",)
    ordering = ("environment__position", "name")


@admin.register(Secret)
class SecretAdmin(ReadOnlyAdmin):
    """That it is set, and never what it is: not even the ciphertext."""

    list_display = ("name", "environment", "length", "fingerprint", "version", "key_id", "changed_at", "changed_by")
    fields = ("environment", "name", "length", "fingerprint", "version", "key_id", "changed_at", "changed_by")
    list_filter = ("environment", "key_id")
    list_select_related = ("environment",)
    ordering = ("environment__position", "name")


@admin.register(SecretGeneration)
class SecretGenerationAdmin(ReadOnlyAdmin):
    list_display = ("id", "number")
    ordering = ("id",)


@admin.register(Snapshot)
class SnapshotAdmin(ReadOnlyAdmin):
    list_display = ("name", "environment", "reason", "bytes", "members", "created_at", "created_by", "damage")
    list_filter = ("environment",)
    list_select_related = ("environment",)
