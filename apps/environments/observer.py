"""Writes what the engines show into the `Service` rows, so that pages know it without touching Docker.

`look` does it once. `observe` does it for every environment again and again, beside the supervisor loop of the
controller that leads. The engine is asked in a thread of its own for each environment, so that one that hangs holds up
nobody; rows are written in the companion's thread alone. Killed at any line, the rows are as at the last look, which
`seen_at` tells. Two that look at once write the same: a row is replaced as a whole, the later counts.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import docker
import docker.errors
from django.db import transaction
from django.db.models import Q

from apps.common import clock
from apps.environments import standing
from apps.environments.containers import found
from apps.environments.containers.found import EngineAway, Found
from apps.environments.models import Environment, Service

ANSWER_SECONDS = 5.0  # the longest that one answer of an engine is waited for
SHORTEST_SECONDS = 1.0  # between two looks of which the difference is taken
LOOK_SECONDS = 1.0  # between two looks at what is due
LONGEST_GAP_SECONDS = 60.0  # between two looks that follow each other
NEVER = "0001-01-01"  # how an engine writes "not yet"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Usage:
    """What a container had used when it was looked at."""

    cpu_nanoseconds: int
    memory_bytes: int
    at: float  # monotonic seconds


@dataclass(frozen=True, slots=True)
class Seen:
    """A container at this look. `cores` in use since the look before; None at the first."""

    found: Found
    cores: float | None
    memory_bytes: int | None


# The last usage of each container, by environment: CPU in use is the difference of two looks of the same process.
_before: dict[int, Mapping[str, Usage]] = {}


def look(environment: Environment) -> list[Service]:
    """Look once and write it down; the rows as they now are. Raises EngineAway: then the rows stay as they were."""
    return record(environment, containers_of(environment))


# --- the engine ---------------------------------------------------------------------------------------


def containers_of(environment: Environment) -> list[Seen]:
    """The containers of the environment's project, with what they use. Raises EngineAway. Touches no row."""
    try:
        with found.engine(environment.engine_url, environment.engine_certificates, ANSWER_SECONDS) as client:
            there = found.services(client, environment.project_name)
            now = {each.container: _usage(client, each.container) for each in there if each.state == "running"}
    except (docker.errors.DockerException, OSError) as error:
        raise EngineAway(f"The Docker Engine stopped answering: {found.reason(error)}.") from error
    used = {container: usage for container, usage in now.items() if usage is not None}
    before = _before.get(environment.pk, {})
    _before[environment.pk] = {each: _later(before.get(each), usage) for each, usage in used.items()}
    return [_seen(each, used.get(each.container), before.get(each.container)) for each in there]


def _usage(client: docker.DockerClient, container: str) -> Usage | None:
    """One look at the counters: a few milliseconds, while the engine's own difference takes it a second. None where the
    container has just gone."""
    try:
        stats = client.api.stats(container, stream=False, one_shot=True)
    except docker.errors.NotFound:
        return None
    cpu, memory = stats.get("cpu_stats", {}).get("cpu_usage", {}), stats.get("memory_stats", {})
    return Usage(int(cpu.get("total_usage", 0)), memory_in_use(memory), time.monotonic())


def memory_in_use(memory: Mapping[str, Any]) -> int:
    """Without the file cache that can be given back at once, as `docker stats` counts it (cgroups 1 and 2)."""
    counted = memory.get("stats") or {}
    cache = counted.get("total_inactive_file", counted.get("inactive_file", 0))
    return max(0, int(memory.get("usage", 0)) - int(cache))


def _seen(each: Found, now: Usage | None, before: Usage | None) -> Seen:
    if now is None:
        return Seen(each, None, None)
    return Seen(each, cores_between(before, now), now.memory_bytes)


def _later(before: Usage | None, now: Usage) -> Usage:
    """From which usage the next look counts: two that follow at once say nothing, since limits hold over 0.1 s."""
    return before if before is not None and now.at - before.at < SHORTEST_SECONDS else now


def cores_between(before: Usage | None, now: Usage) -> float | None:
    """Cores in use between two looks; None where there is no earlier one, it was just now, or the container was
    started anew in between."""
    if before is None or now.at - before.at < SHORTEST_SECONDS or now.cpu_nanoseconds < before.cpu_nanoseconds:
        return None
    return (now.cpu_nanoseconds - before.cpu_nanoseconds) / 1e9 / (now.at - before.at)


# --- the rows -----------------------------------------------------------------------------------------

WRITTEN = (
    *("name", "container_id", "image", "state", "health", "exit_code", "restarts", "cpu", "cpu_limit"),
    *("memory_bytes", "memory_limit_bytes", "ports", "started_at", "seen_at"),
)


def record(environment: Environment, seen: Sequence[Seen]) -> list[Service]:
    """Make the environment's rows say what was seen; rows of containers that are gone are removed. Five queries."""
    now = clock.now()
    with transaction.atomic():
        cores = dict(environment.services.values_list("container_id", "cpu"))
        rows = [_row(environment, each, cores.get(each.found.container), now) for each in seen]
        Service.objects.bulk_create(
            rows, update_conflicts=True, unique_fields=["environment", "container"], update_fields=WRITTEN
        )
        environment.services.exclude(container__in=[row.container for row in rows]).delete()
        _keep_well_since(environment, rows, now)
        Environment.objects.filter(pk=environment.pk).update(engine_seen_at=now, engine_error="")
    return rows


