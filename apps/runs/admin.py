"""To look at: machines keep these rows. Runs are started and cancelled in the portal."""

from django.contrib import admin

from apps.jobs.admin import ReadOnlyAdmin
from apps.runs.models import Output, Promotion, Run, RunCheck, StepRun


@admin.register(Run)
class RunAdmin(ReadOnlyAdmin):
    list_display = (
        "id",
        "flow",
        "version",
        "environment",
        "display_state",
        "attempt",
        "worker",
        "requested_by",
        "finished_at",
    )
    list_select_related = ("flow", "version__flow", "environment")
    list_filter = ("state", "environment")
    ordering = ("-id",)
    search_fields = ("flow__name", "=id")


@admin.register(StepRun)
class StepRunAdmin(ReadOnlyAdmin):
    list_display = ("id", "run", "kind", "name", "state", "rows", "seconds")
    ordering = ("-id",)
    search_fields = ("=run__id", "name")


@admin.register(RunCheck)
class RunCheckAdmin(ReadOnlyAdmin):
    list_display = ("id", "run", "step", "rule", "severity", "ok", "failed_rows")
    ordering = ("-id",)
    search_fields = ("=run__id", "step")


@admin.register(Output)
class OutputAdmin(ReadOnlyAdmin):
    list_display = ("id", "run", "name", "path", "rows", "bytes")
    ordering = ("-id",)
    search_fields = ("=run__id", "path")


@admin.register(Promotion)
class PromotionAdmin(ReadOnlyAdmin):
    list_display = ("environment", "flow", "version", "release")
    list_select_related = ("environment", "flow", "version__flow")
    list_filter = ("environment",)
    ordering = ("environment__position", "flow__name")
