"""A small warm process from which the children of a worker are forked, so that a run starts in milliseconds.

Importing DuckDB and the grammar takes half a second; forking a process that has them takes two thousandths.
A worker itself cannot fork safely, since it has threads, so it keeps a nursery: one thread, no DuckDB database open,
a clean environment. The nursery serves its worker alone, over a socket; when that closes, because the worker ended in
whatever way, the nursery kills its children and ends.

For each run the worker sends four descriptors: the child's pipes, and one end of a *link*. On the link the nursery
answers with the child's process id and, when it has ended, its exit status (negative: a signal), a line each. The
worker may write `k` to have the child killed; closing the link does the same.
"""

import contextlib
import gc
import importlib
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

from apps.common import clock
from apps.engine.errors import ProcessDied
from apps.engine.fork import KEPT_VARIABLES, Pipes, fork

# With them come DuckDB and the whole language.
PRELOADED = ("ctypes", "apps.engine.child", "apps.engine.run", "apps.language.params")
WARMING = """flow warm {} source s = csv("s.csv") { columns: { a: int } }
step t = s | where a > 1 | group by a { n = count() } sink t -> csv("t.csv")"""
ROOT = Path(__file__).resolve().parents[2]  # the folder that holds `apps`

# --- the worker's side -----------------------------------------------------------------------


class Nursery:
    """The nursery of this process. `current()` gives it, started if need be."""

    _current: "Nursery | None" = None
    _guard = threading.Lock()

    def __init__(self) -> None:
        mine, its = socket.socketpair()
        self.owner = os.getpid()
        self._socket = mine
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-s", "-m", "apps.engine.nursery", str(its.fileno())],
            stdin=subprocess.DEVNULL,
            pass_fds=(its.fileno(),),
            env=_environment(),
            cwd="/",
            start_new_session=True,  # a Ctrl-C at the terminal is the worker's to handle
        )
        its.close()

    @classmethod
    def current(cls) -> "Nursery":
        """This process's own: one that came with a fork belongs to the parent."""
        with cls._guard:
            if cls._current is None or not cls._current._is_mine_and_alive():
                cls._current = cls()
            return cls._current

    def _is_mine_and_alive(self) -> bool:
        return self.owner == os.getpid() and self._process.poll() is None

    def spawn(self, pipes: Pipes) -> socket.socket:
        """Fork a child with these pipes; our end of its link. Raises OSError if the nursery is gone."""
        mine, its = socket.socketpair()
        with its:
            socket.send_fds(self._socket, [b"f"], [pipes.orders_end, pipes.events_end, pipes.errors, its.fileno()])
        return mine

    def close(self) -> None:
        """End the nursery and what lives in it."""
        self._socket.close()
        self._process.wait()


def _leave_to_parent() -> None:
    """After a fork: the nursery is the parent's. Were its socket kept here, it would not notice the parent's end."""
    if Nursery._current is not None:
        Nursery._current._socket.close()
        Nursery._current = None


os.register_at_fork(after_in_child=_leave_to_parent)


def spawn(pipes: Pipes) -> socket.socket:
    """Fork a child in this process's nursery, in a new one if that has died since it was last used."""
    for _ in range(2):
        nursery = Nursery.current()
        try:
            return nursery.spawn(pipes)
        except OSError:
            nursery.close()
    raise ProcessDied(
        "The process from which flows are started ends as soon as it begins.",
        hint="See the worker's log for what it said; a missing library or too little memory are the usual causes.",
    )


def warm() -> None:
    """Start this process's nursery now, so that the first run does not wait for it."""
    Nursery.current()


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    return {**kept, "PYTHONPATH": str(ROOT), "MALLOC_ARENA_MAX": "2"}


# --- the nursery's side ----------------------------------------------------------------------


class _Keeper:
    """The nursery's loop. One thread: it forks."""

    def __init__(self, worker: socket.socket) -> None:
        self.worker = worker
        self.links: dict[int, socket.socket] = {}  # by the child's process id
        self.selector = selectors.DefaultSelector()
        self.selector.register(worker, selectors.EVENT_READ)
        wake, woken = os.pipe()
        os.set_blocking(woken, False)
        os.set_blocking(wake, False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.set_wakeup_fd(woken)
        self.wake = wake
        self.selector.register(wake, selectors.EVENT_READ)

    def serve(self) -> None:
        while True:
            for key, _ in self.selector.select():
                if key.fileobj == self.wake:
                    os.read(self.wake, 1024)
                    self._reap()
                elif key.fileobj is self.worker:
                    if not self._fork():
                        return
                else:
                    self._obey(key.data)

    def _fork(self) -> bool:
        """Do as the worker asks; False when it is gone."""
        request, descriptors, _, _ = socket.recv_fds(self.worker, 1, 4)
        if not request:
            return False
        orders, events, errors, link_end = descriptors
        link = socket.socket(fileno=link_end)
        pid = fork(orders, events, errors)
        for each in (orders, events, errors):
            os.close(each)
        self.links[pid] = link
        self.selector.register(link, selectors.EVENT_READ, pid)
        _tell(link, pid)
        return True

    def _obey(self, pid: int) -> None:
        """The worker wrote `k`, or closed its end: either way the run is not wanted."""
        link = self.links.get(pid)
        if link is None:
            return
        if not link.recv(1):
            self.selector.unregister(link)
        os.kill(pid, signal.SIGKILL)  # it is ours and not reaped, so the number is still its own

    def _reap(self) -> None:
        while self.links:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            link = self.links.pop(pid)
            with contextlib.suppress(KeyError):
                self.selector.unregister(link)
            _tell(link, os.waitstatus_to_exitcode(status))
            link.close()


def _tell(link: socket.socket, number: int) -> None:
    with contextlib.suppress(OSError):  # the worker does not listen any more
        link.sendall(b"%d\n" % number)


def _preload() -> None:
    """Import, and build, all that a run needs, once for all of them: a plan is made and compiled, nothing is run."""
    for name in PRELOADED:
        importlib.import_module(name)
    from apps.engine.compile import compile_plan
    from apps.engine.planning import plan_of
    from apps.language.checking.schemas import no_schemas

    plan = plan_of(WARMING, "", no_schemas).plan
    compile_plan(plan, params={}, logical_time=clock.now(), scans={"s": "s"})
    gc.collect()
    gc.freeze()  # so that a child's collector does not copy the pages it shares with us


def main(descriptor: int) -> None:
    worker = socket.socket(fileno=descriptor)
    _preload()
    _Keeper(worker).serve()
    # The worker is gone. Its children die with this process, by the kernel or by the end of their orders.
    os._exit(0)  # DuckDB's binding complains at an ordinary end


if __name__ == "__main__":
    main(int(sys.argv[1]))
