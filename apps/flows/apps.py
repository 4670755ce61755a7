from django.apps import AppConfig


class FlowsConfig(AppConfig):
    name = "apps.flows"
    default_auto_field = "django.db.models.BigAutoField"
    verbose_name = "Flows"

    def ready(self) -> None:
        from apps.flows import policies  # noqa: F401  its actions are known from now on
        from apps.flows.models import FlowTestResult
        from apps.jobs import registry

        registry.register(
            registry.JobKind(
                name="flowtest",
                model=FlowTestResult,
                task="apps.flows.tasks.test_version",
                queue=lambda result: "flows.dev",
                view_action="flows.view",
                environment=lambda result: "dev",
            )
        )
