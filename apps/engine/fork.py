"""How a flow's process comes into being: forked, put apart, and left to child.py.

Whoever forks must have one thread. This module imports next to nothing, since the command line forks as its very first
act: the child then imports the engine while the parent reads its arguments and makes the plan.
"""

import os
import signal
import sys

UNWANTED = 75  # exit status of a child whose parent is gone; nobody is left to read it
KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "TZ")


class Pipes:
    """Both ends of what connects a child with its parent, as file descriptors. `errors` is a file that both have."""

    __slots__ = ("errors", "events", "events_end", "orders", "orders_end")

    def __init__(self) -> None:
        self.orders_end, self.orders = os.pipe()  # the child's, the parent's
        self.events, self.events_end = os.pipe()  # the parent's, the child's
        self.errors = _unnamed_file()

    def close_ends(self) -> None:
        """The parent's part after the fork: an end that it kept would never be seen to close."""
        os.close(self.orders_end)
        os.close(self.events_end)


class Forked:
    """A child of this very process, with the parent's ends of its pipes."""

    def __init__(self) -> None:
        threads = sys.modules.get("threading")
        assert threads is None or threads.active_count() == 1, "a process with threads must use a nursery"
        self.pipes = Pipes()
        self.pid = fork(self.pipes.orders_end, self.pipes.events_end, self.pipes.errors)
        self.pipes.close_ends()
        self._status: int | None = None

    def wait(self) -> int | None:
        """The exit status; negative is a signal."""
        if self._status is None:
            self._status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self._status

    def kill(self) -> None:
        if self._status is None:
            os.kill(self.pid, signal.SIGKILL)


def fork(orders: int, events: int, errors: int) -> int:
    """Start a child with these ends of its pipes; its process id. The child never returns."""
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        isolate(parent)
        _keep_only(orders, events, errors)
        from apps.engine import child

        child.live(orders, events)
    except BaseException as error:  # noqa: BLE001  a fork must not go on as a second parent
        os.write(2, f"{type(error).__name__}: {error}\n".encode(errors="replace"))
    os._exit(1)


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


def _keep_only(orders: int, events: int, errors: int) -> None:
    """Close every file that came with the fork; standard output and error become `errors`."""
    os.dup2(errors, 1)
    os.dup2(errors, 2)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    before = 3
    for kept in sorted((orders, events)):
        os.closerange(before, kept)
        before = kept + 1
    os.closerange(before, max(before, os.sysconf("SC_OPEN_MAX")))


def _unnamed_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("errors", os.MFD_CLOEXEC)
    import tempfile

    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
