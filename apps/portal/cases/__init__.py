"""The cases of layered tests that touch several rooms. Importing them registers them."""

from apps.portal.cases import application, operation, staging, visual

__all__ = ["application", "operation", "staging", "visual"]
