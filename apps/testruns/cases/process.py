"""One process of a case: started apart, read without end, ended in time, and nothing of it left behind.

The process leads a session of its own. When it has ended, by itself or not, its whole process group is killed, so that a
child that it left in the background goes too. What moved to another session is found by the layer's mark in its
environment, see sweep.py; so is everything when this
process itself is killed.

Nothing runs between fork and exec (no preexec_fn): so the kernel may share the memory until the exec, which makes a
start cost the same in a large worker as in a small one, and threads may start processes.
"""

import contextlib
import errno
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import Literal, Self

from apps.testruns.cases.model import Place
from apps.testruns.cases.output import Capture, Lines

Stream = Literal["stdout", "stderr", "results"]

GRACE_SECONDS = 2.0  # between SIGTERM and SIGKILL when time is up
STOP_GRACE_SECONDS = 0.3  # and when nobody wants it any more
LOOK_SECONDS = 0.1  # how often a stop is looked for
LOOK_WITHOUT_PID_FILE_SECONDS = 0.01  # and how often the end, where nothing tells it
CHUNK = 65_536
MOST_CHUNKS_AFTERWARDS = 64  # what an escaped process still writes is not read for ever


class Stopped(Exception):  # noqa: N818  not an error: it was asked for
    """Nobody wants the result any more."""


class CannotStartError(Exception):
    """The process could not be started; the text says why and what to do."""


