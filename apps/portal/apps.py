from django.apps import AppConfig


class PortalConfig(AppConfig):
    name = "apps.portal"
    verbose_name = "Portal"

    def ready(self) -> None:
        from apps.portal import cases, policies  # noqa: F401  names the actions of this room, and its cases of tests
