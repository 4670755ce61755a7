"""`manage.py flow …` for files: check, run, test, format, graph. No Django, no database, no portal.

Only the door: every module is imported where it is needed, since the start of these commands is part of what they cost.
"""

import contextlib
import gc
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

WELL, BAD, WRONG_USE = 0, 1, 2  # exit statuses
ALWAYS_FILES = ("check", "test", "format", "graph")


def is_file_command(argv: Sequence[str]) -> bool:
    """Whether the arguments after `flow` are for files. Help, nothing, and all else is Django's."""
    if not argv:
        return False
    if argv[0] in ALWAYS_FILES:
        return True
    if argv[0] != "run":
        return False
    rest = argv[1:]
    return any(each.endswith(".flow") or each == "--workspace" or each.startswith("--workspace=") for each in rest)


def main(argv: Sequence[str]) -> int:
    """Run one command; the exit status. `run` forks the process in which the flow will run before anything else."""
    forked = None
    if argv[:1] == ["run"] and not {"-h", "--help"}.intersection(argv):
        from apps.engine.fork import Forked

        gc.disable()  # what is imported never becomes garbage, and there is little else
        forked = Forked()
    from apps.engine import cli_commands

    return cli_commands.main(argv, forked)


def leave(status: int) -> NoReturn:
    """End the process at once. An ordinary end takes 25 ms to take apart what the system frees anyway."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(BrokenPipeError):  # `| head` has had enough
            stream.flush()
    os._exit(status)
