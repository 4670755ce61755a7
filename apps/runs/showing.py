"""A run's rows as its page shows them: steps beside the graph, the sentence of what went wrong, log lines."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from asgiref.sync import sync_to_async
from django.urls import reverse
from django.utils import timezone

from apps.common.errors import FlowControlError
from apps.engine import preview
from apps.flows.pictures import Picture
from apps.flows.pictures import picture as draw
from apps.jobs import workers
from apps.jobs.models import JobEvent
from apps.jobs.states import LOST, State
from apps.language.graph import Graph, Look
from apps.runs import files
from apps.runs.models import Output, Run, StepRun

KIND = "run"  # of the job's events
LOG_PIECE = 1000  # events that are read at once for a download


@dataclass(frozen=True, slots=True)
class StepWords:
    """One node of the graph with what the run knows of it. `time` and `note` stand in the graph too."""

    node: str
    name: str
    kind: str
    label: str
    detail: str
    state: str
    rows: int | None = None
    seconds: float | None = None
    has_rows: bool = False  # the run has kept its first rows

    @property
    def time(self) -> str:
        return "" if self.seconds is None else spell_seconds(self.seconds)

    @property
    def note(self) -> str:
        if self.rows is None:
            return ""
        return f"{self.rows:,} row{'' if self.rows == 1 else 's'}"


@dataclass(frozen=True, slots=True)
class Trouble:
    """What a reader must know first: a sentence, what to do, and where the cause stands. `kind` is bad or warn."""

    kind: str
    text: str
    hint: str = ""
    href: str = ""
    link: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    at: datetime
    level: str
    step: str
    message: str


def spell_seconds(seconds: float) -> str:
    """As the pages' filter says it, for words that stand in an SVG."""
    if seconds < 9.95:
        return f"{seconds:.1f}s" if seconds >= 0.995 else f"{seconds:.2f}s"
    whole = round(seconds)
    return f"{whole}s" if whole < 60 else f"{whole // 60}m {whole % 60:02d}s"


def steps(run: Run, drawn: Graph) -> list[StepWords]:
    """The graph's nodes in order, each with its row; one without a row is queued, or was never reached."""
    rows = {_node(step): step for step in run.steps.all()}
    unreached = "skipped" if run.is_final else "queued"
    found = []
    for node in drawn.nodes:
        row = rows.pop(node.id, None)
        state = row.state if row else unreached
        if state in (State.QUEUED, State.RUNNING) and run.is_final:
            state = "skipped"  # its row was written by a worker that did not live to end it
        words = (node.id, node.name, node.kind, node.label, node.detail, state)
        found.append(StepWords(*words, row.rows, row.seconds, _has_rows(run, row)) if row else StepWords(*words))
    for id_, row in rows.items():  # a step that the text, read today, does not show
        found.append(StepWords(id_, row.name, row.kind, row.name, "", row.state, row.rows, row.seconds))
    return found


def _has_rows(run: Run, step: StepRun) -> bool:
    return step.kind != "sink" and preview.is_kept(run.environment.workspace, run.key, step.name)


def _node(step: StepRun) -> str:
    return f"{step.kind}:{step.name}"


def picture(drawn: Graph, shown: Sequence[StepWords]) -> Picture:
    looks = {step.node: Look(step.state, step.time, step.note) for step in shown}
    return draw(drawn, looks=looks)


def trouble(run: Run) -> Trouble | None:
    """The first thing to say about a run, if anything is wrong with it."""
    if run.display_state == LOST:
        since = timezone.localtime(run.lease_expires_at)
        return Trouble(
            "warn",
            f"The worker of this run has not been heard of; its lease ran out at {since:%H:%M:%S %Z}.",
            "Another worker takes it over by itself. What it had computed is not written twice.",
        )
    if run.state == State.FAILED:
        return _failure(run)
    if run.state == State.CANCELLED:
        return Trouble("warn", run.message or "The run was cancelled.")
    if run.state == State.QUEUED and (waits := workers.no_worker_for(run)):
        return Trouble("warn", waits, "With `make run`, or `celery -A flowcontrol worker` for this queue.")
    if run.cancel_requested_at:
        return Trouble("warn", f"{run.cancel_requested_by} asked to cancel it; it stops within seconds.")
    if run.message:  # why it waits: for its turn, or to be begun again
        return Trouble("warn", run.message)
    return None


def _failure(run: Run) -> Trouble:
    error: dict[str, Any] = run.error or {}
    text = error.get("message") or run.message or "The run failed and left no reason."
    line = error.get("line") or 0
    if not line:
        return Trouble("bad", text, error.get("hint", ""))
    name = run.flow.name
    return Trouble(
        "bad",
        text,
        error.get("hint", ""),
        f"{reverse('flows:edit', args=[name])}?line={line}",
        f"{name}.flow, line {line}",
    )


def newest_lines(run: Run, most: int) -> list[Line]:
    """The newest log lines up to the event that the page was read at, in order."""
    events = _lines(run).filter(seq__lte=run.event_seq).order_by("-seq")[:most]
    return [_line(event) for event in events][::-1]


async def log_text(run: Run) -> AsyncIterator[str]:
    """The whole log as lines of text, with times in UTC, read piece by piece."""
    last = 0
    while events := await sync_to_async(_events_after)(run, last):
        yield "".join(_as_text(_line(event)) for event in events)
        last = events[-1].seq


def _events_after(run: Run, last: int) -> list[JobEvent]:
    return list(_lines(run).filter(seq__gt=last).order_by("seq")[:LOG_PIECE])


def _as_text(line: Line) -> str:
    text = line.message.replace("\n", "\n    ")
    return f"{line.at:%Y-%m-%dT%H:%M:%S.%fZ} {line.level.upper():7} {line.step or '-'} {text}\n"


def _lines(run: Run) -> Any:
    return JobEvent.objects.filter(job_kind=KIND, job_id=run.pk, kind="log")


def _line(event: JobEvent) -> Line:
    level = event.data.get("level", "info")
    known = level if level in ("info", "warning", "error") else "info"
    return Line(event.at, known, event.data.get("step") or "", str(event.data.get("message", "")))


@dataclass(frozen=True, slots=True)
class Rows:
    """The first rows of something, values as text, None for null; or why there are none."""

    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str | None]] = ()
    missing: FlowControlError | None = None


def rows_of_output(run: Run, output: Output) -> Rows:
    """The first rows of what stands in the workspace now."""
    try:
        return Rows(*preview.read(files.check_output(run.environment.workspace, output.path)))
    except FlowControlError as error:
        return Rows(missing=error)


def rows_of_step(run: Run, step: StepRun) -> Rows:
    """The first rows of a step as the run has kept them."""
    kept = preview.kept(run.environment.workspace, run.key, step.name)
    if kept is None:
        hint = "Rows are kept of steps that were reached, until the run is tidied away."
        return Rows(missing=FlowControlError(f"No rows of {step.name} are kept.", hint=hint))
    return Rows(kept.columns, kept.rows)
