"""Where the bus (Redis) is: a server that REDIS_URL names, or the embedded one on a unix socket."""

import hashlib
import os
import tempfile
from pathlib import Path

# The kernel's limit of a unix socket's path, less room for the terminator.
_LONGEST_SOCKET_PATH = 100


def socket_path(data: Path) -> Path:
    """The embedded server's socket: in the data folder, or in a private folder of ours where that path is too long."""
    path = data / "run" / "bus.sock"
    if len(str(path)) <= _LONGEST_SOCKET_PATH:
        return path
    digest = hashlib.sha256(str(data).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"flowcontrol-{os.getuid()}-{digest}" / "bus.sock"


def embedded_url(data: Path) -> str:
    return f"unix://{socket_path(data)}"


def client_url(url: str) -> str:
    """As redis-py and Django's cache read it."""
    return url


def broker_url(url: str) -> str:
    """As kombu reads it: `unix://…` is `redis+socket://…` there."""
    return "redis+socket://" + url.removeprefix("unix://") if url.startswith("unix://") else url
