"""What is known of a run while it goes on: the states of its steps, its outputs and checks, and who is told."""

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from apps.engine.errors import EngineError
from apps.engine.spec import RunOutcome, Status
from apps.language.plan import Plan, SinkTable

Emit = Callable[[dict[str, Any]], None]
Kind = Literal["source", "step", "sink"]

PROGRESS_STEP = 0.005  # a smaller advance is not worth an event


def sink_names(sinks: Iterable[SinkTable]) -> list[str]:
    """A name for each sink, as the graph has them: its step's, and `step:2` for a second sink of a step."""
    names: list[str] = []
    counts: dict[str, int] = {}
    for sink in sinks:
        counts[sink.step] = number = counts.get(sink.step, 0) + 1
        names.append(sink.step if number == 1 else f"{sink.step}:{number}")
    return names


@dataclass
class Part:
    """A source, step or sink of the run."""

    name: str
    kind: Kind
    status: str = "queued"
    rows: int | None = None
    seconds: float | None = None


@dataclass
class Record:
    """Collects the outcome and emits each change of it. Safe to use from two threads."""

    emit: Emit
    started: float = field(default_factory=time.monotonic)
    parts: dict[tuple[Kind, str], Part] = field(default_factory=dict)
    outputs: list[dict[str, Any]] = field(default_factory=list)
    checks: list[dict[str, Any]] = field(default_factory=list)
    _told: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def send(self, event: dict[str, Any]) -> None:
        with self._lock:
            self.emit(event)

    def plan(self, plan: Plan) -> None:
        """Name everything that will happen."""
        for source in plan.sources:
            self.parts["source", source.name] = Part(source.name, "source")
        for step in plan.steps:
            self.parts["step", step.name] = Part(step.name, "step")
        for name in sink_names(plan.sinks):
            self.parts["sink", name] = Part(name, "sink")
        steps = [{"name": part.name, "kind": part.kind} for part in self.parts.values()]
        self.send({"kind": "plan", "steps": steps})

    def begin(self, kind: Kind, name: str) -> None:
        part = self.parts[kind, name]
        if part.status == "queued":
            part.status = "running"
            self._tell(part)

    def finish(self, kind: Kind, name: str, *, rows: int | None, seconds: float | None) -> None:
        part = self.parts[kind, name]
        if part.status != "succeeded":
            part.status, part.rows = "succeeded", rows
            part.seconds = None if seconds is None else round(seconds, 4)
            self._tell(part)

    def stage(self, name: str, *, rows: int, seconds: float | None) -> None:
        """A sink is written, but nobody sees it before the run is published: it goes on being `running`."""
        part = self.parts["sink", name]
        part.rows, part.seconds = rows, None if seconds is None else round(seconds, 4)
        self._tell(part)

    def publish(self) -> None:
        """The outputs are in place: now the sinks have succeeded."""
        for part in self.parts.values():
            if part.kind == "sink":
                part.status = "succeeded"
                self._tell(part)

    def stop(self, status: Literal["failed", "cancelled"]) -> None:
        """What was running ended like the run; what had not begun, or was staged for nothing, is skipped."""
        for part in self.parts.values():
            if part.status == "running":
                part.status = "skipped" if part.kind == "sink" and part.rows is not None else status
                self._tell(part)
            elif part.status == "queued":
                part.status = "skipped"
                self._tell(part)

    def _tell(self, part: Part) -> None:
        self.send(
            {
                "kind": "step",
                "name": part.name,
                "part": part.kind,
                "state": part.status,
                "rows": part.rows,
                "seconds": part.seconds,
            }
        )

    def log(self, message: str, *, level: Literal["info", "warning", "error"] = "info", step: str = "") -> None:
        self.send({"kind": "log", "level": level, "step": step, "message": message})

    def progress(self, fraction: float) -> None:
        """The run's overall share (0..1). It never goes back."""
        if fraction >= 1 or fraction >= self._told + PROGRESS_STEP:
            self._told = max(self._told, fraction)
            self.send({"kind": "progress", "fraction": round(self._told, 3)})

    def output(self, name: str, path: str, rows: int, size: int) -> None:
        self.outputs.append({"name": name, "path": path, "rows": rows, "bytes": size})

    def check(self, step: str, label: str, severity: str, *, ok: bool, failed_rows: int) -> None:
        found = {"step": step, "check": label, "severity": severity, "ok": ok, "failed_rows": failed_rows}
        self.checks.append(found)
        self.send({"kind": "check", **found})

    def outcome(self, status: Status, error: EngineError | None = None) -> RunOutcome:
        """The outcome as things stand. One that succeeded is made just before it is published, and holds from then."""

        def shown(part: Part) -> str:
            return "succeeded" if status == "succeeded" and part.kind == "sink" else part.status

        return RunOutcome(
            status=status,
            seconds=round(time.monotonic() - self.started, 4),
            error=error.to_json() if error else None,
            steps=[
                {
                    "name": part.name,
                    "kind": part.kind,
                    "status": shown(part),
                    "rows": part.rows,
                    "seconds": part.seconds,
                }
                for part in self.parts.values()
            ],
            outputs=self.outputs if status == "succeeded" else [],
            checks=self.checks,
        )
