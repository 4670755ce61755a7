"""Figures for Prometheus, read from the rows when they are asked for: any web process gives the same answer."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterable

from django.db import Error
from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from apps.jobs import queries, workers

logger = logging.getLogger(__name__)


class JobCollector(Collector):
    """A scrape costs a few queries over live jobs, whatever the history holds."""

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering must not read the database."""
        return []

    def collect(self) -> Iterable[Metric]:
        """The gauges; only `flowcontrol_jobs_readable` = 0 when the database is away."""
        readable = GaugeMetricFamily("flowcontrol_jobs_readable", "1 when the figures of jobs could be read")
        try:
            gauges = self._gauges()
        except Error as error:
            logger.warning("The figures of jobs could not be read: %s", error)
            gauges = []
        readable.add_metric([], float(bool(gauges)))
        return [readable, *gauges]

    def _gauges(self) -> list[Metric]:
        jobs = GaugeMetricFamily("flowcontrol_jobs", "live jobs; lost ones are running too", labels=["kind", "state"])
        oldest = GaugeMetricFamily(
            "flowcontrol_jobs_oldest_queued_seconds", "how long the oldest due job has waited", labels=["kind"]
        )
        for kind, load in queries.load().items():
            for state in ("queued", "running", "lost"):
                jobs.add_metric([kind, state], getattr(load, state))
            oldest.add_metric([kind], load.oldest_queued_seconds)
        alive = GaugeMetricFamily("flowcontrol_workers_alive", "workers heard of lately", value=len(workers.alive()))
        tick = GaugeMetricFamily(
            "flowcontrol_supervisor_tick_seconds", "age of the supervisor's last complete pass; -1 for never"
        )
        age = queries.tick_age()
        tick.add_metric([], -1.0 if age is None else age)
        return [jobs, oldest, alive, tick]


@functools.cache
def expose() -> None:
    """Give the figures to the process's registry. Calling it again changes nothing."""
    REGISTRY.register(JobCollector())
