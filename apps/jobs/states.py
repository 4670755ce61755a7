"""The states of a job and the arrows between them: the one table that guards, feeds the audit and draws the diagram."""

from dataclasses import dataclass

from django.db.models import TextChoices


class State(TextChoices):
    QUEUED = "queued", "queued"  # waits for a worker, or for the time it is due
    RUNNING = "running", "running"  # a worker holds its lease
    SUCCEEDED = "succeeded", "succeeded"  # its effect is durable
    FAILED = "failed", "failed"  # it ended without its effect; `message` says why
    CANCELLED = "cancelled", "cancelled"  # a person stopped it; it stays so


LOST = "lost"  # shown for a running job whose lease ran out; never stored
FINAL = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED})
LIVE = frozenset({State.QUEUED, State.RUNNING})


@dataclass(frozen=True)
class Arrow:
    """One allowed change of state: who takes it, when, and the verb that the audit writes ("" for none)."""

    source: State
    target: State
    taken_by: str
    when: str
    audit: str = ""


ARROWS: tuple[Arrow, ...] = (
    Arrow(State.QUEUED, State.RUNNING, "worker", "claims it (fence + 1, attempt + 1)"),
    Arrow(State.QUEUED, State.CANCELLED, "person", "cancels before it began", audit="cancel"),
    Arrow(State.RUNNING, State.SUCCEEDED, "worker or reconciler", "its effect is durable", audit="reconcile"),
    Arrow(State.RUNNING, State.FAILED, "worker or reconciler", "it ended without its effect", audit="reconcile"),
    Arrow(State.RUNNING, State.CANCELLED, "worker or reconciler", "stopped as asked", audit="reconcile"),
    Arrow(
        State.RUNNING,
        State.QUEUED,
        "reconciler or worker",
        "its lease ran out, or it is to be tried again",
        audit="requeue",
    ),
)
_BY_ENDS = {(arrow.source, arrow.target): arrow for arrow in ARROWS}


def arrow(source: str, target: str) -> Arrow:
    """The arrow between two states. Asserts that there is one: nothing outside the table may happen."""
    found = _BY_ENDS.get((State(source), State(target)))
    assert found, f"no arrow leads from {source} to {target}"
    return found


def render_diagram() -> str:
    """The table as a Mermaid state diagram. `docs/explanation/states.md` holds it, and a test holds them equal."""
    lines = ["stateDiagram-v2", "    [*] --> queued: enqueued"]
    lines += [f"    {each.source} --> {each.target}: {each.taken_by}, {each.when}" for each in ARROWS]
    lines += [f"    {state} --> [*]" for state in State if state in FINAL]
    return "\n".join(lines) + "\n"


def render_page() -> str:
    """The page about states in the docs. Written by `manage.py jobs states --write`."""
    rows = [f"| {each.source} | {each.target} | {each.taken_by} | {each.when} |" for each in ARROWS]
    return PAGE.format(diagram=render_diagram(), table="\n".join(rows))


PAGE = """\
# The states of a job

Every piece of long work, a run for one, is a row that stands in one of five states. The table of arrows in
`apps/jobs/states.py` is the only way between them; this page is made from it by `manage.py jobs states --write`, and a
test holds the two equal.

```mermaid
{diagram}```

| from | to | who takes it | when |
|---|---|---|---|
{table}

A running job has a *lease*: a time until which its worker is believed to be alive, set when the job is claimed and
renewed three times in its length. A page shows a running job whose lease has run out as *lost*. That is not a
state of the row: the reconciler finds such rows every few seconds, asks the outside world what became of the work, and
finishes the job as that says or queues it again, until its attempts are used up.

Each claim raises the *fencing number* of the job. Every write of the work names the number it was given, so the write of
a worker that was thought dead, and wakes up, changes nothing. Nothing leads out of succeeded, failed and cancelled.
"""
