"""Running a command: its lines as they come, an end to it when it is late or no longer wanted."""

from __future__ import annotations

import contextlib
import ctypes
import os
import selectors
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from apps.common.errors import FlowControlError

LOOK_SECONDS = 0.2
GRACE_SECONDS = 5.0  # between asking to stop and killing
KEPT_LINES = 60  # of what a command said, for whoever reads why it failed
LONGEST_OUTPUT = 16 * 1024**2
PR_SET_PDEATHSIG = 1


class CommandFailed(FlowControlError):  # noqa: N818  it is what the person reads
    """A command failed."""

    code = "command_failed"

    def __init__(self, message: str, *, hint: str = "", lines: Sequence[str] = (), status: int | None = None) -> None:
        super().__init__(message, hint=hint)
        self.lines = tuple(lines)  # the last it said
        self.status = status  # its exit status; None where it had none


def run(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    folder: Path,
    timeout: float,
    stdin: str = "",
    hear: Callable[[str], None] = lambda line: None,
    check: Callable[[], None] = lambda: None,
    source: IO[bytes] | None = None,
    sink: IO[bytes] | None = None,
) -> str:
    """Run a command and return its stdout. What is large goes from the open file `source` into it, and from it into `sink`,
    without passing through this process; the answer is then "". `hear` gets each line of its stderr, `check` is asked a few times a second and
    may raise to end it.

    Raises CommandFailed where it cannot be started, ends with another status than 0, or not within `timeout` seconds. It
    and what it started die with this thread (on Linux), so that after a `kill -9` nothing goes on behind our back.
    """
    try:
        process = subprocess.Popen(
            list(command),
            env=dict(environment),
            cwd=folder,
            stdin=source or (subprocess.PIPE if stdin else subprocess.DEVNULL),
            stdout=sink or subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=_die_with_parent(os.getpid()),
        )
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        raise CommandFailed(
            f"{command[0]} cannot be started: {error.strerror}.",
            hint=f"Install {command[0]} and see that it is on the PATH." if missing else "",
        ) from error
    with process:
        try:
            return _Talk(process, command, hear, check).to_end(stdin, timeout)
        finally:
            _end(process)


class _Talk:
    """Reads what a command says until it ends."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        command: Sequence[str],
        hear: Callable[[str], None],
        check: Callable[[], None],
    ) -> None:
        self.process, self.command, self.hear, self.check = process, command, hear, check
        self.said: deque[str] = deque(maxlen=KEPT_LINES)
        self.out = bytearray()
        self.rest = b""  # of stderr: a line that has not ended

    def to_end(self, stdin: str, timeout: float) -> str:
        deadline = time.monotonic() + timeout
        if stdin and self.process.stdin:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.write(stdin.encode())
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()
        with selectors.DefaultSelector() as selector:
            for stream in filter(None, (self.process.stdout, self.process.stderr)):
                os.set_blocking(stream.fileno(), False)
                selector.register(stream, selectors.EVENT_READ)
            while selector.get_map():
                self.check()
                if time.monotonic() > deadline:
                    raise self._failed(f"did not end within {timeout:g} s", None)
                for key, _ in selector.select(LOOK_SECONDS):
                    if not self._take(key.fd):
                        selector.unregister(key.fileobj)
        self._line(self.rest)
        status = self.process.wait()
        if status:
            raise self._failed(
                f"ended with status {status}" if status > 0 else f"was killed by signal {-status}", status
            )
        return self.out.decode("utf-8", "replace")

    def _take(self, descriptor: int) -> bool:
        try:
            data = os.read(descriptor, 65536)
        except BlockingIOError:
            return True
        if self.process.stdout and descriptor == self.process.stdout.fileno():
            self.out += data[: max(0, LONGEST_OUTPUT - len(self.out))]
            return bool(data)
        *lines, self.rest = (self.rest + data).replace(b"\r", b"\n").split(b"\n")
        for line in lines:
            self._line(line)
        return bool(data)

    def _line(self, data: bytes) -> None:
        if text := data.decode("utf-8", "replace").rstrip():
            self.said.append(text)
            self.hear(text)

    def _failed(self, how: str, status: int | None) -> CommandFailed:
        lines = list(self.said) or self.out.decode("utf-8", "replace").splitlines()[-KEPT_LINES:]
        return CommandFailed(f"`{' '.join(self.command[:SHOWN_WORDS])}` {how}.", lines=lines, status=status)


SHOWN_WORDS = 12  # of a command, in the sentence that says it failed


def _end(process: subprocess.Popen[bytes]) -> None:
    """Nothing of the command is left: asked first, so that docker can let go of what it holds, then killed."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _die_with_parent(parent: int) -> Callable[[], None]:
    """What the child does before it becomes the command: ask to be killed when the thread that started it dies."""
    if not sys.platform.startswith("linux"):
        return lambda: None
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def ask() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before we asked
            os._exit(1)

    return ask