class Running:
    """A started process. Read `lines()` to their end, then `code` says how it ended; use it in a `with`.

    Leaving the `with` early kills the group. Killed halfway, the parent leaves the process to the layer's sweep.
    """

    def __init__(
        self, command: Sequence[str], *, folder: Path, variables: Mapping[str, str], takes_results: bool = False
    ) -> None:
        """Raises CannotStartError. With `takes_results` the child may write to the descriptor that the variable
        FLOWCONTROL_RESULTS_FD names; nothing but results goes there."""
        self.captured = Capture()
        self.code: int | None = None  # negative is a signal
        self.timed_out = False
        self._results, results_end = os.pipe() if takes_results else (-1, -1)
        more = {"FLOWCONTROL_RESULTS_FD": str(results_end)} if takes_results else {}
        try:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                env={**variables, **more},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
                pass_fds=(results_end,) if takes_results else (),
            )
        except (OSError, ValueError) as error:
            if takes_results:
                os.close(self._results)
            raise CannotStartError(_why_not(error, command[0])) from error
        finally:
            if takes_results:
                os.close(results_end)
        self._pid_file = _pid_file(self._process.pid)
        self._readers: dict[int, _Reader] = {}
        self._deadline = self._kill_at = float("inf")
        self._has_ended = self._was_stopped = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._reap()
        for pipe in (self._process.stdout, self._process.stderr):
            assert pipe is not None
            pipe.close()
        for each in (self._results, self._pid_file):
            if each >= 0:
                os.close(each)

    def lines(self, timeout_seconds: float, stopping: Event) -> Iterator[tuple[Stream, str]]:
        """What it says on standard output and as results, line by line, until it has ended; `captured` has standard
        error too. Raises Stopped soon after `stopping` is set.

        After `timeout_seconds` the group gets SIGTERM, and SIGKILL a moment later; then `timed_out` is true.
        """
        self._deadline = time.monotonic() + timeout_seconds
        with selectors.DefaultSelector() as selector:
            self._watch(selector)
            while not self._has_ended:
                nap = self._keep_time(stopping)
                for key, _ in selector.select(nap):
                    yield from self._read(key.fd, selector)
                if self._pid_file < 0:
                    self._has_ended = self._process.poll() is not None
        self._kill(signal.SIGKILL)
        yield from self._drain()
        self._reap()
        if self._was_stopped:
            raise Stopped

    # --- reading --------------------------------------------------------------------------------------

    def _watch(self, selector: selectors.BaseSelector) -> None:
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._readers[self._process.stdout.fileno()] = _Reader("stdout")
        self._readers[self._process.stderr.fileno()] = _Reader("stderr")
        if self._results >= 0:
            self._readers[self._results] = _Reader("results")
        for each in self._readers:
            selector.register(each, selectors.EVENT_READ)
        if self._pid_file >= 0:
            selector.register(self._pid_file, selectors.EVENT_READ)

    def _read(self, descriptor: int, selector: selectors.BaseSelector) -> Iterator[tuple[Stream, str]]:
        if descriptor == self._pid_file:
            self._has_ended = True
            return
        chunk = os.read(descriptor, CHUNK)
        if not chunk:
            selector.unregister(descriptor)
        yield from self._told(self._readers[descriptor], chunk)

    def _drain(self) -> Iterator[tuple[Stream, str]]:
        """What is still in the pipes. A process that escaped may hold them open, so nothing waits for their end."""
        for descriptor, reader in self._readers.items():
            os.set_blocking(descriptor, False)
            with contextlib.suppress(BlockingIOError):
                for _ in range(MOST_CHUNKS_AFTERWARDS):
                    chunk = os.read(descriptor, CHUNK)
                    if not chunk:
                        break
                    yield from self._told(reader, chunk)
            yield from self._told(reader, b"", is_last=True)

    def _told(self, reader: "_Reader", chunk: bytes, *, is_last: bool = False) -> Iterator[tuple[Stream, str]]:
        for line in reader.lines.rest() if is_last else reader.lines.feed(chunk):
            if reader.stream != "results":
                self.captured.add(line)
            if reader.stream != "stderr":
                yield reader.stream, line

    # --- ending ---------------------------------------------------------------------------------------

    def _keep_time(self, stopping: Event) -> float:
        """Send the signal that is due; for how many seconds nothing else is."""
        now = time.monotonic()
        if stopping.is_set() and not self._was_stopped:
            self._was_stopped = True
            self._kill(signal.SIGTERM)
            self._kill_at = min(self._kill_at, now + STOP_GRACE_SECONDS)
        elif now >= self._deadline:
            self.timed_out, self._deadline = True, float("inf")
            self._kill(signal.SIGTERM)
            self._kill_at = min(self._kill_at, now + GRACE_SECONDS)
        elif now >= self._kill_at:
            self._kill_at = float("inf")
            self._kill(signal.SIGKILL)
        longest = LOOK_SECONDS if self._pid_file >= 0 else LOOK_WITHOUT_PID_FILE_SECONDS
        return max(0.0, min(longest, self._deadline - now, self._kill_at - now))

    def _kill(self, number: int) -> None:
        """Signal the group. Its leader has not been waited for, so its number is nobody else's yet."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def _reap(self) -> None:
        if self.code is None:
            self._kill(signal.SIGKILL)
            self.code = self._process.wait()


class _Reader:
    __slots__ = ("lines", "stream")

    def __init__(self, stream: Stream) -> None:
        self.stream: Stream = stream
        self.lines = Lines()


def _pid_file(pid: int) -> int:
    """A descriptor that becomes readable when the process ends; -1 where there is no such thing (macOS)."""
    if not hasattr(os, "pidfd_open"):
        return -1
    try:
        return os.pidfd_open(pid)
    except OSError:  # a kernel before 5.3, or no descriptor is left
        return -1


def declared_variables(place: Place, layer: str, folder: Path, mark: str = "") -> dict[str, str]:
    """The whole environment of a case: nothing of the portal's own leaks into it, its secrets least of all."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "C.UTF-8",
        **place.variables,
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "FLOWCONTROL_ENV": place.environment,
        "FLOWCONTROL_DATA": str(place.data),
        "FLOWCONTROL_LAYER": layer,
        "FLOWCONTROL_CASE": mark,
    }


def _why_not(error: Exception, program: str) -> str:
    number = getattr(error, "errno", None)
    if number == errno.ENOEXEC:
        return "The system does not know how to run it: begin the file with a line such as #!/bin/sh."
    if number == errno.ENOENT and os.path.exists(program):
        return f"{_interpreter(program)} is missing: install it, or correct the first line of the file."
    if number in (errno.EACCES, errno.EPERM):
        return f"It may not be run ({getattr(error, 'strerror', error)}): chmod +x the file, and look whether its folder is mounted noexec."
    if number in (errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM):
        return f"The machine could not start another process ({getattr(error, 'strerror', error)}): run fewer at once."
    return f"It could not be started: {error}."


def _interpreter(program: str) -> str:
    """The program that the first line of a script names."""
    with contextlib.suppress(OSError), open(program, "rb") as file:
        first = file.readline(256).decode("utf-8", "replace").strip()
        if first.startswith("#!"):
            return first[2:].strip() or "The interpreter"
    return "The program or a library that it is linked with"
