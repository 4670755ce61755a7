from django.apps import AppConfig


class RunsConfig(AppConfig):
    name = "apps.runs"
    default_auto_field = "django.db.models.BigAutoField"
    verbose_name = "Runs"

    def ready(self) -> None:
        from apps.jobs import registry
        from apps.runs import metrics, policies, reconcile, record, warm  # noqa: F401 - models are loaded only now
        from apps.runs.models import Run

        registry.register(
            registry.JobKind(
                name="run",
                model=Run,
                task="apps.runs.tasks.execute_run",
                queue=lambda run: run.environment.queue,
                reconcile=reconcile.verdict,
                on_final=record.close,
                view_action="runs.view",
                environment=lambda run: run.environment.slug,
            )
        )
        metrics.expose()
        warm.connect_signals()
