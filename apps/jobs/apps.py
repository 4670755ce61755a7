from django.apps import AppConfig


class JobsConfig(AppConfig):
    name = "apps.jobs"
    default_auto_field = "django.db.models.BigAutoField"
    verbose_name = "Jobs"

    def ready(self) -> None:
        from apps.jobs import live, metrics, policies, workers  # noqa: F401 - models are loaded only now

        live.install()
        metrics.expose()
        workers.connect_signals()
