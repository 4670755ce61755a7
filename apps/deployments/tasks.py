"""Thin tasks: an id in, one verb called. The row holds the truth, the message is only a hint."""

from celery import shared_task

from apps.deployments import executor
from apps.deployments.hooks import fetching, notices


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


@shared_task
def execute_fetch(job_id: int) -> None:
    """Fetch what a hook told of, and go on to its deployment. Sent twice, or for a job that is over or another worker's, it
    does nothing; killed, another worker goes on where this one was."""
    fetching.execute(job_id)


@shared_task
def execute_notice(job_id: int) -> None:
    """Send a notice once. Sent twice, or for one that is over or another worker's, it does nothing; killed, it is sent again
    by another worker, under the same id."""
    notices.execute(job_id)
