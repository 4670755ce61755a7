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
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from django.core.exceptions import ImproperlyConfigured
from rich.console import Console
from rich.text import Text

from flowcontrol import bus, environment
from flowcontrol.stack import bus_server
from flowcontrol.stack.children import Child

ROOT = Path(__file__).resolve().parent.parent.parent
READY_SECONDS = 90
console = Console(stderr=True, highlight=False)


class CannotStartError(Exception):
    """The portal cannot start; the message says why and what to do."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="flowcontrol.stack", description=__doc__)
    parser.add_argument("--host", default=os.environ.get("APP_HOST", "127.0.0.1"), help="address to listen on")
    options = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        Stack(host=options.host).run()
    except (CannotStartError, ImproperlyConfigured) as error:
        console.print("[bold red]cannot start:[/]", Text(str(error)))
        return 1
    return 0


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


class Stack:
    """The processes of one data folder. One stack may run per folder; a second start says who has it."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.port = environment.number("APP_PORT", 8080, 1, 65535)
        self.data = environment.folder("FLOWCONTROL_DATA", ROOT / "data")
        self.logs = environment.folder("FLOWCONTROL_LOGS", ROOT / "logs")
        self.workers = environment.number("FLOW_WORKERS", 2, 1, 64)
        self.queue = "flows." + environment.text("FLOWCONTROL_ENV", "dev")
        self.has_docker = shutil.which("docker") is not None
        self.embedded_bus = not environment.text("REDIS_URL")
        self.children: list[Child] = []

    @property
    def url(self) -> str:
        return f"http://{'localhost' if self.host in ('127.0.0.1', '0.0.0.0') else self.host}:{self.port}"  # noqa: S104

    def run(self) -> None:
        """Until Ctrl-C. Whatever ends it, the children are stopped."""
        with self._only_stack():
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

    @contextmanager
    def _only_stack(self) -> Iterator[None]:
        path = self.data / "run" / "stack.lock"
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
                    f"a portal already runs on {self.data} (process {lock.read().strip() or 'unknown'}). "
                    "Use it, stop it with Ctrl-C there, or set FLOWCONTROL_DATA and APP_PORT for a second one."
                ) from None
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            yield

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
        return self._child(
            "web",
            [
                *(sys.executable, "-m", "uvicorn", "flowcontrol.asgi:application"),
                *("--host", self.host, "--port", str(self.port)),
                *("--timeout-graceful-shutdown", "1", "--no-access-log", "--log-level", "warning"),
            ],
        )

    def _worker(self) -> Child:
        """Where Docker is installed it also takes the work of stacks, with a thread more, so that runs do not wait for it."""
        queues = f"{self.queue},control,recovery" + (",docker" if self.has_docker else "")
        threads = self.workers + 1 + self.has_docker
        return self._child(
            "worker",
            [
                *(sys.executable, "-m", "celery", "-A", "flowcontrol", "worker"),
                *("-Q", queues, "--pool", "threads", "--concurrency", str(threads)),
                *("-n", "worker@%h", "--without-gossip", "--without-mingle", "--loglevel", "WARNING"),
            ],
        )

    def _controller(self) -> Child:
        return self._child("controller", [sys.executable, str(ROOT / "manage.py"), "controller"])

    def _beat(self) -> Child:
        return self._child(
            "beat",
            [
                *(sys.executable, "-m", "celery", "-A", "flowcontrol", "beat"),
                *("--pidfile", "", "--loglevel", "WARNING"),
            ],
        )

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
