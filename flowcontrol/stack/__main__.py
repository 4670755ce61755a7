"""`python -m flowcontrol.stack`: start the portal, keep it running, stop it on Ctrl-C."""

import argparse
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import FrameType

from django.core.exceptions import ImproperlyConfigured
from rich.console import Console
from rich.text import Text

from flowcontrol import bus, environment
from flowcontrol.stack import bus_server, chosen, parts
from flowcontrol.stack.children import Child
from flowcontrol.stack.parts import ROOT

READY_SECONDS = 90
console = Console(stderr=True, highlight=False)


class CannotStartError(Exception):
    """The portal cannot start; the message says why and what to do."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="flowcontrol.stack", description=__doc__)
    parser.add_argument("--host", default=os.environ.get("APP_HOST", "127.0.0.1"), help="address to listen on")
    parser.add_argument(
        "--only", default="", metavar="PARTS", help=f"these alone, for a container: {', '.join(parts.PARTS)}"
    )
    parser.add_argument("--queues", default="", metavar="NAMES", help="with --only: what the worker takes, by comma")
    parser.add_argument("--lock", action="store_true", help="with --only: let no other stack use the data folder")
    options = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        if options.only:
            return run_chosen(options)
        Stack(host=options.host).run()
    except (CannotStartError, ImproperlyConfigured) as error:
        console.print("[bold red]cannot start:[/]", Text(str(error)))
        return 1
    return 0


def run_chosen(options: argparse.Namespace) -> int:
    """Chosen parts, in a container. Raises CannotStartError, ImproperlyConfigured."""
    if not environment.text("REDIS_URL"):
        raise CannotStartError("parts of a stack meet on a bus, and none is named. Set REDIS_URL=redis://host:6379/0.")
    try:
        names = chosen.names_of(options.only)
    except ValueError as error:
        raise CannotStartError(f"--only {options.only}: {error}.") from error
    some = chosen.ChosenParts(names, host=options.host, queues=[each for each in options.queues.split(",") if each])
    return some.run(lambda: only_stack(some.data) if options.lock else nullcontext())


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@contextmanager
def only_stack(data: Path) -> Iterator[None]:
    """Hold the data folder: one stack may run on it. The lock is kept by a program that takes this one's place (exec).

    Raises CannotStartError with who has it.
    """
    path = data / "run" / "stack.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.open("a+")
    except OSError as error:
        raise CannotStartError(
            f"{path} cannot be written: {error.strerror}. Make the folder writable or set FLOWCONTROL_DATA to another."
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise CannotStartError(
                f"a portal already runs on {data} (process {lock.read().strip() or 'unknown'}). "
                "Use it, stop it with Ctrl-C there, or set FLOWCONTROL_DATA and APP_PORT for a second one."
            ) from None
        os.set_inheritable(lock.fileno(), True)
        lock.truncate(0)
        lock.write(_who())
        lock.flush()
        yield


def _who() -> str:
    """This process; in a container its number alone would say nothing to who reads it outside."""
    inside = Path("/.dockerenv").exists()
    return f"{os.getpid()} in the container {socket.gethostname()}" if inside else str(os.getpid())


class Stack:
    """The processes of one data folder. One stack may run per folder; a second start says who has it."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.port = environment.number("APP_PORT", 8080, 1, 65535)
        self.data = environment.folder("FLOWCONTROL_DATA", ROOT / "data")
        self.logs = environment.folder("FLOWCONTROL_LOGS", ROOT / "logs")
        self.workers = environment.number("FLOW_WORKERS", 2, 1, 64)
        self.recovery = environment.choice("RECOVERY", ("active", "inactive"), "active") == "active"
        self.queue = "flows." + environment.text("FLOWCONTROL_ENV", "dev")
        self.has_docker = shutil.which("docker") is not None
        self.embedded_bus = not environment.text("REDIS_URL")
        self.children: list[Child] = []

    @property
    def url(self) -> str:
        return f"http://{'localhost' if self.host in ('127.0.0.1', '0.0.0.0') else self.host}:{self.port}"  # noqa: S104

    def run(self) -> None:
        """Until Ctrl-C. Whatever ends it, the children are stopped."""
        with only_stack(self.data):
            try:
                began = time.monotonic()
                self._check_port()
                if self.embedded_bus:
                    self._start_bus()
                said = self._prepare()
                for child in (self._worker(), self._controller(), self._beat(), self._web()):
                    self._start(child)
                self._await_ready()
                self._greet(said, time.monotonic() - began)
                self._mind()
            except KeyboardInterrupt:
                console.print("\nstopping …")
            finally:
                self._ignore_more_signals()
                self._stop_all()
                console.print("stopped; nothing is left running.")

    # --- starting --------------------------------------------------------------------------

    def _check_port(self) -> None:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((self.host, self.port))
            except OSError as error:
                raise CannotStartError(
                    f"port {self.port} on {self.host} cannot be had: {error.strerror}. Stop what uses it, or choose another: APP_PORT=8090 make run"
                ) from error

    def _start_bus(self) -> None:
        try:
            server = bus_server.find_server()
        except FileNotFoundError as error:
            raise CannotStartError(str(error)) from error
        path, folder = bus.socket_path(self.data), self.data / "bus"
        bus_server.prepare_folders(path, folder)
        child = self._child("bus", bus_server.command(server, path, folder))
        self._start(child)
        self._wait(child, lambda: bus_server.answers(path), "the bus", 20)

    def _prepare(self) -> dict[str, str]:
        console.print("  preparing tables, accounts, examples …")
        process = subprocess.Popen(
            [sys.executable, "-m", "flowcontrol.stack.prepare"],
            cwd=ROOT,
            env=self._environment("prepare"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            out, err = process.communicate()
        finally:
            process.kill()
        if process.returncode:
            raise CannotStartError("the database could not be prepared:\n" + "\n".join(err.splitlines()[-12:]))
        said: dict[str, str] = json.loads(out.splitlines()[-1])
        return said

    def _web(self) -> Child:
        return self._child("web", parts.web(self.host, self.port))

    def _worker(self) -> Child:
        """Where Docker is installed it also takes the work of stacks, with a thread more, so that runs do not wait for it."""
        wanted = [self.queue, "control", "recovery", *(["docker"] if self.has_docker else [])]
        queues = parts.queues_of(wanted, recovery=self.recovery)
        return self._child("worker", parts.worker(queues, self.workers + 1 + self.has_docker))

    def _controller(self) -> Child:
        return self._child("controller", parts.controller())

    def _beat(self) -> Child:
        return self._child("beat", parts.beat())

    def _child(self, name: str, command: list[str]) -> Child:
        return Child(name, command, self._environment(name), self.logs / f"{name}.out")

    def _environment(self, name: str) -> dict[str, str]:
        return {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "FLOWCONTROL_PROCESS": name,
            "FLOWCONTROL_DATA": str(self.data),
            "FLOWCONTROL_LOGS": str(self.logs),
        }

    def _start(self, child: Child) -> None:
        self.children.append(child)
        child.start()
        console.print(f"  started {child.name}", style="dim")

    def _await_ready(self) -> None:
        self._wait(self.children[-1], self._is_ready, "the portal", READY_SECONDS)

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self._loopback()}:{self.port}/readyz", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def _loopback(self) -> str:
        return "127.0.0.1" if self.host == "0.0.0.0" else self.host  # noqa: S104

    def _wait(self, child: Child, done: Callable[[], bool], what: str, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not done():
            dead = next((each for each in self.children if each.pid is None), None)
            if dead is not None and dead.process is not None:
                raise CannotStartError(f"{dead.name} died while starting:\n" + "\n".join(dead.last_lines(12)))
            if time.monotonic() > deadline:
                raise CannotStartError(f"{what} did not answer within {seconds:g} s. See {child.output}.")
            time.sleep(0.1)

    def _greet(self, said: dict[str, str], seconds: float) -> None:
        console.print(f"\n[bold green]ready[/] after {seconds:.1f} s   [bold]{self.url}[/]")
        if said.get("password"):
            console.print(f"  log in as [bold]{said['admin']}[/], password [bold]{said['password']}[/]")
            console.print("  (shown this once; change it on the page behind your name)", style="dim")
        console.print(f"  data in {self.data}, logs in {self.logs}; Ctrl-C stops all of it\n", style="dim")

    # --- running and stopping --------------------------------------------------------------

    def _mind(self) -> None:
        while True:
            for child in self.children:
                if sentence := child.mend():
                    console.print(f"[yellow]{sentence}[/]")
            time.sleep(0.25)

    def _ignore_more_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)

    def _stop_all(self) -> None:
        """Ask all but the bus at once, then wait for each; the bus goes last, since the others say goodbye to it."""
        for child in self.children:
            if child.name != "bus":
                child.ask_to_stop()
        for child in reversed(self.children):
            child.stop()


if __name__ == "__main__":
    sys.exit(main())
