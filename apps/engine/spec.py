"""What a run is given and what it gives back. Plain data: it crosses processes as JSON."""

from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Self

from apps.engine.limits import GIB, Limits

Status = Literal["succeeded", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class RunSpec:
    """One run of one text.

    `run_key` names the run in its workspace, the same for each attempt; `attempt` counts from 1. `params` are as
    a person wrote them. `timeout_seconds` None: the flow's own setting, or none. `threads` None: one a processor. `previews`: keep the
    first rows of each step that is written to disk.
    """

    text: str
    path: str  # for messages
    workspace: Path
    params: dict[str, str]
    logical_time: datetime  # aware; what `now()` and `today()` say
    run_key: str
    attempt: int = 1
    memory_bytes: int = 1 * GIB
    temp_bytes: int = 4 * GIB
    timeout_seconds: float | None = None
    threads: int | None = None
    previews: bool = True

    @property
    def limits(self) -> Limits:
        if self.threads:
            return Limits(self.memory_bytes, self.temp_bytes, self.threads)
        return Limits(self.memory_bytes, self.temp_bytes)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "workspace": str(self.workspace), "logical_time": self.logical_time.isoformat()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        return cls(
            **{
                **data,
                "workspace": Path(data["workspace"]),
                "logical_time": datetime.fromisoformat(data["logical_time"]),
            }
        )


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """How a run ended. The lists hold plain dicts, in the documented form.

    `error`: {code, message, hint, line, column} or None. `steps`: [{name, kind source|step|sink, status, rows,
    seconds}]; rows None where they were not counted (the step was stopped early, or never ran). `outputs`:
    [{name, path, rows, bytes}]. `checks`: [{step, check, severity, ok, failed_rows}].
    """

    status: Status
    seconds: float
    error: dict[str, Any] | None = None
    steps: list[dict[str, Any]] = field(default_factory=list)
    outputs: list[dict[str, Any]] = field(default_factory=list)
    checks: list[dict[str, Any]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        return cls(**data)
