from django.apps import AppConfig


class EnvironmentsConfig(AppConfig):
    name = "apps.environments"
    default_auto_field = "django.db.models.BigAutoField"
    verbose_name = "Environments"

    def ready(self) -> None:
        from apps.accounts import policy
        from apps.environments import policies  # noqa: F401  its actions are known from now on
        from apps.environments.models import Environment

        policy.environments_from(lambda: Environment.objects.order_by("position").values_list("slug", flat=True))
