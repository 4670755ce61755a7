"""How an environment's stack stands, in words for pages: from rows alone, worked out when they are read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from apps.common import clock
from apps.environments.models import Environment, Service, StackJob, StageResult
from apps.jobs import workers
from apps.jobs.models import Worker
from apps.jobs.states import LOST, State

EVERY_SECONDS = 5.0  # between two looks of the observer at an engine
REMOTE_SECONDS = 15.0  # over ssh:// each look begins with a handshake
MISSED_LOOKS = 4  # what is older than so many looks is no longer how it is, but how it was
NOBODY = "Nobody with Docker is alive: start the portal with `make run` on a machine that has Docker."


# --- one container ------------------------------------------------------------------------------------


def word(service: Service) -> str:
    """The state of a container in one word: its health where somebody asks after it, else what the engine says."""
    if service.state == "running":
        return service.health or "running"
    return "ended" if service.state == "exited" and service.exit_code == 0 else service.state


def is_well(service: Service) -> bool:
    return word(service) in ("healthy", "running")


@dataclass(frozen=True, slots=True)
class Shown:
    """A container as a row of the table. `cpu` and `memory` are fractions of their limits, None without one."""

    row: Service
    word: str
    note: str
    cpu: float | None
    memory: float | None


def shown(service: Service) -> Shown:
    note = f"exit code {service.exit_code}" if service.exit_code else ""
    cpu = _fraction(service.cpu, service.cpu_limit)
    return Shown(service, word(service), note, cpu, _fraction(service.memory_bytes, service.memory_limit_bytes))


def _fraction(used: float | None, limit: float | None) -> float | None:
    return None if used is None or not limit else min(1.0, used / limit)


# --- a stack ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Standing:
    """`word`: healthy, starting, unhealthy, stopped, unseen (no container), unknown (too old to say). `note` says why it
    is unknown, and as of when the rest is."""

    word: str
    text: str
    well: int = 0
    total: int = 0
    note: str = ""


def of(environment: Environment, services: Sequence[Service]) -> Standing:
    """How the stack stands by its containers as they were last seen."""
    found = _of(services)
    if (note := stale(environment)) and services:
        return Standing("unknown", f"{found.text} when last seen", found.well, found.total, note)
    return Standing(found.word, found.text, found.well, found.total, note)


def _of(services: Sequence[Service]) -> Standing:
    if not services:
        return Standing("unseen", "no stack seen")
    if all(each.state in ("exited", "created", "dead") for each in services):
        return Standing("stopped", f"all {_plural(len(services), 'container')} stopped")
    by_name: dict[str, list[Service]] = {}
    for each in services:
        if word(each) != "ended":  # its work is done
            by_name.setdefault(each.name, []).append(each)
    well = sum(all(is_well(each) for each in group) for group in by_name.values())
    words = {word(each) for group in by_name.values() for each in group if not is_well(each)}
    state = "healthy" if not words else "starting" if words <= {"starting", "created"} else "unhealthy"
    return Standing(state, f"{well} of {_plural(len(by_name), 'service')} healthy", well, len(by_name))


def stale(environment: Environment) -> str:
    """What to say where the rows are not of now; "" where they are."""
    error = environment.engine_error
    if environment.engine_seen_at is None:
        return error
    if clock.now() - environment.engine_seen_at < timedelta(seconds=MISSED_LOOKS * look_seconds(environment)):
        return ""
    at = f"{timezone.localtime(environment.engine_seen_at):%H:%M on %d %b %Z}"
    why = f" {error}" if error else " Nobody with Docker has looked since."
    return f"As of {at}; the engine has not answered since.{why}"


def look_seconds(environment: Environment) -> float:
    """How long the observer waits between two looks."""
    return REMOTE_SECONDS if environment.engine_url.startswith("ssh://") else EVERY_SECONDS


def grouped(services: Iterable[Service]) -> dict[int, list[Service]]:
    """Services by the key of their environment."""
    found: dict[int, list[Service]] = {}
    for each in services:
        found.setdefault(each.environment_id, []).append(each)
    return found


# --- why a button is off ------------------------------------------------------------------------------


def refusal(environment: Environment, action: str, having_docker: Sequence[Worker]) -> str:
    """Why this portal cannot bring the stack up or down; "" where it can."""
    if reason := own_stack(environment):
        return reason
    if action == StackJob.Action.UP and _shares_our_data(environment):
        return "The development stack and this portal would share one data folder. Stop this one, then run `make dev`."
    return "" if having_docker else NOBODY


def own_stack(environment: Environment) -> str:
    """Why the stack that this portal itself runs in is not changed from inside; "" for every other. The compose files say
    which that is: FLOWCONTROL_STACK is the name of their project."""
    if not settings.STACK or environment.project_name != settings.STACK:
        return ""
    slug = environment.slug
    command = f"make {slug}" if slug in ("dev", "staging") else f"manage.py environment up {slug}"
    stop = f"manage.py environment down {slug}"
    return f"This portal runs in that stack itself. On its machine, `{command}` renews it and `{stop}` stops it."


def _shares_our_data(environment: Environment) -> bool:
    """`make run` and the development stack use the folder of the project both; a lock lets only one of them start."""
    usual = Path(settings.BASE_DIR) / "data"
    return environment.runs_ourselves and environment.slug == "dev" and not settings.STACK and usual == settings.DATA


# --- a stack job --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Trouble:
    kind: str
    text: str
    hint: str = ""


def trouble(job: StackJob, stages: Sequence[StageResult]) -> Trouble | None:
    """The first thing to say about a stack job, if anything is wrong with it."""
    if job.display_state == LOST:
        since = timezone.localtime(job.lease_expires_at)
        text = f"The worker of this job has not been heard of; its lease ran out at {since:%H:%M:%S %Z}."
        return Trouble("warn", text, "Another worker takes it up by itself; what runs as its files say is left alone.")
    if job.state == State.FAILED:
        failed = next((each for each in stages if each.status == StageResult.Status.FAILED), None)
        hint = failed.hint if failed else ""
        return Trouble("bad", job.message or "It failed and left no reason.", hint or "What ran before still runs.")
    if job.state == State.CANCELLED:
        return Trouble("warn", job.message or "It was cancelled.")
    if job.state == State.QUEUED and (waits := workers.no_worker_for(job)):
        return Trouble("warn", waits, NOBODY)
    if job.cancel_requested_at:
        return Trouble("warn", f"{job.cancel_requested_by} asked to cancel it; it stops within seconds.")
    if job.state == State.QUEUED and job.message:
        return Trouble("warn", job.message)
    return None


def _plural(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
