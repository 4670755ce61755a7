"""To look at: versions never change, and tests are kept by machines. Flows are written in the portal."""

from django.contrib import admin

from apps.flows.models import Flow, FlowTestResult, FlowVersion
from apps.jobs.admin import ReadOnlyAdmin


@admin.register(Flow)
class FlowAdmin(ReadOnlyAdmin):
    list_display = ("name", "description", "current", "updated_at", "archived_at")
    list_select_related = ("current__flow",)
    ordering = ("name",)
    search_fields = ("name", "description")


@admin.register(FlowVersion)
class FlowVersionAdmin(ReadOnlyAdmin):
    list_display = ("id", "flow", "number", "sha256", "note", "created_by", "created_at")
    list_select_related = ("flow",)
    ordering = ("-id",)
    search_fields = ("flow__name", "=sha256")


@admin.register(FlowTestResult)
class FlowTestResultAdmin(ReadOnlyAdmin):
    list_display = ("id", "version", "display_state", "passed", "failed", "seconds", "finished_at", "message")
    list_select_related = ("version__flow",)
    ordering = ("-id",)
    search_fields = ("version__flow__name",)
