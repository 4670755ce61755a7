"""To look at: releases are made and deployed in the portal or by command."""

from django.contrib import admin

from apps.deployments.models import Approval, Build, BuildStage, Deployment, DeploymentStage, Release
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


@admin.register(BuildStage, DeploymentStage)
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
