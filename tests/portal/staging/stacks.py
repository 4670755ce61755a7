"""A small stack in the shape of staging's, of stand-ins: what the cases look at, whole and broken in each way."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from apps.environments.containers import found
from apps.portal.cases.staging.stack import Stack
from tests.environments.containers.projects import up

SERVER = """
import http.server, sys
page = sys.argv[1].encode()
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        status = 500 if self.path.startswith("/broken") else 200
        self.send_response(status); self.send_header("Content-Type", "text/html"); self.end_headers()
        self.wfile.write(page)
    def log_message(self, *_): pass
print("serving", flush=True)
http.server.ThreadingHTTPServer(("0.0.0.0", 8000), Handler).serve_forever()
"""
LOGIN = '<form><input name="password"></form>'
CADDY = """{
  admin off
}
:8080 {
  reverse_proxy app:8000
}
:9001 {
  reverse_proxy webhook:8000
}
"""
LOGGED = {"driver": "json-file", "options": {"max-size": "1m", "max-file": "2"}}
HEALTHY = {"test": ["CMD", "true"], "interval": "30s", "start_interval": "200ms", "start_period": "20s"}
USUAL: dict[str, Any] = {
    "restart": "always",
    "logging": LOGGED,
    "healthcheck": HEALTHY,
    "mem_limit": "128m",
    "cpus": 0.5,
    "pids_limit": 60,
    "init": True,
    "stop_grace_period": "1s",
    "user": "65534:65534",
}
SLEEPS = {**USUAL, "image": "busybox:1", "command": ["sleep", "900"], "networks": ["back"]}


def services(folder: Path) -> dict[str, Any]:
    (folder / "Caddyfile").write_text(CADDY)
    serves = {**USUAL, "image": "python:3.13-slim"}
    made: dict[str, Any] = {
        "app": {**serves, "command": ["python", "-c", SERVER, LOGIN], "networks": ["front", "back"]},
        "webhook": {**serves, "command": ["python", "-c", SERVER, '{"version": 1}'], "networks": ["front"]},
        "worker": SLEEPS,
        "controller": SLEEPS,
        "beat": SLEEPS,
        "postgres": {**SLEEPS, "volumes": ["pg:/var/lib/postgresql/data"]},
        "redis": {
            **USUAL,
            "image": "redis:8",
            "user": "redis",
            "command": ["redis-server", "--appendonly", "yes", "--save", ""],
            "volumes": ["bus:/data"],
            "networks": ["back"],
        },
        "proxy": {
            **USUAL,
            "image": "caddy:2",
            "command": ["caddy", "run", "--config", "/etc/caddy/Caddyfile"],
            "environment": {"HOME": "/tmp", "XDG_CONFIG_HOME": "/tmp", "XDG_DATA_HOME": "/tmp"},
            "volumes": [f"{folder}/Caddyfile:/etc/caddy/Caddyfile:ro"],
            "ports": ["127.0.0.1::8080", "127.0.0.1::9001"],
            "networks": ["front"],
        },
    }
    # Each by itself: what is said in one place is still broken in one service alone.
    return {name: copy.deepcopy(each) for name, each in made.items()}


@contextmanager
def started(folder: Path, made: dict[str, Any]) -> Iterator[Stack]:
    more = {"networks": {"front": {}, "back": {}}, "volumes": {"pg": {}, "bus": {}}}
    with up(folder, made, **more) as project, found.engine() as client:
        yield Stack(client, project, found.services(client, project))


def again(there: Stack) -> Stack:
    """The stack as it is now."""
    return Stack(there.client, there.project, found.services(there.client, there.project))
