"""The real portal as `make run` starts it, in a folder of its own, for tests that kill things."""

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
PASSWORD = "correct horse battery"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for[Value](what: Callable[[], Value], seconds: float, why: str) -> Value:
    """The first true answer of `what`; fails with `why` when there is none in time."""
    deadline = time.monotonic() + seconds
    while True:
        if answer := what():
            return answer
        assert time.monotonic() < deadline, f"waited {seconds} s for {why}"
        time.sleep(0.05)


@dataclass(frozen=True)
class Process:
    parent: int
    began: int  # in ticks since the machine started: with the process id it names a process for ever
    command: str


def processes() -> dict[int, Process]:
    """What runs on this machine, without what has ended and only waits to be noticed."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            continue
        if fields[0] != "Z":
            found[int(entry.name)] = Process(int(fields[1]), int(fields[19]), command)
    return found


@dataclass
class Portal:
    """One `python -m flowcontrol.stack`. Everything that it does is in `folder`."""

    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    _seen: set[tuple[int, int]] = field(default_factory=set)
    _browser: urllib.request.OpenerDirector | None = None

    @property
    def environment(self) -> dict[str, str]:
        inherited = {key: value for key, value in os.environ.items() if key not in ("DATABASE_URL", "REDIS_URL")}
        return {
            **inherited,
            "FLOWCONTROL_DATA": str(self.folder / "data"),
            "FLOWCONTROL_LOGS": str(self.folder / "logs"),
            "FLOWCONTROL_ADMIN_PASSWORD": PASSWORD,
            "APP_PORT": str(self.port),
            "DJANGO_SETTINGS_MODULE": "flowcontrol.settings",
            **self.settings,
        }

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def said(self) -> str:
        path = self.folder / "said.txt"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def start(self, seconds: float = 120) -> "Portal":
        self.folder.mkdir(parents=True, exist_ok=True)
        before = self.said.count("ready after")
        with (self.folder / "said.txt").open("ab") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "flowcontrol.stack"], cwd=ROOT, env=self.environment, stdout=said, stderr=said
            )
        wait_for(
            lambda: self.said.count("ready after") > before or self._died(), seconds, f"ready; it said: {self.said}"
        )
        return self

    def _died(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"the portal ended: {self.said}"
        return False

    def start_expecting_refusal(self) -> subprocess.CompletedProcess[str]:
        """Start it where it cannot start; what it said is in `stderr`."""
        return subprocess.run(
            [sys.executable, "-m", "flowcontrol.stack"],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def interrupt(self, seconds: float = 30) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(seconds)

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.interrupt()

    # --- its processes ---------------------------------------------------------------------

    def processes(self) -> dict[int, Process]:
        """Every live process that the portal started, also one whose parent is gone: those once seen are remembered."""
        table = processes()
        if self.process:
            family = {self.process.pid}
            while grown := {pid for pid, each in table.items() if each.parent in family} - family:
                family |= grown
            self._seen |= {(pid, table[pid].began) for pid in family if pid in table}
        return {pid: each for pid, each in table.items() if (pid, each.began) in self._seen}

    def pid_of(self, part: str) -> int:
        """The process id of bus, web, worker, controller, beat, or of a flow that runs (`flow`); 0 if there is none."""
        ours = self.processes()
        if part == "flow":  # forked from the worker's nursery, whose command line it keeps
            nurseries = {pid for pid, each in ours.items() if "engine.nursery" in each.command}
            return next((pid for pid in nurseries if ours[pid].parent in nurseries), 0)
        mark = {
            "bus": "valkey-server",
            "web": "uvicorn",
            "worker": "flowcontrol worker",
            "controller": "manage.py controller",
            "beat": "flowcontrol beat",
        }[part]
        return next((pid for pid, each in ours.items() if mark in each.command), 0)

    def kill(self, part: str) -> int:
        """`kill -9` of the part; answers its process id."""
        pid = wait_for(lambda: self.pid_of(part), 20, f"a {part} to kill")
        os.kill(pid, signal.SIGKILL)
        return pid

    # --- what it knows ---------------------------------------------------------------------

    def manage(self, *arguments: str, check: bool = True, seconds: float = 120) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert not check or done.returncode == 0, (
            f"{arguments} ended with {done.returncode}: {done.stdout}{done.stderr}"
        )
        return done

    def json(self, *arguments: str) -> Any:
        return json.loads(self.manage(*arguments, "--json").stdout)

    def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Read the portal's database beside it, without any of its code."""
        connection = sqlite3.connect(f"file:{self.folder / 'data' / 'db.sqlite3'}?mode=ro", uri=True, timeout=20)
        try:
            return connection.execute(sql, values).fetchall()
        finally:
            connection.close()

    def ends_at(self, path: str) -> str:
        """The address that a stranger who opens `path` is led to."""
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            address: str = answer.url
            return address

    def page(self, path: str) -> str:
        """A page as the first admin sees it, without JavaScript."""
        if self._browser is None:
            self._browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
            form = self._read(f"{self.url}/admin/login/")
            token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', form)
            assert token is not None
            fields = {"username": "admin", "password": PASSWORD, "next": "/", "csrfmiddlewaretoken": token[1]}
            self._read(f"{self.url}/admin/login/", urllib.parse.urlencode(fields).encode())
        return self._read(self.url + path)

    def _read(self, address: str, data: bytes | None = None) -> str:
        assert self._browser is not None
        with self._browser.open(address, data, timeout=10) as answer:
            text: str = answer.read().decode()
            return text

    def get(self, path: str) -> int:
        try:
            with urllib.request.urlopen(self.url + path, timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0
