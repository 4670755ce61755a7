"""The frame of every page as a context processor, so that rooms below render pages without knowing the portal."""

from typing import Any

from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone


def frame(request: HttpRequest) -> dict[str, Any]:
    """Unfold's sidebar, palette and user menu. The admin brings its own, and a fragment has none."""
    if getattr(request, "user", None) is None or _brings_its_own(request) or _is_fragment(request):
        return {}
    return {**admin.site.each_context(request), "time_zone": timezone.get_current_timezone_name()}


def environment_label(request: HttpRequest) -> list[str] | None:
    """The label in the header: which environment this portal itself is, where that is not the developer's own."""
    colour = {"production": "danger", "staging": "warning"}.get(settings.ENVIRONMENT, "info")
    return None if settings.ENVIRONMENT == "dev" else [settings.ENVIRONMENT, colour]


def _brings_its_own(request: HttpRequest) -> bool:
    return bool(request.resolver_match and request.resolver_match.app_name == "admin")


def _is_fragment(request: HttpRequest) -> bool:
    htmx = getattr(request, "htmx", None)
    return htmx is not None and bool(htmx) and not htmx.boosted
