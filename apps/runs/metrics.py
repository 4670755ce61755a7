"""Figures of runs for Prometheus, read from the rows when they are asked for: any web process gives the same answer."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterable

from django.db import Error
from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from apps.runs import queries

logger = logging.getLogger(__name__)


class RunCollector(Collector):
    """A scrape costs two queries, over live runs and over those that ended in the last 24 hours."""

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering must not read the database."""
        return []

    def collect(self) -> Iterable[Metric]:
        """The gauges; none when the database is away (`flowcontrol_jobs_readable` says that)."""
        live = GaugeMetricFamily(
            "flowcontrol_runs", "live runs; lost ones are running too", labels=["environment", "state"]
        )
        ended = GaugeMetricFamily(
            "flowcontrol_runs_ended_24h", "runs that ended in the last 24 hours", labels=["environment", "state"]
        )
        try:
            for environment, counts in queries.live_counts().items():
                for state, number in counts.items():
                    live.add_metric([environment, state], number)
            for environment, counts in queries.ended_counts().items():
                for state, number in counts.items():
                    ended.add_metric([environment, state], number)
        except Error as error:
            logger.warning("The figures of runs could not be read: %s", error)
            return []
        return [live, ended]


@functools.cache
def expose() -> None:
    """Give the figures to the process's registry. Calling it again changes nothing."""
    REGISTRY.register(RunCollector())
