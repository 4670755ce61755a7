"""What the bridge speaks of, as plain values."""

from dataclasses import dataclass, field
from typing import Any, Literal

from apps.bridge.states import State

CaseStatus = Literal["passed", "failed", "skipped"]
LayerStatus = Literal["running", "passed", "failed"]


@dataclass(frozen=True, slots=True)
class Session:
    """One passage from the shell framework to the application framework."""

    id: str  # 32 hexadecimal digits
    environment: str
    state: State
    created_at: str  # ISO 8601, UTC, as every time here
    token: str = ""  # names the attempt that opened it, so that the same attempt may ask again


@dataclass(frozen=True, slots=True)
class Transition:
    """One change of state; `digest` seals it and the one before."""

    seq: int  # 1, 2, 3 … in each session
    source: State | None
    target: State
    actor: str  # "<side>:<name>"
    at: str
    reason: str
    digest: str  # "" where a plain sqlite3 shell has written it

    def to_json(self) -> dict[str, Any]:
        return {
            "seq": self.seq,
            "from": self.source,
            "to": self.target,
            "actor": self.actor,
            "at": self.at,
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True)
class CaseRecord:
    """The result of one case. `layer` "" is the one that is running; `key` "" becomes source and title."""

    title: str
    status: CaseStatus
    layer: str = ""
    source: str = ""  # the file or function that gave it
    seconds: float = 0.0
    attempts: int = 1
    flaky: bool = False  # it passed after it had failed
    message: str = ""
    at: str = ""
    key: str = ""  # unique in its layer: nothing is counted twice


@dataclass(frozen=True, slots=True)
class LayerRecord:
    name: str
    status: LayerStatus
    started_at: str
    ended_at: str = ""
    message: str = ""  # why it failed, where no case says so


@dataclass(frozen=True, slots=True)
class Handoff:
    """The document that passes a session from one side to the other. Used once."""

    session: str
    environment: str
    layers_done: tuple[str, ...]
    results_digest: str
    state_digest: str
    issued_at: str
    expires_at: str
    nonce: str
    digest: str


@dataclass(frozen=True, slots=True)
class Issued:
    """A handoff as its row has it: the text of the document, and whether it was used."""

    nonce: str
    document: str
    expires_at: str
    accepted_at: str = ""
    token: str = ""


@dataclass(frozen=True, slots=True)
class Status:
    """A session with all that was logged of it."""

    session: Session
    layers: tuple[LayerRecord, ...]
    transitions: tuple[Transition, ...]

    @property
    def layers_done(self) -> list[str]:
        return [each.name for each in self.layers if each.status != "running"]

    def to_json(self) -> dict[str, Any]:
        return {
            "version": 1,
            "environment": self.session.environment,
            "session": self.session.id,
            "state": self.session.state,
            "layers_done": self.layers_done,
            "transitions": [each.to_json() for each in self.transitions],
        }


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that `verify` found and `repair` puts right."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Repaired:
    """What a repair found and did."""

    status: Status | None  # None where there is no session at all
    problems: tuple[Problem, ...] = field(default=())
