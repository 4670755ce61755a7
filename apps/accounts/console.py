"""What the commands of accounts and audit share: how they answer at a terminal.

Answers go to stdout (with --json one document and nothing else), messages to stderr. Exit status: 0 well, 1 what was
checked is bad, 2 wrong use or refused.
"""

import json
import os
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from typing import Any

from django.db import DatabaseError, connection
from rich.console import Console
from rich.text import Text

from apps.accounts.policy import Denied
from apps.common import masking
from apps.common.errors import FlowControlError

WELL, BAD, WRONG_USE = 0, 1, 2


def add_account(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--as", dest="account", metavar="USER", help="the account that acts; default: named like yours here"
    )


def add_json(parser: ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON document, and nothing else")


def run(act: Callable[[dict[str, Any]], int], options: dict[str, Any]) -> None:
    """Call `act` and end the process with its status; an error is said, with what to do next."""
    try:
        status = act(options)
        sys.stdout.flush()
    except FlowControlError as error:
        nameless = isinstance(error, Denied) and not options.get("account")
        say(error.message, f"{error.hint} Or act as an account: --as USER." if nameless else error.hint)
        status = WRONG_USE
    except DatabaseError:
        if _has_tables():
            raise
        say("The database has no tables yet.", "Run `manage.py migrate`, or start the portal once with `make run`.")
        status = WRONG_USE
    except BrokenPipeError:  # whoever read has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left in the buffer goes nowhere
        status = WELL
    if status:
        sys.exit(status)


def say(message: str, hint: str = "") -> None:
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(Text(masking.text(message), style="bold"), Text(masking.text(hint)))


def print_json(document: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps({"version": 1, **document}, ensure_ascii=False, indent=2) + "\n")


def print_rows(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns of text, each as wide as its widest value."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        sys.stdout.write("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n")


def _has_tables() -> bool:
    try:
        return "audit_auditevent" in connection.introspection.table_names()
    except DatabaseError:
        return True
