from django.apps import AppConfig


class DeploymentsConfig(AppConfig):
    name = "apps.deployments"
    default_auto_field = "django.db.models.BigAutoField"
    verbose_name = "Deployments"

    def ready(self) -> None:
        from apps.deployments import policies, record  # noqa: F401  its actions are known from now on
        from apps.deployments.models import Build, Deployment
        from apps.environments.apps import DOCKER_QUEUE
        from apps.jobs import registry

        for name, model, task in (
            ("build", Build, "apps.deployments.tasks.execute_build"),
            ("deployment", Deployment, "apps.deployments.tasks.execute_deployment"),
        ):
            registry.register(
                registry.JobKind(
                    name=name,
                    model=model,
                    task=task,
                    queue=lambda job: DOCKER_QUEUE,
                    on_final=record.close,
                    view_action="deployments.view",
                    environment=lambda job: job.environment.slug,
                )
            )
