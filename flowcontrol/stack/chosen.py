"""`--only web,worker`: chosen parts of the stack, for containers. What they print goes to the container's log.

One part becomes the program itself (exec); several, or HOT_RELOAD, have a supervisor that restarts what dies. The bus
is elsewhere. The web part prepares tables, accounts and examples first; all others wait until that is done, in whatever
order the containers start.
"""

import os
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from rich.console import Console

from flowcontrol import environment
from flowcontrol.stack import parts, prepare
from flowcontrol.stack.children import Child
from flowcontrol.stack.reload import Changes

LOOK_SECONDS = 0.25
# After a change the portal comes first, since somebody looks at it; what runs beside it starts again a little later.
LATER_SECONDS = 4.0


class ChosenParts:
    """Parts of one stack in this process's container.

    names:  of parts.PARTS, in the order in which they start.
    queues: of the worker; the environment's own and `control`, `recovery` when empty.
    """

    def __init__(self, names: list[str], *, host: str, queues: list[str]) -> None:
        self.names = names
        self.host = host
        self.data = environment.folder("FLOWCONTROL_DATA", parts.ROOT / "data")
        self.reload = environment.choice("HOT_RELOAD", ("true", "false"), "false") == "true"
        recovery = environment.choice("RECOVERY", ("active", "inactive"), "active") == "active"
        own = "flows." + environment.text("FLOWCONTROL_ENV", "dev")
        self.queues = parts.queues_of(queues or [own, "control", "recovery"], recovery=recovery)
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)

    def run(self, lock: Callable[[], AbstractContextManager[None]]) -> int:
        """Until told to stop. `lock` is entered first: it holds the data folder, or nothing."""
        with lock():
            if status := self._prepare():
                return status
            if len(self.names) == 1 and not self.reload:
                self._become(self.names[0])
            self._supervise()
        return 0

    def _prepare(self) -> int:
        """In a process of its own, which gives its memory back. What it complains of is seen in the log."""
        command = [sys.executable, "-m", "flowcontrol.stack.prepare"]
        if "web" in self.names:
            command += ["--password-file", str(self.data / prepare.PASSWORD_FILE)]
        else:
            command += ["--wait"]
        return os.waitstatus_to_exitcode(os.waitpid(self._spawn(command), 0)[1])

    def _spawn(self, command: list[str]) -> int:
        return os.posix_spawn(command[0], command, self._environment())

    def _become(self, name: str) -> None:
        sys.stderr.flush()
        os.execve(sys.executable, self._command(name), self._environment())  # noqa: S606 - our own argument list

    def _supervise(self) -> None:
        children = [Child(name, self._command(name), self._environment(), None) for name in self.names]
        changes = Changes(parts.ROOT) if self.reload else None
        try:
            for child in children:
                child.start()
            while True:
                for child in children:
                    if sentence := child.mend():
                        self.console.print(sentence)
                if changes:
                    self._reload(changes, children)
                time.sleep(LOOK_SECONDS)
        except KeyboardInterrupt:
            pass
        finally:
            stop(children)

    def _reload(self, changes: Changes, children: list[Child]) -> None:
        changed = changes.take()
        if not changed:
            return
        if "web" not in self.names:
            time.sleep(LATER_SECONDS)
            changed += changes.take()
        self.console.print(f"changed: {', '.join(changed[:5])}; starting again: {', '.join(self.names)}")
        restart(children)

    def _command(self, name: str) -> list[str]:
        if name == "web":
            port = environment.number("APP_PORT", 8080, 1, 65535)
            debugger = environment.text("DEBUGGER_LISTEN")
            return parts.web(self.host, port, believe_headers=False, debugger=debugger)
        if name == "worker":
            return parts.worker(self.queues, environment.number("FLOW_WORKERS", 2, 1, 64) + 1)
        return parts.controller() if name == "controller" else parts.beat()

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(parts.ROOT), "PYTHONUNBUFFERED": "1"}


def stop(children: list[Child]) -> None:
    """Ask all at once, then wait for each."""
    for child in children:
        child.ask_to_stop()
    for child in children:
        child.stop()


def restart(children: list[Child]) -> None:
    """With the code as it is now. A run that a worker cannot end in time is taken up again by the next."""
    stop(children)
    for child in children:
        child.start_afresh()


def names_of(text: str) -> list[str]:
    """The parts of a comma list, in the order of PARTS. Raises ValueError for one that there is not."""
    asked = {name.strip() for name in text.split(",") if name.strip()}
    if unknown := sorted(asked.difference(parts.PARTS)):
        raise ValueError(f"there is no part {', '.join(unknown)}; the parts are {', '.join(parts.PARTS)}")
    return [name for name in parts.PARTS if name in asked]
