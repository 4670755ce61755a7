"""A changed service going in under load: ours beside plain `docker compose up -d --wait`, in one run; bad and good releases.

    .venv/bin/python -m tests.bench.bench_deploy [--rate 100] [--good 5] [--assert]

Requests come at a fixed rate over loopback, each on a new connection, whether or not earlier ones were answered. The service
needs two seconds to boot. It needs a Docker Engine, and works in a data folder and a compose project of its own.
`--assert` exits with 1 when a request of ours failed or took a second, a deployment took more than six seconds beside its
watch window, a bad release was taken back later than sixty seconds after the switch, or a good one was taken back.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import django
from rich.console import Console
from rich.table import Table

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "flowcontrol.settings")
django.setup()

from tests.environments.bringing import SLEEPER, WEB, Stack  # noqa: E402  it knows models
from tests.environments.containers.projects import docker  # noqa: E402
from tests.stack.portal import ROOT, Portal, free_port  # noqa: E402

SLOWEST, DEPLOY, REVERT = 1.0, 6.0, 60.0  # seconds
BOOT = "sleep 2; mkdir -p /www; echo $$WORD > /www/index.html; exec httpd -f -p 8000 -h /www"
# Well for a while, then nothing but errors.
TURNS = (
    "i=0; while true; do i=$$((i+1)); if [ $$i -lt 40 ]; then s='200 OK'; else s='500 Wrong'; fi;"
    ' printf "HTTP/1.0 $$s\\r\\nContent-Length: 3\\r\\n\\r\\nbad" | nc -l -p 8000; done'
)
HEALTHY = {**WEB["healthcheck"], "start_interval": "200ms"}


@dataclass
class Load:
    """Requests at a fixed rate until it is left."""

    port: int
    rate: int
    slowest: float = 0.0
    failed: int = 0
    sent: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Load":
        self._pool = ThreadPoolExecutor(64)
        self._thread = threading.Thread(target=self._send)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._pool.shutdown()

    def _send(self) -> None:
        began, number = time.monotonic(), 0
        while not self._stop.wait(max(0.0, began + number / self.rate - time.monotonic())):
            number += 1
            self._pool.submit(self._ask, began + number / self.rate)

    def _ask(self, due: float) -> None:
        ok = True
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=5) as answer:
                answer.read()
        except OSError:
            ok = False
        with self._lock:
            self.sent += 1
            self.failed += not ok
            self.slowest = max(self.slowest, time.monotonic() - due)


class Shop:
    """A stack with a data folder of its own, deployed by commands as a person would."""

    def __init__(self, folder: Path) -> None:
        self.portal, self.port = Portal(folder), free_port()
        web = {**WEB, "command": ["sh", "-c", BOOT], "healthcheck": HEALTHY}
        web["labels"] = {"flowcontrol.route": f"{self.port}:8000"}
        self.stack = Stack(folder / "compose.yaml", {"web": web, "worker": dict(SLEEPER)})
        self.word = 0

    def prepare(self, watch_seconds: int) -> None:
        self.stack.write()
        self.run("migrate", "--verbosity", "0")
        self.run("environment", "add", "shop", "--compose", str(self.stack.file), "--project", self.stack.project)
        self.watch(watch_seconds)

    def watch(self, seconds: int) -> None:
        self.run("environment", "change", "shop", "--watch-seconds", str(seconds))

    def run(self, *words: str) -> Any:
        command = [sys.executable, "manage.py", *words]
        done = subprocess.run(
            command, cwd=ROOT, env=self.portal.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode in (0, 1), done.stderr
        return json.loads(done.stdout) if "--json" in words else None

    def release(self, **more: Any) -> str:
        self.word += 1
        before = self.stack.services["web"]
        self.stack.services["web"] = {**before, "environment": {"WORD": str(self.word)}, **more}
        self.stack.write()
        name = str(self.run("release", "create", "shop", "--json")["release"])
        self.stack.services["web"] = before
        return name

    def deploy(self, release: str) -> dict[str, Any]:
        return dict(self.run("deployment", "start", "shop", "--release", release, "--wait", "--json"))


@dataclass
class Row:
    name: str
    seconds: float
    load: Load


def ours(shop: Shop, rate: int) -> Row:
    shop.deploy(shop.release())
    release = shop.release()
    with Load(shop.port, rate) as load:
        done = shop.deploy(release)
    assert done["status"] == "succeeded", done
    return Row("ours", sum(row["seconds"] or 0 for row in done["stages"] if row["name"] != "watch"), load)


def plain(folder: Path, rate: int) -> Row:
    """The peer: the same service, published by itself, made anew where it stands."""
    port = free_port()
    web = {**WEB, "command": ["sh", "-c", BOOT], "healthcheck": HEALTHY, "ports": [f"127.0.0.1:{port}:8000"]}
    stack = Stack(folder / "compose.yaml", {"web": {**web, "environment": {"WORD": "one"}}})
    up = ["docker", "compose", "--project-name", stack.project, "--file", str(stack.file), "up", "--detach", "--wait"]
    try:
        stack.write()
        subprocess.run(up, check=True, capture_output=True)
        stack.services["web"]["environment"] = {"WORD": "two"}
        stack.write()
        with Load(port, rate) as load:
            time.sleep(0.5)
            began = time.monotonic()
            subprocess.run(up, check=True, capture_output=True)
            seconds = time.monotonic() - began
            time.sleep(0.5)
        return Row("docker compose up -d --wait", seconds, load)
    finally:
        stack.remove()


def bad(shop: Shop, rate: int) -> float:
    """Seconds from the switch to a bad release until it was taken back."""
    shop.watch(50)
    release = shop.release(command=["sh", "-c", TURNS], healthcheck={"disable": True})
    with Load(shop.port, rate):
        done = shop.deploy(release)
    assert done["status"] == "reverted", done
    code = (
        "import json; from apps.deployments.models import Deployment; job = Deployment.objects.latest('pk'); "
        "print(json.dumps([job.switched_at.isoformat(), job.finished_at.isoformat()]))"
    )
    said = subprocess.run(
        [sys.executable, "manage.py", "shell", "--verbosity", "0", "--command", code],
        cwd=ROOT,
        env=shop.portal.environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    switched, ended = (datetime.fromisoformat(each) for each in json.loads(said.splitlines()[-1]))
    return (ended - switched).total_seconds()


def good(shop: Shop, rate: int, number: int) -> list[str]:
    """How each of so many good releases ended."""
    shop.watch(3)
    found = []
    for _ in range(number):
        release = shop.release()
        with Load(shop.port, rate):
            found.append(str(shop.deploy(release)["status"]))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rate", type=int, default=100, help="requests a second")
    parser.add_argument("--good", type=int, default=5, help="good releases, one after the other")
    parser.add_argument("--assert", dest="check", action="store_true", help="exit with 1 above a limit")
    arguments = parser.parse_args()
    if subprocess.run(["docker", "version"], capture_output=True, check=False).returncode:
        Console(stderr=True).print("No Docker Engine answers: nothing was measured.")
        return 0
    docker("version")
    with tempfile.TemporaryDirectory() as name:
        shop = Shop(Path(name) / "ours")
        (Path(name) / "ours").mkdir()
        (Path(name) / "plain").mkdir()
        try:
            shop.prepare(watch_seconds=5)
            rows = [ours(shop, arguments.rate), plain(Path(name) / "plain", arguments.rate)]
            reverted = bad(shop, arguments.rate)
            ended = good(shop, arguments.rate, arguments.good)
        finally:
            shop.stack.remove()
    return _tell(rows, reverted, ended, arguments.check)


def _tell(rows: list[Row], reverted: float, ended: list[str], check: bool) -> int:
    table = Table("a changed service", "seconds", "requests", "failed", "slowest", box=None)
    for row in rows:
        failed, slowest = str(row.load.failed), f"{row.load.slowest:.2f} s"
        table.add_row(row.name, f"{row.seconds:.1f}", str(row.load.sent), failed, slowest)
    console = Console()
    console.print(table)
    console.print(f"a bad release was taken back {reverted:.1f} s after the switch")
    console.print(f"{ended.count('succeeded')} of {len(ended)} good releases serve")
    mine = rows[0]
    bounds = {
        f"{mine.load.failed} requests failed": mine.load.failed > 0,
        f"a request took {mine.load.slowest:.2f} s": mine.load.slowest > SLOWEST,
        f"a deployment took {mine.seconds:.1f} s beside its watch window": mine.seconds > DEPLOY,
        f"a bad release was taken back after {reverted:.0f} s": reverted > REVERT,
        "a good release was taken back": ended.count("succeeded") < len(ended),
    }
    broken = [words for words, is_broken in bounds.items() if check and is_broken]
    for words in broken:
        Console(stderr=True).print(f"above its limit: {words}.")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
