"""The states of a session and the arrows between them: the one table that guards (here and as triggers) and is in the docs."""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    INITIALISED = "initialised"  # opened, nothing was done yet
    SHELL_RUNNING = "shell_running"  # the shell framework runs its layers
    HANDOFF_OFFERED = "handoff_offered"  # its results are sealed in handoff.json, which waits to be accepted
    HANDOFF_ACCEPTED = "handoff_accepted"  # the application framework has checked the handoff and used it up
    APP_RUNNING = "app_running"  # the application framework runs its layers
    COMPLETED = "completed"  # every layer passed
    FAILED = "failed"  # a layer failed, or the session could not go on
    ABORTED = "aborted"  # somebody stopped it
    RECOVERING = "recovering"  # a repair is at work; no other verb is


class Side(StrEnum):
    SHELL = "shell"  # the shell framework
    APP = "app"  # the application framework
    OPERATOR = "operator"  # a person, or whoever looks after a session whose side died


FINAL = frozenset({State.COMPLETED, State.FAILED, State.ABORTED})
SHELL_STATES = frozenset({State.INITIALISED, State.SHELL_RUNNING, State.HANDOFF_OFFERED})
RUNNING = frozenset({State.SHELL_RUNNING, State.APP_RUNNING})  # layers may begin and results be recorded
LAYERS = ("L0", "L1", "L2", "L3", "L5")


@dataclass(frozen=True, slots=True)
class Arrow:
    """One allowed change of state. `source` is None where a session begins."""

    source: State | None
    target: State
    verb: str
    side: Side
    meaning: str


def _arrows() -> tuple[Arrow, ...]:
    s, shell, app, operator = State, Side.SHELL, Side.APP, Side.OPERATOR
    live = [each for each in State if each not in FINAL and each is not s.RECOVERING]
    forward = [
        Arrow(None, s.INITIALISED, "init", shell, "a session is opened"),
        Arrow(s.INITIALISED, s.SHELL_RUNNING, "layer", shell, "its first layer begins"),
        Arrow(s.SHELL_RUNNING, s.HANDOFF_OFFERED, "offer", shell, "the results so far are sealed in a handoff"),
        Arrow(
            s.HANDOFF_OFFERED, s.HANDOFF_OFFERED, "offer", shell, "a handoff that ran out or is outdated is replaced"
        ),
        Arrow(s.HANDOFF_OFFERED, s.HANDOFF_ACCEPTED, "accept", app, "the handoff was checked and is used up"),
        Arrow(s.HANDOFF_ACCEPTED, s.APP_RUNNING, "layer", app, "the application's layers begin"),
        Arrow(s.APP_RUNNING, s.COMPLETED, "complete", app, "every layer passed"),
    ]
    failing = [
        Arrow(each, s.FAILED, "complete", shell if each in SHELL_STATES else app, "a layer failed, or it cannot go on")
        for each in live
    ]
    aborting = [Arrow(each, s.ABORTED, "abort", operator, "somebody stopped it") for each in (*live, s.RECOVERING)]
    repairing = [Arrow(each, s.RECOVERING, "repair", operator, "a repair begins") for each in live]
    back = [Arrow(s.RECOVERING, each, "repair", operator, "this is where its rows say it is") for each in live]
    giving_up = [Arrow(s.RECOVERING, s.FAILED, "repair", operator, "its side died and it will not go on")]
    return (*forward, *failing, *aborting, *repairing, *back, *giving_up)


ARROWS = _arrows()
_BY_ENDS = {(each.source, each.target): each for each in ARROWS}


def arrow(source: State | None, target: State) -> Arrow | None:
    """The arrow between two states, or None: nothing outside the table may happen."""
    return _BY_ENDS.get((source, target))


def render_table() -> str:
    """The table as `docs/reference/bridge.md` holds it; a test holds the two equal."""
    rows = [
        f"| {each.source or '(none)'} | {each.target} | {each.verb} | {each.side} | {each.meaning} |" for each in ARROWS
    ]
    return "\n".join(["| from | to | verb | side | when |", "|---|---|---|---|---|", *rows]) + "\n"
