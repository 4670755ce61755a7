"""A Celery application with one empty task: the peer that a recorded run is measured against."""

import os

from celery import Celery

app = Celery("bare", broker=os.environ["BARE_BROKER"], backend=os.environ["BARE_BACKEND"])
app.conf.update(task_default_queue="bare", worker_prefetch_multiplier=1, broker_connection_retry_on_startup=True)


@app.task
def nothing() -> int:
    return 1
