"""Thin tasks: an id in, one verb called. The row holds the truth, the message is only a hint."""

from celery import shared_task

from apps.testruns import executor


@shared_task
def execute_testrun(run_id: int) -> None:
    """Do a test run. Sent twice, or for one that is over or another worker's, it does nothing; killed, the reconciler
    has it taken up by another worker, which skips what had ended."""
    executor.execute(run_id)
