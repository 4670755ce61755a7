"""Real servers for tests: a web server in a thread, a bus in a process, and a reader of event streams."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import uvicorn
from django.core.asgi import get_asgi_application

from flowcontrol.stack import bus_server


class Bus:
    """The embedded server on a socket in `folder`; it can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "bus.sock"
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def start(self) -> None:
        bus_server.prepare_folders(self.socket, self.folder / "data")
        self.process = subprocess.Popen(
            bus_server.command(bus_server.find_server(), self.socket, self.folder / "data"), stdout=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 20
        while not bus_server.answers(self.socket):
            assert time.monotonic() < deadline, "the bus does not answer"
            time.sleep(0.02)

    def kill(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()


@contextmanager
def web_server() -> Iterator[int]:
    """The portal's ASGI application on a free port, which it yields."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    config = uvicorn.Config(
        get_asgi_application(), host="127.0.0.1", port=port, log_level="warning", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started:
        assert time.monotonic() < deadline, "the web server does not start"
        time.sleep(0.02)
    yield port
    server.should_exit = True
    thread.join(10)


class Stream:
    """One reader of a stream. As a browser does, it remembers the id of the last event."""

    def __init__(self, port: int, path: str, cookie: str = "", last: str = "", seconds: float = 15) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
        headers = {"Cookie": f"sessionid={cookie}"} | ({"Last-Event-ID": last} if last else {})
        self.connection.request("GET", path, headers=headers)
        self.response = self.connection.getresponse()
        self.last = last
        self.ended = False

    @property
    def status(self) -> int:
        return self.response.status

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.response.close()
        self.connection.close()

    def read(self, count: int) -> list[dict[str, Any]]:
        """The next `count` events of the job, or fewer if the stream ends. Fails by timeout when none comes."""
        found: list[dict[str, Any]] = []
        kind = ""
        while len(found) < count:
            line = self.response.readline().decode()
            if not line:
                self.ended = True
                break
            name, _, value = line.rstrip("\n").partition(": ")
            if name == "event":
                kind = value
            elif name == "id":
                self.last = value
            elif name == "data" and not kind.startswith(("stream-", "keep-")):
                found.append({"kind": kind, **json.loads(value)})
        return found
