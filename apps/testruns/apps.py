from django.apps import AppConfig


class TestrunsConfig(AppConfig):
    name = "apps.testruns"
    default_auto_field = "django.db.models.BigAutoField"
    verbose_name = "Test runs"

    def ready(self) -> None:
        from apps.environments.stages import registry as stages
        from apps.jobs import registry
        from apps.testruns import builtin, policies, record, stage  # noqa: F401 - models are loaded only now
        from apps.testruns.models import TestRun

        registry.register(
            registry.JobKind(
                name="testrun",
                model=TestRun,
                task="apps.testruns.tasks.execute_testrun",
                queue=lambda run: "control",
                on_final=record.close,
                view_action="testruns.view",
                environment=lambda run: run.environment.slug,
            )
        )
        stages.register(stage.TESTS)
