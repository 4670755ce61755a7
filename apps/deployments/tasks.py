"""Thin tasks: an id in, one verb called. The row holds the truth, the message is only a hint."""

from celery import shared_task

from apps.deployments import executor


@shared_task
def execute_build(job_id: int) -> None:
    """Make a release. Sent twice, or for a job that is over or another worker's, it does nothing; killed, another worker
    goes on where this one was."""
    executor.execute_build(job_id)


@shared_task
def execute_deployment(job_id: int) -> None:
    """Deploy a release. Sent twice, or for a job that is over or another worker's, it does nothing; killed, another worker
    asks the engine what is true and goes on."""
    executor.execute_deployment(job_id)
