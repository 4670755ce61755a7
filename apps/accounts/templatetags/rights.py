"""Buttons for those who may: `{% load rights %}{% can "runs.start" environment as may_start %}{% if may_start %}…`."""

from typing import Any

from django import template

from apps.accounts import policy

register = template.Library()


@register.simple_tag(takes_context=True)
def can(context: dict[str, Any], action: str, environment: Any = "") -> bool:
    """Whether the reader may do `action`: in `environment` (a slug, or what has one), else in any."""
    slug = getattr(environment, "slug", environment) or ""
    return policy.allowed(context["request"].user, action, str(slug))
