"""Our own commands as a case sees them: run in a process, on a pipe or on a terminal of some width."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

from django.conf import settings

SECONDS = 30
FLOW = """flow check_of_the_terminal { description: "Reads nothing, writes nothing" }
source orders = csv("orders.csv") { columns: { id: int, amount: decimal(12, 2) } }
step paid = orders | where amuont > 0
sink paid -> csv("paid.csv")
"""


def variables(**changed: str) -> dict[str, str]:
    """The surroundings of a command: ours, without what says something about a terminal."""
    about_terminals = ("TERM", "COLORTERM", "NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "PYTHONIOENCODING")
    return {name: value for name, value in os.environ.items() if name not in about_terminals} | changed


def manage(*arguments: str) -> list[str]:
    return [sys.executable, str(settings.BASE_DIR / "manage.py"), *arguments]


def piped(*arguments: str, **changed: str) -> subprocess.CompletedProcess[bytes]:
    """A command whose output goes to a program."""
    return subprocess.run(
        manage(*arguments),
        env=variables(**changed),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )


def on_terminal(*arguments: str, columns: int = 80, **changed: str) -> bytes:
    """What a command shows on a terminal of that width."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    try:
        process = subprocess.Popen(
            manage(*arguments), env=variables(**changed), stdin=its, stdout=its, stderr=its, start_new_session=True
        )
        os.close(its)
        return _read_to_end(ours, process)
    finally:
        os.close(ours)


def _read_to_end(terminal: int, process: subprocess.Popen[bytes]) -> bytes:
    said = b""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                data = os.read(terminal, 65536)
            except OSError:  # Linux says so when the other end has closed
                data = b""
            if not data:
                break
            said += data
        elif process.poll() is not None:
            break
    if process.poll() is None:
        try:
            process.wait(2)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"the command did not end within {SECONDS} s") from None
    return said


def wrong_flow(folder: Path) -> str:
    """A flow with a mistake, for commands to complain of."""
    path = folder / "wrong.flow"
    path.write_text(FLOW, encoding="utf-8")
    return str(path)
