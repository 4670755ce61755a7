"""One child of the supervisor: started, watched, started again with a growing pause, stopped."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

PR_SET_PDEATHSIG = 1
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 15.0
STEADY_SECONDS = 30.0
LARGEST_OUTPUT_BYTES = 5 * 1024**2


def die_with_parent(parent: int) -> Callable[[], None]:
    """What a child does before it becomes its program: ask to be killed when `parent` dies."""
    if not sys.platform.startswith("linux"):
        return lambda: None
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def ask() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before we asked
            os._exit(1)

    return ask


@dataclass
class Child:
    """A program of the tree. `command` is an argument list; `output` gets what it prints.

    Without `output` (in a container) it prints where we do.

    A child that lived for less than STEADY_SECONDS is started again after a pause that doubles, at most
    LONGEST_PAUSE_SECONDS, so that a broken one does not take the machine.
    """

    name: str
    command: list[str]
    environment: dict[str, str]
    output: Path | None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 6.0
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    restarts: int = field(default=0, init=False)
    _pause: float = field(default=FIRST_PAUSE_SECONDS, init=False)
    _started: float = field(default=0.0, init=False)
    _start_at: float | None = field(default=None, init=False)

    def start(self) -> None:
        with self._open_output() as output:
            self.process = subprocess.Popen(
                self.command,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT if output else None,
                start_new_session=True,  # Ctrl-C reaches the supervisor alone, which stops in order
                preexec_fn=die_with_parent(os.getpid()),
            )
        self._started = time.monotonic()
        self._start_at = None

    def start_afresh(self) -> None:
        """Start it with no memory of earlier deaths: its program has changed."""
        self._pause = FIRST_PAUSE_SECONDS
        self.start()

    def _open_output(self) -> contextlib.AbstractContextManager[IO[bytes] | None]:
        if self.output is None:
            return contextlib.nullcontext()
        self.output.parent.mkdir(parents=True, exist_ok=True)
        if self.output.exists() and self.output.stat().st_size > LARGEST_OUTPUT_BYTES:
            self.output.replace(self.output.with_suffix(".1.out"))
        return self.output.open("ab")

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process and self.process.poll() is None else None

    def mend(self) -> str:
        """Look after the child once. Returns a sentence when it was found dead or was started again, else ''."""
        if self.process is None or self.process.poll() is None:
            return ""
        if self._start_at is None:
            if time.monotonic() - self._started > STEADY_SECONDS:
                self._pause = FIRST_PAUSE_SECONDS
            self._start_at = time.monotonic() + self._pause
            sentence = f"{self.name} {describe_exit(self.process.returncode)}; starts again in {self._pause:g} s."
            self._pause = min(self._pause * 2, LONGEST_PAUSE_SECONDS)
            self._stop_group()
            return "\n".join([sentence, *self.last_lines()])
        if time.monotonic() >= self._start_at:
            self.start()
            self.restarts += 1
            return f"{self.name} started again."
        return ""

    def ask_to_stop(self) -> None:
        if self.pid:
            os.kill(self.pid, self.stop_signal)

    def stop(self) -> None:
        """Ask, wait `stop_seconds`, then kill the child and whatever it started."""
        if not self.process:
            return
        try:
            self.ask_to_stop()
            self.process.wait(self.stop_seconds)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self._stop_group()
            self.process.wait()

    def _stop_group(self) -> None:
        if self.process:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def last_lines(self, count: int = 8) -> list[str]:
        if self.output is None:
            return []
        try:
            with self.output.open("rb") as file:
                file.seek(max(0, self.output.stat().st_size - 8192))
                text = file.read().decode("utf-8", "replace")
        except OSError:
            return []
        return [f"    {line}" for line in deque(text.splitlines(), count)]


def describe_exit(code: int) -> str:
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"
