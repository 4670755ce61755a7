"""The built-in cases of staging: from the containers up. They run in the stack's controller, which has the Docker socket;
on a host they look at the stack of the environment's name."""

from apps.portal.cases.staging import basic, integration, performance, production, system

__all__ = ["basic", "integration", "performance", "production", "system"]
