"""The programs that a stack consists of, as argument lists."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PARTS = ("web", "worker", "controller", "beat")


def web(host: str, port: int, *, believe_headers: bool = True, debugger: str = "") -> list[str]:
    """The portal. `debugger` (host:port) lets an editor attach there. Streams are open for ever, so a stop waits 1 s for
    them. Without `believe_headers` uvicorn believes nobody who says for whom he asks: flowcontrol.forwarded does."""
    return [
        sys.executable,
        *(("-m", "debugpy", "--listen", debugger) if debugger else ()),
        *("-m", "uvicorn", "flowcontrol.asgi:application"),
        *("--host", host, "--port", str(port)),
        *("--timeout-graceful-shutdown", "1", "--no-access-log", "--log-level", "warning"),
        *(() if believe_headers else ("--no-proxy-headers",)),
    ]


def worker(queues: list[str], concurrency: int) -> list[str]:
    return [
        *(sys.executable, "-m", "celery", "-A", "flowcontrol", "worker"),
        *("-Q", ",".join(queues), "--pool", "threads", "--concurrency", str(concurrency)),
        *("-n", "worker@%h", "--without-gossip", "--without-mingle", "--loglevel", "WARNING"),
    ]


def controller() -> list[str]:
    return [sys.executable, str(ROOT / "manage.py"), "controller"]


def beat() -> list[str]:
    return [
        *(sys.executable, "-m", "celery", "-A", "flowcontrol", "beat"),
        *("--pidfile", "", "--loglevel", "WARNING"),
    ]


def queues_of(wanted: list[str], *, recovery: bool) -> list[str]:
    """The queues that a worker takes: those wanted, without `recovery` where RECOVERY=inactive."""
    return [name for name in wanted if recovery or name != "recovery"]
