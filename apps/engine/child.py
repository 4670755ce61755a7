"""The process in which one flow runs: limited, alone in its session, and gone when its parent is.

It is always a fork of a process that has one thread: of a nursery (nursery.py) or of the command line. Its parent
talks to it by pipes. `orders` carries one JSON object a line:

    {"spec": RunSpec, "plan": "here" | "there"}   first, and once
    {"cancel": true}
    {"sniff": [kind, path, options]}              only where the plan is made "there", by the parent
    {"plan": Planned, pickled}                    likewise

Its end means that nobody wants the run any more, and the child ends too. `events` carries one JSON object a line to
the parent, the last of them `done`; a `sniff` is answered with {"kind": "schema", "columns"} or {"kind": "schema",
"message", "hint"}. Standard output and error go to `errors`.
"""

import base64
import json
import os
import pickle
import queue
import resource
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, NoReturn

from apps.engine.limits import Limits
from apps.engine.spec import RunSpec

if TYPE_CHECKING:
    from apps.engine.planning import Planned, Planner

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
        order = json.loads(first)
        _work(RunSpec.from_json(order["spec"]), Orders(orders), events, plan_there=order["plan"] == "there")
        events.flush()
        os._exit(0)  # not by the interpreter's end, which would wait for the thread that reads the orders


def _work(spec: RunSpec, orders: "Orders", events: IO[str], *, plan_there: bool) -> None:
    limit(spec.limits)
    orders.start()

    def emit(event: dict[str, Any]) -> None:
        events.write(json.dumps(event, ensure_ascii=False) + "\n")
        events.flush()

    from apps.engine.run import execute  # in a fork of the command line this is the first import of the engine

    execute(spec, emit, orders.cancelled.is_set, planner=remote_planner(orders, emit) if plan_there else None)


class Orders:
    """What the parent says, read by a thread of its own."""

    def __init__(self, lines: IO[str]) -> None:
        self.cancelled = threading.Event()
        self.plans: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._lines = lines

    def start(self) -> None:
        threading.Thread(target=self._read, daemon=True, name="flow-orders").start()

    def _read(self) -> None:
        for line in self._lines:
            order = json.loads(line)
            if "cancel" in order:
                self.cancelled.set()
            self.plans.put(order)  # a cancel too: it wakes who waits for a plan
        os._exit(UNWANTED)  # the parent keeps its end open for as long as it lives and wants the run


def remote_planner(orders: Orders, emit: Callable[[dict[str, Any]], None]) -> "Planner":
    """A planner that waits for the parent's plan, and looks up columns for it meanwhile."""
    from apps.engine.watch import Interrupted
    from apps.engine.wire import to_json
    from apps.language.checking.schemas import SchemaReader, SchemaUnavailable

    def plan(read_schema: SchemaReader) -> "Planned":
        while True:
            order = orders.plans.get()
            if "cancel" in order:
                raise Interrupted("cancelled")
            if "plan" in order:
                planned: Planned = pickle.loads(base64.b64decode(order["plan"]))  # noqa: S301  of our own parent
                return planned
            try:
                emit({"kind": "schema", "columns": to_json(read_schema(*order["sniff"]))})
            except SchemaUnavailable as error:
                emit({"kind": "schema", "message": error.message, "hint": error.hint})

    return plan


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
