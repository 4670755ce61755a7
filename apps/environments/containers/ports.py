"""Who has a port of this machine."""

from __future__ import annotations

import os
import socket
from contextlib import closing
from pathlib import Path

LISTENING = "0A"  # as /proc/net/tcp writes it


def is_free(port: int, host: str = "0.0.0.0") -> bool:  # noqa: S104  the question is whether anybody has it
    """Whether one could listen on it. A socket of an ended connection that still lingers does not count as taken."""
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def listener(port: int) -> str:
    """The process that listens on it, as `name (process 123)`; "" where that cannot be told (another user's, no Linux)."""
    inodes = _inodes(port)
    for folder in Path("/proc").glob("[0-9]*") if inodes else ():
        try:
            if any(os.readlink(each) in inodes for each in (folder / "fd").iterdir()):
                return f"{(folder / 'comm').read_text().strip()} (process {folder.name})"
        except OSError:
            continue  # it has ended, or is another user's
    return ""


def _inodes(port: int) -> set[str]:
    """The sockets that listen on the port, as the links of /proc/PID/fd name them."""
    found = set()
    for name in ("tcp", "tcp6"):
        try:
            lines = Path("/proc/net", name).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            _, local, _, state, *rest = line.split()
            if state == LISTENING and int(local.rpartition(":")[2], 16) == port:
                found.add(f"socket:[{rest[5]}]")
    return found
