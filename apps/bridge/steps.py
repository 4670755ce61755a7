"""The numbered steps of the protocol: the moments between which something can die.

Each verb passes its steps in this order. Before `committed` nothing has happened; from there on the verb is done, and
what is left are files that anybody can write again from the rows. An observer is told each step as it is passed; tests
kill the process there.
"""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """`name` is "<verb>: <what has just become so>"."""

    number: int
    name: str
    meaning: str

    @property
    def verb(self) -> str:
        return self.name.partition(":")[0]


_WRITTEN = "rows are written in a transaction that is not committed: a death undoes them"
_COMMITTED = "the transaction is on the disk: the verb is done"
_RECORDED = "the session's record is on the disk"
_POINTED = "the pointer for shells names session and layer"
_STEPS = (
    ("init: written", _WRITTEN),
    ("init: committed", _COMMITTED),
    ("init: recorded", _RECORDED),
    ("init: pointed", _POINTED),
    ("layer: written", _WRITTEN),
    ("layer: committed", _COMMITTED),
    ("layer: recorded", _RECORDED),
    ("layer: pointed", _POINTED),
    ("case: written", _WRITTEN),
    ("case: committed", _COMMITTED),
    ("offer: written", _WRITTEN),
    ("offer: committed", "the state, the document and its digest are on the disk: the verb is done"),
    ("offer: recorded", _RECORDED),
    ("offer: placed", "handoff.json is in its place, whole"),
    ("accept: written", _WRITTEN),
    ("accept: committed", "the handoff is used up: the verb is done"),
    ("accept: recorded", _RECORDED),
    ("accept: removed", "handoff.json is gone"),
    ("end: written", _WRITTEN),
    ("end: committed", _COMMITTED),
    ("end: recorded", _RECORDED),
    ("end: published", "results.json is in its place, whole"),
    ("end: cleared", "the pointer and what was left of a handoff are gone"),
    ("repair: entered", "the state recovering is on the disk: only a repair goes on from here"),
    ("repair: written", _WRITTEN),
    ("repair: left", "the true state is on the disk"),
    ("repair: settled", "all files are as the rows say"),
    ("rebuild: built", "a new database stands beside the damaged one, whole"),
    ("rebuild: set aside", "the damaged database has its new name"),
    ("rebuild: placed", "the new database is in its place"),
)
STEPS = tuple(Step(number, name, meaning) for number, (name, meaning) in enumerate(_STEPS, start=1))
_BY_NAME = {each.name: each for each in STEPS}

Observer = Callable[[Step], None]  # told each step that was passed


def nobody(_step: Step) -> None:
    pass


def step(name: str) -> Step:
    return _BY_NAME[name]


def render_table() -> str:
    """The steps as `docs/reference/bridge.md` holds them."""
    rows = [f"| {each.number} | {each.name} | {each.meaning} |" for each in STEPS]
    return "\n".join(["| step | name | what has become so |", "|---|---|---|", *rows]) + "\n"