def _keep_well_since(environment: Environment, rows: Sequence[Service], now: datetime) -> None:
    """Since when every service was seen well, without a gap in looking: a look that is long ago says nothing of the time
    since."""
    with_gap = now - timedelta(seconds=LONGEST_GAP_SECONDS)
    mine = Environment.objects.filter(pk=environment.pk)
    if not rows or not all(is_well(row) for row in rows):
        mine.exclude(well_since=None).update(well_since=None)
    else:
        unseen = Q(well_since=None) | Q(engine_seen_at=None) | Q(engine_seen_at__lt=with_gap) | ~Q(engine_error="")
        mine.filter(unseen).update(well_since=now)


def is_well(row: Service) -> bool:
    """Running and healthy, or a one-off that has done its work."""
    return (row.state == "running" and row.health in ("", "healthy")) or (row.state == "exited" and row.exit_code == 0)


def _row(environment: Environment, seen: Seen, cores: float | None, now: datetime) -> Service:
    """The row of a container. Where this process has looked at it once only, what another saw of its CPU stays."""
    each = seen.found
    is_running = each.state == "running"
    return Service(
        environment=environment,
        name=each.service[:100],
        container=each.name[:100],
        container_id=each.container[:64],
        image=each.image[:300],
        state=each.state,
        health=each.health if is_running else "",
        exit_code=each.exit_code,
        restarts=each.restarts,
        cpu=(cores if seen.cores is None else seen.cores) if is_running else None,
        cpu_limit=each.limits.cpus,
        memory_bytes=seen.memory_bytes,
        memory_limit_bytes=each.limits.memory_bytes,
        ports=ports_of(each),
        started_at=moment_of(each.started_at),
        seen_at=now,
    )


def ports_of(each: Found) -> list[str]:
    """Published ports as people write them; the one for IPv6 is left out where IPv4 has the same."""
    plain = {(port.host_port, port.container) for port in each.published if ":" not in port.host_ip}
    return [
        f"{f'[{port.host_ip}]' if ':' in port.host_ip else port.host_ip}:{port.host_port}->{port.container}"
        for port in each.published
        if ":" not in port.host_ip or (port.host_port, port.container) not in plain
    ]


def moment_of(written: str) -> datetime | None:
    """A time as an engine writes it (nanoseconds, UTC); None for never."""
    return None if not written or written.startswith(NEVER) else datetime.fromisoformat(written)


def _away(environment: Environment, error: str) -> None:
    """The engine did not answer: said once, the rows of its services stay as they were last seen."""
    if environment.engine_error != error:
        Environment.objects.filter(pk=environment.pk).update(engine_error=error)


# --- again and again ------------------------------------------------------------------------------------


def observe(stop: threading.Event) -> None:
    """Look at every environment's engine until `stop` is set."""
    Observer().run(stop)


class Observer:
    """Who looks at what, and when. Raises django.db.Error; then it is begun anew."""

    def __init__(self) -> None:
        self._due: dict[int, float] = {}  # when an environment is looked at next, by the monotonic clock
        self._asked: set[int] = set()  # those whose engine has not answered yet
        self._answers: queue.SimpleQueue[tuple[Environment, list[Seen] | None, str]] = queue.SimpleQueue()
        self._told: dict[int, str] = {}

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self.ask()
            self.take(LOOK_SECONDS)

    def ask(self) -> None:
        """Ask the engine of each environment that is due, in a thread of its own. One that still waits is left alone."""
        now = time.monotonic()
        if self._due and min(self._due.values()) > now:
            return
        for environment in Environment.objects.all():
            if environment.pk in self._asked or self._due.get(environment.pk, 0.0) > now:
                continue
            self._due[environment.pk] = now + standing.look_seconds(environment)
            self._asked.add(environment.pk)
            threading.Thread(target=self._look, args=(environment,), name="look", daemon=True).start()

    def _look(self, environment: Environment) -> None:
        try:
            self._answers.put((environment, containers_of(environment), ""))
        except EngineAway as error:
            self._answers.put((environment, None, error.message))
        except Exception as error:  # an answer that nobody foresaw is an answer: else it would never be asked again
            logger.exception("The engine of %s answered something strange.", environment.slug)
            self._answers.put((environment, None, f"{type(error).__name__}: {error}"))

    def take(self, seconds: float) -> None:
        """Write down the answers that come within `seconds`."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            try:
                environment, seen, error = self._answers.get(timeout=left)
            except queue.Empty:
                return
            self._asked.discard(environment.pk)
            self._tell(environment, error)
            if seen is None:
                _away(environment, error[:300])
            elif Environment.objects.filter(pk=environment.pk).exists():
                record(environment, seen)

    def _tell(self, environment: Environment, error: str) -> None:
        """A line for the log when something has changed; a machine that has no Docker at all is none."""
        before = self._told.get(environment.pk, "" if environment.engine_seen_at else error)
        self._told[environment.pk] = error
        if before != error:
            logger.info("The engine of %s: %s", environment.slug, error or "it answers.")
