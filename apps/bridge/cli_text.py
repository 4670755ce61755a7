"""What the verbs say to people, on standard error. Colour only at a terminal, and never with NO_COLOR."""

import os
import sys
from typing import Any

from apps.bridge.records import Problem, Repaired, Status
from apps.common.errors import FlowControlError

VERBS = {
    "init": """Open a session. One may be active in a data folder.

  manage.py bridge init --env dev

Exit status: 0 it is open, 1 refused, 2 wrong use.""",
    "layer": """Begin a layer; the one before ends.

  manage.py bridge layer L0 --env dev

Layers run upwards: L0, L1, L2, L3, L5. Exit status: 0 it runs, 1 refused, 2 wrong use.""",
    "case": """Record the result of one case in the running layer.

  manage.py bridge case pass "the folder is there"
  manage.py bridge case fail "the port answers" 1.5 "nobody listens on 8080"

The same case with another result is one more attempt of it. Exit status: 0 recorded, 1 refused, 2 wrong use.""",
    "status": """Say where the session stands.

  manage.py bridge status --env dev --json

Exit status: 0 told, 1 refused, 2 wrong use.""",
    "offer": """End the running layer, and offer the results to the application in handoff.json.

  manage.py bridge offer --env dev --seconds 600

Called again it writes the document again, or a new one where it has run out. Exit status: 0 offered, 1 refused, 2 wrong use.""",
    "accept": """Check handoff.json, and use it up.

  manage.py bridge accept --env dev

Exit status: 0 accepted, 1 refused, 2 wrong use.""",
    "complete": """End the session by what its layers say, and write results.json.

  manage.py bridge complete --env dev

Exit status: 0 every layer passed, 1 one failed or refused, 2 wrong use.""",
    "abort": """Stop the session, and write results.json.

  manage.py bridge abort --env dev --reason "wrong branch"

Exit status: 0 stopped, 1 refused, 2 wrong use.""",
    "verify": """Say what is not as it should be, in rows and files. Changes nothing.

  manage.py bridge verify --env dev

Exit status: 0 all is well, 1 something is not, 2 wrong use.""",
    "repair": """Put right what `verify` finds.

  manage.py bridge repair --env dev
  manage.py bridge repair --env dev --finish --reason "the shell died"

With --finish the session ends as failed. Exit status: 0 all is well now, 1 refused, 2 wrong use.""",
}
_COLOURS = {"passed": "green", "completed": "green", "failed": "red", "aborted": "yellow", "running": "cyan"}


def say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def say_error(error: FlowControlError) -> None:
    colour = sys.stderr.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
    say(("\033[31merror: \033[0m" if colour else "error: ") + error.message)
    if error.hint:
        say(f"  {error.hint}")


def say_problems(problems: list[Problem]) -> None:
    for each in problems:
        say(f"{each.code}: {each.message}")
    say("Put it right: manage.py bridge repair" if problems else "All is as it should be.")


def say_repaired(done: Repaired) -> None:
    for each in done.problems:
        say(f"{each.code}: {each.message}")
    if done.status is None:
        say("There is no session.")
    else:
        word = "Repaired" if done.problems else "Nothing is left to repair"
        say(f"{word}: session {done.status.session.id} is {done.status.session.state}.")


def show_status(status: Status, layers: list[dict[str, Any]]) -> None:
    """Session, layers with their counts, and the log."""
    # Slow to import, and only worth it here.
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    state = status.session.state
    console.print(
        Text.assemble(
            f"Session {status.session.id} of {status.session.environment}: ", (state, _COLOURS.get(state, ""))
        )
    )
    if layers:
        table = Table("layer", "status", "passed", "failed", "skipped", "flaky", "", box=None)
        for each in layers:
            told = Text(each["status"], _COLOURS.get(each["status"], ""))
            counts = [str(each[name]) for name in ("passed", "failed", "skipped", "flaky")]
            table.add_row(each["layer"], told, *counts, Text(each["message"]))
        console.print(table)
    log = Table("", "at (UTC)", "state", "actor", "reason", box=None)
    for step in status.transitions:
        log.add_row(str(step.seq), step.at[:19].replace("T", " "), step.target, Text(step.actor), Text(step.reason))
    console.print(log)
