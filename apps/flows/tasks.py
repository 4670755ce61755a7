"""Thin tasks: an id in, one verb called. The row holds the truth, the message is only a hint."""

from celery import shared_task

from apps.flows import testing


@shared_task
def test_version(result_id: int) -> None:
    """Run the tests of a FlowTestResult. Sent twice, or for one that is done, it does nothing."""
    testing.execute(result_id)
