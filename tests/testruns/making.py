"""Cases made for a test, and what came of them."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from apps.testruns.cases.executables import discover
from apps.testruns.cases.model import Case, Place, Result
from apps.testruns.cases.runner import LayerOutcome, run_layer

NEVER = threading.Event()


def write(root: Path, name: str, text: str | bytes, *, mode: int = 0o755) -> Path:
    """A file below `root`, executable unless told otherwise."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    path.chmod(mode)
    return path


def sh(root: Path, text: str, name: str = "L2/case.sh") -> Path:
    return write(root, name, f"#!/bin/sh\n{text}\n")


def place(root: Path, **more: Any) -> Place:
    return Place("dev", root, **more)


def run(root: Path, **options: Any) -> LayerOutcome:
    """Run what is in layer L2 of a folder."""
    return run_layer("L2", discover(root).cases, place(root), **options)


def results_of(root: Path, text: str) -> tuple[Result, ...]:
    """The results of one shell script."""
    sh(root, text)
    return run(root).results


def only(root: Path, text: str) -> Result:
    (result,) = results_of(root, text)
    return result


def check_case(function: Callable[..., Any], **more: Any) -> Case:
    return Case("L2", f"tests:{function.__name__}", function.__name__, "check", run=function, **more)


def until(condition: Callable[[], Any], what: str, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.01)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def pid_in(path: Path) -> int:
    """The process id that a script wrote into a file."""
    until(lambda: path.exists() and path.read_text().strip(), f"{path.name} has a process id")
    return int(path.read_text())


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@contextmanager
def memory_grows_by_less_than(limit: int) -> Iterator[None]:
    """Bytes, at its peak. The kernel counts, so that nothing is slowed down by counting."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak is now what is resident, proc(5)
    before = _peak_bytes()
    yield
    assert _peak_bytes() - before < limit


def _peak_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
