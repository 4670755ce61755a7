"""The kinds of long work there are. Rooms above register theirs in `AppConfig.ready`; this room calls back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from apps.jobs.models import Job
from apps.jobs.states import FINAL, State


@dataclass(frozen=True)
class Verdict:
    """What the outside world says about a job whose worker is gone: it did finish, or it is to be done again."""

    state: str | None  # a final state, or None: requeue
    message: str = ""
    fields: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def finish(cls, state: str, message: str = "", **fields: Any) -> Verdict:
        """It ended as `state` (final). `fields` are set on the row in the same update."""
        assert state in FINAL, f"{state} is not a final state"
        return cls(State(state), message, fields)

    @classmethod
    def requeue(cls, message: str = "") -> Verdict:
        """Nothing of it took effect, or what did is skipped when it resumes: give it to another worker."""
        return cls(None, message)


def requeue_always(job: Job) -> Verdict:
    """For kinds whose steps are all idempotent: resuming is always right."""
    return Verdict.requeue()


def no_environment(job: Job) -> str:
    return ""


def nothing(job: Job) -> None:
    return None


@dataclass(frozen=True)
class JobKind:
    """One kind of long work.

    name:        stands in channels, events, audit ("run").
    model:       its rows, a subclass of Job.
    task:        the Celery task that is sent with the row's id as only argument.
    queue:       the queue of a job.
    reconcile:   asked about a job whose lease ran out; no transaction is open, and it may be asked twice.
    on_final:    called in the transaction that writes the final state, whoever writes it; rows only, no I/O.
    view_action: the action of `accounts.policy` that watching such a job's events takes.
    environment: the slug in which that right is needed ("" for every one).
    """

    name: str
    model: type[Job]
    task: str
    queue: Callable[[Any], str]
    reconcile: Callable[[Any], Verdict] = requeue_always
    on_final: Callable[[Any], None] = nothing
    view_action: str = ""
    environment: Callable[[Any], str] = no_environment

    def channel(self, pk: int) -> str:
        """The live channel of one job."""
        return f"job-{self.name}-{pk}"


class UnknownKindError(LookupError):
    """No room has registered this kind of job."""


_kinds: dict[str, JobKind] = {}


def register(kind: JobKind) -> None:
    """Make a kind known. Registering the same name again replaces it, so that a reload does no harm."""
    assert "-" not in kind.name, "a kind's name has no dash: it stands in a channel's name"
    names = {index.name for index in kind.model._meta.indexes}
    assert f"{kind.model._meta.model_name}_leases" in names, f"{kind.model.__name__}.Meta must inherit Job.Meta"
    _kinds[kind.name] = kind


def kinds() -> Iterable[JobKind]:
    return tuple(_kinds.values())


def kind(name: str) -> JobKind:
    """The kind of that name. Raises UnknownKindError."""
    try:
        return _kinds[name]
    except KeyError:
        raise UnknownKindError(name) from None


def kind_of(job: Job | type[Job]) -> JobKind:
    """The kind of a row or of its class. Raises UnknownKindError."""
    model = job if isinstance(job, type) else type(job)
    for each in _kinds.values():
        if each.model is model:
            return each
    raise UnknownKindError(model.__name__)
