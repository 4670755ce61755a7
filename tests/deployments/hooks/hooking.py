"""Hooks as their senders make them, repositories, and somebody who receives."""

import http.server
import json
import subprocess
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from apps.audit.actors import SYSTEM
from apps.deployments.hooks import actions, receiving, signing
from apps.deployments.hooks.models import HookSource, HookTarget
from tests.deployments import making

SECRET = "a-planted-secret-of-hooks"
GITHUB_AGENT = ("User-Agent", "GitHub-Hookshot/044aadd")


def push(branch: str = "main", **more: Any) -> bytes:
    """The body of a push, as far as anybody looks; no two are the same."""
    return json.dumps({"ref": f"refs/heads/{branch}", "after": uuid.uuid4().hex, **more}).encode()


def github(body: bytes, *, event: str = "push", delivery: str = "", secret: str = SECRET) -> list[tuple[str, str]]:
    return [
        GITHUB_AGENT,
        ("Content-Type", "application/json"),
        ("X-GitHub-Event", event),
        ("X-GitHub-Delivery", delivery or str(uuid.uuid4())),
        ("X-Hub-Signature-256", signing.github(secret, body)),
    ]


def source(name: str = "shop-main", **fields: Any) -> HookSource:
    environment = fields.pop("environment", None) or making.environment()
    from apps.environments import variables
    from apps.environments.models import Secret

    if not Secret.objects.filter(environment=environment, name="HOOK").exists():
        variables.set_secret(by=SYSTEM, environment=environment, name="HOOK", value=SECRET)
    given = {"provider": "github", "repository": "/srv/nowhere.git", "secret": "HOOK", **fields}
    return actions.add_source(by=SYSTEM, name=name, environment=environment, **given)[0]


def target(url: str, name: str = "chat", **fields: Any) -> tuple[HookTarget, str]:
    environment = fields.pop("environment", None) or making.environment()
    given = {"internal": True, **fields}
    return actions.add_target(by=SYSTEM, name=name, environment=environment, url=url, **given)


def take(body: bytes, headers: list[tuple[str, str]], name: str = "shop-main", address: str = "203.0.113.9"):
    return receiving.take(name, headers, body, address)


# --- a repository ------------------------------------------------------------------------------------


class Repository:
    """A real one, with a commit on main."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch=main")
        self.commit({"README": "one"})

    def git(self, *words: str) -> str:
        who = ("-c", "user.name=Ann", "-c", "user.email=ann@example.org", "-c", "commit.gpgsign=false")
        done = subprocess.run(
            ["git", *who, *words], cwd=self.folder, capture_output=True, text=True, check=True, timeout=60
        )
        return done.stdout.strip()

    def commit(self, files: dict[str, str]) -> str:
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "A change")
        return self.git("rev-parse", "HEAD")


# --- who receives -------------------------------------------------------------------------------------


class Receiver:
    """What was sent to it, and how it answers next."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/take?x=1"
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        self.status = 204
        self.said = b""
        self.more: dict[str, str] = {}


@contextmanager
def receiver() -> Iterator[Receiver]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            made.got.append((self.path, {key.lower(): value for key, value in self.headers.items()}, body))
            self.send_response(made.status)
            for name, value in made.more.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(made.said)))
            self.end_headers()
            self.wfile.write(made.said)

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made = Receiver(server.server_port)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield made
        server.shutdown()
        thread.join()
