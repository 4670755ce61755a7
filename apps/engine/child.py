"""The process in which one flow runs: limited, alone in its session, and gone when its parent is.

It is always a fork of a process that has one thread: of a nursery (nursery.py) or of the command line. Its parent
talks to it by pipes. `orders` carries the RunSpec as one line of JSON, later perhaps the line `cancel`; its end means
that nobody wants the run any more, and the child ends too. `events` carries one JSON object a line to the parent,
the last of them `done`. Standard output and error go to `errors`.
"""

import json
import os
import resource
import signal
import sys
import threading
from dataclasses import dataclass
from typing import IO, Any, NoReturn

from apps.engine.limits import Limits
from apps.engine.spec import RunSpec

UNWANTED = 75  # exit status of a child whose parent is gone; nobody is left to read it
KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "TZ")


@dataclass(frozen=True, slots=True)
class Pipes:
    """The child's ends, as file descriptors."""

    orders: int
    events: int
    errors: int


def fork(pipes: Pipes) -> int:
    """Start a child of this process, which must have one thread; its process id. The child never returns."""
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        _live(pipes, parent)
    except BaseException as error:  # noqa: BLE001  a fork must not go on as a second parent
        os.write(2, f"{type(error).__name__}: {error}\n".encode(errors="replace"))
    os._exit(1)


def _live(pipes: Pipes, parent: int) -> NoReturn:
    isolate(parent)
    _keep_only(pipes)
    with os.fdopen(pipes.orders, encoding="utf-8") as orders, os.fdopen(pipes.events, "w", encoding="utf-8") as events:
        first = orders.readline()
        if not first:
            os._exit(UNWANTED)
        _work(RunSpec.from_json(json.loads(first)), orders, events)
        events.flush()
        os._exit(0)  # not by the interpreter's end, which would wait for the thread that reads the orders


def _work(spec: RunSpec, orders: IO[str], events: IO[str]) -> None:
    limit(spec.limits)
    cancelled = threading.Event()
    threading.Thread(target=_obey, args=(orders, cancelled), daemon=True, name="flow-orders").start()
    from apps.engine.run import execute  # in a fork of the command line this is the first import of the engine

    def emit(event: dict[str, Any]) -> None:
        events.write(json.dumps(event, ensure_ascii=False) + "\n")
        events.flush()

    execute(spec, emit, cancelled.is_set)


def _obey(orders: IO[str], cancelled: threading.Event) -> None:
    for line in orders:
        if line.strip() == "cancel":
            cancelled.set()
    os._exit(UNWANTED)  # the parent keeps its end open for as long as it lives and wants the run


def isolate(parent: int) -> None:
    """Its own session, plain signals, a clean environment, and death with its parent: by the kernel on Linux;
    elsewhere by the end of `orders`, a moment later. `parent` is the process id that must still be there."""
    os.setsid()
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a full file then is an error that can be told, not a death
    for name in set(os.environ).difference(KEPT_VARIABLES):
        del os.environ[name]
    if sys.platform == "linux":
        _die_with_parent()
    if os.getppid() != parent:  # it went before the kernel was asked to watch it
        os._exit(UNWANTED)


def _die_with_parent() -> None:
    import ctypes

    library = ctypes.CDLL(None, use_errno=True)
    set_parent_death_signal = 1  # PR_SET_PDEATHSIG, prctl(2)
    library.prctl(set_parent_death_signal, signal.SIGKILL, 0, 0, 0)
    if hasattr(library, "mallopt"):
        library.mallopt(-8, 2)  # M_ARENA_MAX: without it each thread reserves 64 MB of the address space


def _keep_only(pipes: Pipes) -> None:
    """Close every file that came with the fork; standard output and error become `errors`."""
    os.dup2(pipes.errors, 1)
    os.dup2(pipes.errors, 2)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    before = 3
    for kept in sorted({pipes.orders, pipes.events}):
        os.closerange(before, kept)
        before = kept + 1
    os.closerange(before, max(before, os.sysconf("SC_OPEN_MAX")))


def limit(limits: Limits) -> None:
    """The kernel's limits: memory, no core file, few open files. Hard, so that nothing in here can raise them."""
    if sys.platform == "linux":  # macOS has RLIMIT_AS and does not keep to it
        resource.setrlimit(resource.RLIMIT_AS, (limits.address_space_bytes, limits.address_space_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    files = 4096 if hard == resource.RLIM_INFINITY else min(4096, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
