from django.apps import AppConfig
from django.conf import settings


class DeploymentsConfig(AppConfig):
    name = "apps.deployments"
    default_auto_field = "django.db.models.BigAutoField"
    verbose_name = "Deployments"

    def ready(self) -> None:
        from apps.deployments import describing, plans, policies, queries, record, saving  # noqa: F401  its actions are known
        from apps.deployments.hooks import notices
        from apps.deployments.models import Build, Deployment, Fetch, Notice
        from apps.deployments.stages import forward
        from apps.environments import claims
        from apps.environments.apps import DOCKER_QUEUE
        from apps.environments.snapshots import pruning
        from apps.environments.stages import stack
        from apps.jobs import registry

        claims.register("deployment", queries.under_way)
        stack.describe_by("release", describing.in_force)
        forward.add_check(plans.check)
        record.when_ended("notices", notices.of_deployment)
        forward.save_by(saving.save)
        pruning.hold_by("deployments", queries.snapshots)
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
        registry.register(
            registry.JobKind(
                name="fetch",
                model=Fetch,
                task="apps.deployments.tasks.execute_fetch",
                queue=lambda job: DOCKER_QUEUE,
                on_final=notices.close_fetch,
                view_action="hooks.view",
                environment=lambda job: job.environment.slug,
            )
        )
        registry.register(
            registry.JobKind(
                name="notice",
                model=Notice,
                task="apps.deployments.tasks.execute_notice",
                queue=lambda job: settings.CELERY_TASK_DEFAULT_QUEUE,
                view_action="hooks.view",
                environment=lambda job: job.target.environment.slug,
            )
        )
