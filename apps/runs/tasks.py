"""Thin tasks: an id in, one verb called. The row holds the truth, the message is only a hint."""

from celery import shared_task

from apps.runs import executor


@shared_task
def execute_run(run_id: int) -> None:
    """Do a run. Sent twice, or for one that is done or another worker's, it does nothing; killed, the reconciler finds
    it and has it finished by another worker."""
    executor.execute(run_id)
