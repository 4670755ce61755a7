"""To look at: machines keep these rows. Test runs are started, and cases quarantined, in the portal."""

from django.contrib import admin

from apps.jobs.admin import ReadOnlyAdmin
from apps.testruns.models import CaseResult, LayerResult, Quarantine, TestRun


@admin.register(TestRun)
class TestRunAdmin(ReadOnlyAdmin):
    list_display = ("id", "environment", "layers", "display_state", "attempt", "worker", "requested_by", "finished_at")
    list_select_related = ("environment",)
    list_filter = ("state", "environment")
    ordering = ("-id",)


@admin.register(LayerResult)
class LayerResultAdmin(ReadOnlyAdmin):
    list_display = ("id", "test_run", "layer", "status", "passed", "failed", "skipped", "flaky", "quarantined")
    ordering = ("-id",)
    search_fields = ("=test_run__id",)


@admin.register(CaseResult)
class CaseResultAdmin(ReadOnlyAdmin):
    list_display = ("id", "test_run", "layer", "source", "title", "status", "is_flaky", "seconds")
    list_select_related = ("test_run",)
    ordering = ("-id",)
    search_fields = ("=test_run__id", "title", "source")


@admin.register(Quarantine)
class QuarantineAdmin(ReadOnlyAdmin):
    list_display = ("id", "environment", "layer", "source", "title", "until", "created_by")
    ordering = ("-id",)
