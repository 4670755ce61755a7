from threading import Event

from django.apps import AppConfig

DOCKER_QUEUE = "docker"  # who takes from it has the socket of a Docker Engine


def _observe(stop: Event) -> None:
    """The observer's own room is entered by the controller alone: it brings a client of Docker, which takes a while."""
    from apps.environments import observer

    observer.observe(stop)


class EnvironmentsConfig(AppConfig):
    name = "apps.environments"
    default_auto_field = "django.db.models.BigAutoField"
    verbose_name = "Environments"

    def ready(self) -> None:
        from apps.accounts import policy
        from apps.common import masking
        from apps.environments import builtin, claims, live, policies, queries, record  # noqa: F401  its actions are known
        from apps.environments.models import Environment, StackJob
        from apps.environments.snapshots import journal
        from apps.jobs import companions, registry

        masking.install(live.current, live.latest)
        policy.environments_from(lambda: Environment.objects.order_by("position").values_list("slug", flat=True))
        claims.register("stack", queries.change_under_way)
        claims.register("restore", journal.under_way)
        companions.register("observer of services", _observe)
        registry.register(
            registry.JobKind(
                name="stack",
                model=StackJob,
                task="apps.environments.tasks.execute_stack_job",
                queue=lambda job: DOCKER_QUEUE,
                on_final=record.close,
                view_action="environments.view",
                environment=lambda job: job.environment.slug,
            )
        )
