"""What the tests of runs share: a workspace, a flow's text, and a run of it in this process."""

import csv
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from apps.engine.limits import GIB
from apps.engine.run import execute
from apps.engine.spec import RunOutcome, RunSpec

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

ORDERS = """id,customer,amount,day
1,7,10.00,2026-01-01
2,7,5.50,2026-01-02
3,8,1.25,2026-01-02
4,9,,2026-01-03
"""

TOTALS = """
flow totals {}
source orders = csv("in/orders.csv") { columns: { id: int, customer: int, amount: decimal(12, 2), day: date } }
step paid = orders | where amount is not null
step totals = paid | group by customer { total = sum(amount), n = count() } | sort customer
sink totals -> csv("out/totals.csv")
"""


def write(workspace: Path, path: str, text: str) -> Path:
    file = workspace / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def spec(workspace: Path, text: str, **options: Any) -> RunSpec:
    """A run of the text in the workspace, at noon; `options` are fields of RunSpec."""
    given = {"params": {}, "run_key": "run-1", "memory_bytes": GIB, "threads": 2, **options}
    return RunSpec(text, "test.flow", workspace, logical_time=NOON, **given)


@dataclass
class Ran:
    outcome: RunOutcome
    events: list[dict[str, Any]] = field(default_factory=list)

    def kinds(self) -> list[str]:
        return [event["kind"] for event in self.events]

    def said(self) -> str:
        return "\n".join(event["message"] for event in self.events if event["kind"] == "log")

    @property
    def error(self) -> dict[str, Any]:
        assert self.outcome.status == "failed", self.outcome
        assert self.outcome.error is not None
        return self.outcome.error

    def step(self, name: str, kind: str = "step") -> dict[str, Any]:
        return next(each for each in self.outcome.steps if (each["name"], each["kind"]) == (name, kind))


def run(workspace: Path, text: str, *, cancelled: Callable[[], bool] = lambda: False, **options: Any) -> Ran:
    events: list[dict[str, Any]] = []
    outcome = execute(spec(workspace, text, **options), events.append, cancelled)
    return Ran(outcome, events)


def rows_of(file: Path) -> list[list[str]]:
    with file.open(newline="") as opened:
        return list(csv.reader(opened))[1:]
