"""L2 environment: whether this environment's own parts are complete, writable, and keep what they are given."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from django.conf import settings
from django.core import checks as django_checks
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from apps.common.files import write_atomic
from apps.testruns.cases.checks import Skip, check
from apps.testruns.cases.model import Place

LEAST_DISK_BYTES = 1024**3
LEAST_MEMORY_BYTES = 512 * 1024**2
RELOAD_SECONDS = 15


@check("L2", title="the settings are complete and valid")
def settings_are_valid() -> None:
    found = [each for each in django_checks.run_checks() if each.is_serious()]
    assert not found, "; ".join(f"{each.id}: {each.msg} {each.hint or ''}".strip() for each in found)
    assert len(settings.SECRET_KEY) >= 32, "SECRET_KEY is shorter than 32 characters; leave it empty to have one made"
    assert settings.ALLOWED_HOSTS, "ALLOWED_HOSTS is empty: name the hosts that the portal answers for"
    assert "*" not in settings.ALLOWED_HOSTS, "ALLOWED_HOSTS has *: name the hosts that the portal answers for"


@check("L2", title="each variable of ours that is set is a known one")
def variables_are_known() -> None:
    sample = settings.BASE_DIR / ".env.example"
    if not sample.exists():
        raise Skip(".env.example is not shipped here")
    known = set(re.findall(r"^([A-Z][A-Z0-9_]+)=", sample.read_text(encoding="utf-8"), re.MULTILINE))
    ours = {name.removesuffix("_FILE") for name in os.environ if name.startswith(("FLOWCONTROL_", "FLOW_"))}
    unknown = sorted(ours - known)
    assert not unknown, f"{', '.join(unknown)} means nothing here: see .env.example for the names there are"


@check("L2", title="the database answers and has all its tables")
def database_is_migrated() -> None:
    try:
        executor = MigrationExecutor(connection)
        missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    finally:
        connection.close()  # this thread's own
    names = ", ".join(f"{migration.app_label}.{migration.name}" for migration, _ in missing[:5])
    assert not missing, f"{len(missing)} migrations are missing ({names}): run manage.py migrate"


@check("L2", title="the data folder can be written")
def data_is_writable(place: Place) -> None:
    _write_and_read(place.data)


@check("L2", title="the log folder can be written")
def logs_are_writable() -> None:
    _write_and_read(settings.LOGS)


@check("L2", title="the workspace can be written")
def workspace_is_writable(place: Place) -> None:
    _write_and_read(place.data / "workspaces" / place.environment)


def _write_and_read(folder: Path) -> None:
    path = folder / f".check-{os.getpid()}-{time.monotonic_ns()}"
    try:
        write_atomic(path, "kept")
        assert path.read_text(encoding="utf-8") == "kept", f"{folder} does not keep what is written"
    except OSError as error:
        raise AssertionError(f"{folder} cannot be written: {error.strerror}") from error
    finally:
        path.unlink(missing_ok=True)


@check("L2", title="there is room on the disk")
def disk_has_room(place: Place) -> None:
    free = shutil.disk_usage(place.data).free
    assert free >= LEAST_DISK_BYTES, f"{free // 1024**2} MiB are free in {place.data}; 1024 are needed: make room"


@check("L2", title="there is memory to work in")
def memory_is_free() -> None:
    path = Path("/proc/meminfo")
    if not path.exists():
        raise Skip("this system does not tell how much memory is free")
    found = re.search(r"^MemAvailable:\s+(\d+) kB", path.read_text(), re.MULTILINE)
    assert found, "/proc/meminfo does not say what is available"
    free = int(found[1]) * 1024
    assert free >= LEAST_MEMORY_BYTES, f"{free // 1024**2} MiB of memory are free; 512 are needed: stop something"


WRITER = """
import sqlite3, sys, time
db = sqlite3.connect(sys.argv[1]); db.execute("PRAGMA journal_mode=WAL"); db.execute("CREATE TABLE t (x)")
db.execute("INSERT INTO t VALUES ('kept')"); db.commit(); print("written", flush=True); time.sleep(60)
"""


@check("L2", title="what is committed survives the death of its process", timeout=20)
def state_survives(place: Place) -> None:
    import sqlite3

    with tempfile.TemporaryDirectory(dir=place.data, prefix=".check-") as folder:
        path = Path(folder) / "state.sqlite3"
        command = [sys.executable, "-S", "-c", WRITER, str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            said = writer.stdout.readline()
            writer.send_signal(signal.SIGKILL)
        assert said == "written\n", "the process that writes ended before it had written"
        with sqlite3.connect(path) as database:
            assert database.execute("SELECT x FROM t").fetchall() == [("kept",)], "a committed row was lost"


PAGE = "async def app(scope, receive, send):\n    if scope['type'] != 'http':\n        return\n    await send({{'type': 'http.response.start', 'status': 200}})\n    await send({{'type': 'http.response.body', 'body': b'{word}'}})\n"


@check("L2", title="a changed file is served without a restart by hand", environments=("dev",), timeout=60)
def hot_reload_works() -> str:
    """A server with reload on, a file of its own, a change: how long until the change is served."""
    with tempfile.TemporaryDirectory(prefix="reload-") as folder, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        page = Path(folder) / "page.py"
        page.write_text(PAGE.format(word="before"))
        command = [sys.executable, "-m", "uvicorn", "page:app", "--reload", "--port", str(port), "--log-level", "error"]
        with subprocess.Popen(command, cwd=folder, start_new_session=True, stderr=subprocess.DEVNULL) as server:
            try:
                _await_page(port, b"before")
                began = time.monotonic()
                _await_page(port, b"after", meanwhile=lambda: page.write_text(PAGE.format(word="after")))
                return f"live after {time.monotonic() - began:.1f} s"
            finally:
                os.killpg(server.pid, signal.SIGKILL)


def _await_page(port: int, wanted: bytes, meanwhile: Callable[[], object] = bool) -> None:
    """`meanwhile` is done again and again: a change before the server began to watch would not be one to it."""
    deadline = time.monotonic() + RELOAD_SECONDS
    said = b""
    while time.monotonic() < deadline:
        meanwhile()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2) as answer:
                said = answer.read()
        except (urllib.error.URLError, OSError):
            said = b""
        if said == wanted:
            return
        time.sleep(0.2)
    raise AssertionError(f"the server did not serve the change within {RELOAD_SECONDS} s")
