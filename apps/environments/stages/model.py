"""What a stage is, and how it says how it ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from apps.common.errors import FlowControlError
from apps.environments.models import Environment

if TYPE_CHECKING:
    pass


class Change(Protocol):
    """A job that is made of stages: a StackJob, or what a higher room has of its own."""

    pk: Any
    action: Any  # "up", "down", or what a higher room calls what it does
    attempt: int
    requested_by: str
    environment: Environment
    settings: Any  # variables that differ from the environment's in this change alone
    stages: Any  # the manager of its rows
    objects: Any


class StageFailed(FlowControlError):  # noqa: N818  it is what the person reads
    """The stage failed."""

    code = "stage_failed"

    def __init__(self, message: str = "", *, hint: str = "", tail: Sequence[str] = ()) -> None:
        super().__init__(message, hint=hint)
        self.tail = tuple(tail)  # the last lines of what failed


class Stopped(Exception):  # noqa: N818
    """The job was cancelled, or is another worker's now: the stage leaves off where it is."""


@dataclass(frozen=True)
class Outcome:
    """How a stage ended well. `skipped`: it was switched off, and `message` says by what."""

    message: str
    skipped: bool = False
    refers_to: str = ""  # "testrun:12": where more is to be seen


@dataclass(frozen=True)
class Stage:
    """`perform` does it and says in a sentence what it found or did. Raises StageFailed, Stopped.

    It can be done again: killed halfway, the next worker performs the whole stage once more.
    """

    name: str
    title: str
    perform: Callable[[Any], Outcome]  # of the stand that the kind of change has
    again: bool = False  # by each attempt, also where it had ended: the files that it follows may be others by now
