"""Thin tasks: an id in, one verb called. The row holds the truth, the message is only a hint."""

from celery import shared_task

from apps.environments import answering, executor


@shared_task
def execute_stack_job(job_id: int) -> None:
    """Bring a stack up or down. Sent twice, or for a job that is over or another worker's, it does nothing; killed, the
    reconciler has it taken up by another worker, which goes on where this one was."""
    executor.execute(job_id)


@shared_task
def read_lines(environment_id: int, service: str, token: str) -> None:
    """Read a service's last lines for somebody who waits. Lost or done twice, it changes nothing."""
    answering.deliver(environment_id, service, token)
