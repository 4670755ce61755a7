from django.contrib import admin

from apps.environments.models import Environment
from apps.jobs.admin import ReadOnlyAdmin


@admin.register(Environment)
class EnvironmentAdmin(ReadOnlyAdmin):
    list_display = ("slug", "name", "position", "queue", "created_at")
    ordering = ("position",)
