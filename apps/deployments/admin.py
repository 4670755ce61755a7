"""To look at: releases are made and deployed in the portal or by command."""

from django.contrib import admin

from apps.deployments.models import (
    Approval,
    Build,
    BuildStage,
    Delivery,
    Deployment,
    DeploymentStage,
    Fetch,
    FetchStage,
    HookSource,
    HookTarget,
    Notice,
    Release,
)
from apps.jobs.admin import ReadOnlyAdmin


@admin.register(Release)
class ReleaseAdmin(ReadOnlyAdmin):
    list_display = ("name", "digest", "origin", "revision", "note", "created_by", "created_at")
    list_select_related = ("origin",)
    list_filter = ("origin",)
    search_fields = ("=name", "digest")
    ordering = ("-id",)


@admin.register(Build)
class BuildAdmin(ReadOnlyAdmin):
    list_display = ("id", "environment", "display_state", "release", "attempt", "worker", "requested_by", "finished_at")
    list_select_related = ("environment", "release")
    list_filter = ("state", "environment")
    ordering = ("-id",)


@admin.register(Deployment)
class DeploymentAdmin(ReadOnlyAdmin):
    list_display = (
        "id",
        "environment",
        "release",
        "kind",
        "status",
        "attempt",
        "worker",
        "requested_by",
        "finished_at",
    )
    list_select_related = ("environment", "release")
    list_filter = ("state", "kind", "outcome", "environment")
    ordering = ("-id",)


@admin.register(BuildStage, DeploymentStage, FetchStage)
class StageAdmin(ReadOnlyAdmin):
    list_display = ("id", "job_id", "position", "name", "status", "message", "started_at", "finished_at")
    list_filter = ("status", "name")
    ordering = ("-id",)
    search_fields = ("=job__id",)


@admin.register(Approval)
class ApprovalAdmin(ReadOnlyAdmin):
    list_display = ("deployment", "by", "at", "note")
    list_select_related = ("deployment__release", "deployment__environment")
    ordering = ("-id",)


@admin.register(HookSource)
class HookSourceAdmin(ReadOnlyAdmin):
    list_display = ("name", "environment", "provider", "repository", "branch", "enabled", "created_by", "created_at")
    list_select_related = ("environment",)
    ordering = ("name",)


@admin.register(HookTarget)
class HookTargetAdmin(ReadOnlyAdmin):
    list_display = ("name", "environment", "url", "enabled", "disabled_because", "created_by", "created_at")
    list_select_related = ("environment",)
    ordering = ("name",)


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin):
    list_display = ("id", "source", "received_at", "address", "event", "verdict", "status", "count", "fetch_id", "by")
    list_select_related = ("source",)
    list_filter = ("verdict", "source")
    ordering = ("-id",)


@admin.register(Fetch)
class FetchAdmin(ReadOnlyAdmin):
    list_display = ("id", "source", "display_state", "commit", "build_id", "deployment_id", "attempt", "finished_at")
    list_select_related = ("source",)
    list_filter = ("state", "source")
    ordering = ("-id",)


@admin.register(Notice)
class NoticeAdmin(ReadOnlyAdmin):
    list_display = ("id", "target", "event", "display_state", "message", "attempt", "finished_at")
    list_select_related = ("target",)
    list_filter = ("state", "target")
    ordering = ("-id",)
