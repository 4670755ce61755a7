"""Celery beat that says it is alive."""

from typing import Any

from django.conf import settings
from django_celery_beat.schedulers import DatabaseScheduler

from apps.common.alive import leave_sign


class LivelyScheduler(DatabaseScheduler):
    """Leaves a sign of life at each tick, at least every five seconds."""

    def tick(self, *arguments: Any, **named: Any) -> Any:
        seconds = super().tick(*arguments, **named)
        leave_sign(settings.ALIVE, "beat")
        return seconds
