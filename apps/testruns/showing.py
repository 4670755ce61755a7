"""A test run's rows as its pages show them: layers with their counts, what to say first, the bridge's transitions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.utils import timezone

from apps.bridge.records import Transition
from apps.jobs import workers
from apps.jobs.states import LOST, State
from apps.testruns import passage
from apps.testruns.cases.model import layer_name
from apps.testruns.models import LayerResult, Status, TestRun

MOST_OPEN = 200  # cases of a layer whose table stands open


@dataclass(frozen=True, slots=True)
class LayerWords:
    """One layer with its name, what it counts, and how far it is (0 to 1)."""

    row: LayerResult
    name: str
    progress: float

    @property
    def opens(self) -> bool:
        """Whether its table of cases stands open: not where all is well, nor where it is so long that the squares say more."""
        return self.row.status != Status.PASSED and self.row.planned <= MOST_OPEN

    @property
    def counts(self) -> list[tuple[str, int]]:
        """What there is any of, worst first: ("failed", 2)."""
        row = self.row
        found = [
            ("failed", row.failed - row.quarantined),
            ("quarantined", row.quarantined),
            ("flaky", row.flaky),
            ("skipped", row.skipped),
            ("passed", row.passed - row.flaky),
        ]
        return [(word, number) for word, number in found if number]


@dataclass(frozen=True, slots=True)
class Trouble:
    """What a reader must know first. `kind` is bad or warn."""

    kind: str
    text: str
    hint: str = ""


def layer(row: LayerResult, slug: str) -> LayerWords:
    ended = row.status in (Status.PASSED, Status.FAILED, Status.SKIPPED)
    return LayerWords(
        row, layer_name(row.layer, slug), 1.0 if ended else row.ended / row.planned if row.planned else 0.0
    )


def totals(layers: Sequence[LayerResult]) -> dict[str, int]:
    """Over all layers: cases that ended, and how."""
    names = ("passed", "failed", "skipped", "flaky", "quarantined")
    return {name: sum(getattr(row, name) for row in layers) for name in names}


def trouble(run: TestRun, layers: Sequence[LayerResult]) -> Trouble | None:
    """The first thing to say about a test run, if anything is wrong with it."""
    if run.display_state == LOST:
        since = timezone.localtime(run.lease_expires_at)
        text = f"The worker of this test run has not been heard of; its lease ran out at {since:%H:%M:%S %Z}."
        return Trouble("warn", text, "Another worker takes it up by itself; what has ended is not done again.")
    if run.state == State.FAILED:
        stopped = next((row for row in layers if row.status == Status.FAILED), None)
        hint = f"Open the failed cases of {stopped.layer} below; mend the lowest layer first." if stopped else ""
        return Trouble("bad", run.message or "The test run failed and left no reason.", hint)
    if run.state == State.CANCELLED:
        return Trouble("warn", run.message or "The test run was cancelled.")
    if run.state == State.QUEUED and (waits := workers.no_worker_for(run)):
        return Trouble("warn", waits, "With `make run`, or `celery -A flowcontrol worker` for this queue.")
    if run.cancel_requested_at:
        return Trouble("warn", f"{run.cancel_requested_by} asked to cancel it; it stops within seconds.")
    if run.state == State.QUEUED and run.message:
        return Trouble("warn", run.message)
    return None


def transitions(run: TestRun) -> Sequence[Transition]:
    """The run's bridge session as it was logged; nothing where there is none, or it cannot be read."""
    return passage.transitions(settings.DATA, run) if run.session else ()


def state_word(run: TestRun) -> str:
    """`passed` for a run that succeeded: the word of tests."""
    words: dict[Any, str] = {State.SUCCEEDED: "passed"}
    return words.get(run.display_state, run.display_state)
