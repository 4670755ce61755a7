"""Fifteen checks of an environment, run in one process: python -m tests.bench.environment_checks. See bench_cases."""

import hashlib
import os
import shutil
import socket
import sqlite3
import sys
import tempfile
import zoneinfo
from pathlib import Path

from apps.testruns.cases.checks import Registry, Skip
from apps.testruns.cases.model import Place
from apps.testruns.cases.runner import run_layer

registry = Registry()
GIB = 1024**3


@registry.check("L2", title="Python is new enough")
def python_is_new() -> str:
    assert sys.version_info >= (3, 12)
    return sys.version


@registry.check("L2", title="The data folder can be written")
def data_is_writable(place: Place) -> None:
    path = place.data / "written"
    path.write_bytes(b"x" * 4096)
    with path.open("rb") as file:
        os.fsync(file.fileno())
    path.unlink()


@registry.check("L2", title="A file can be renamed over another")
def rename_replaces(place: Place) -> None:
    (place.data / "a").write_text("new")
    (place.data / "b").write_text("old")
    (place.data / "a").replace(place.data / "b")
    assert (place.data / "b").read_text() == "new"


@registry.check("L2", title="The disk has room")
def disk_has_room(place: Place) -> str:
    free = shutil.disk_usage(place.data).free
    assert free > GIB // 4, f"only {free:,} bytes are free"
    return f"{free:,} bytes are free"


@registry.check("L2", title="There is memory")
def memory_is_there() -> None:
    assert os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") > GIB


@registry.check("L2", title="Processors are there")
def processors_are_there() -> str:
    return f"{os.cpu_count()} processors"


@registry.check("L2", title="A port on loopback can be opened")
def loopback_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname(), timeout=1).close()


@registry.check("L2", title="localhost has an address")
def localhost_has_an_address() -> None:
    assert socket.getaddrinfo("localhost", 80)


@registry.check("L2", title="SQLite keeps what it is given")
def sqlite_works(place: Place) -> None:
    connection = sqlite3.connect(place.data / "check.sqlite3")
    with connection:
        connection.execute("CREATE TABLE IF NOT EXISTS t (x)")
        connection.execute("INSERT INTO t VALUES (1)")
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (1,)
    connection.close()


@registry.check("L2", title="git is installed")
def git_is_installed() -> str:
    return shutil.which("git") or _absent("git")


@registry.check("L2", title="Docker is installed")
def docker_is_installed() -> str:
    return shutil.which("docker") or _absent("docker")


@registry.check("L2", title="Time zones are known")
def zones_are_known() -> None:
    zoneinfo.ZoneInfo("Europe/Berlin")


@registry.check("L2", title="Text is UTF-8")
def text_is_utf8() -> None:
    assert sys.getfilesystemencoding() == "utf-8"


@registry.check("L2", title="SHA-256 is what it was")
def digest_is_right() -> None:
    assert hashlib.sha256(b"").hexdigest().startswith("e3b0c44298fc1c14")


@registry.check("L2", title="Enough files may be open")
def files_may_be_open() -> None:
    assert os.sysconf("SC_OPEN_MAX") >= 256


def _absent(program: str) -> str:
    raise Skip(f"{program} is not installed")


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        outcome = run_layer("L2", registry.cases("dev"), Place("dev", Path(name)))
    print(outcome.passed, outcome.failed, outcome.skipped, outcome.seconds)
    return 1 if outcome.failed else 0


if __name__ == "__main__":
    sys.exit(main())
