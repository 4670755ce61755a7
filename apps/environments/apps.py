from django.apps import AppConfig


class EnvironmentsConfig(AppConfig):
    name = "apps.environments"
    default_auto_field = "django.db.models.BigAutoField"
    verbose_name = "Environments"

    def ready(self) -> None:
        from apps.environments import policies  # noqa: F401  its actions are known from now on
