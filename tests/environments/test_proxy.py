"""The proxy's configuration as values, and the real Caddy: a switch under load fails nothing and outlives a restart."""

import json
import subprocess
import threading
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.environments.containers.proxy import (
    ADMIN,
    Route,
    caddy_config,
    current_command,
    routes_of,
    switch_command,
)
from tests.environments.engine import docker, free_port, needs_engine, wait_for

ROOT = Path(__file__).resolve().parent.parent.parent
ROUTES = [Route(8080, "app:8000"), Route(9001, "webhook:9001")]
BODY = "import http.server, sys\nclass H(http.server.BaseHTTPRequestHandler):\n    protocol_version = 'HTTP/1.1'\n    def do_GET(self):\n        body = sys.argv[1].encode()\n        self.send_response(200); self.send_header('Content-Length', str(len(body))); self.end_headers(); self.wfile.write(body)\n    def log_message(self, *a): pass\nhttp.server.ThreadingHTTPServer(('', 8000), H).serve_forever()\n"


def test_the_file_that_the_stack_starts_with_is_what_we_would_write():
    kept = json.loads((ROOT / "monitoring" / "proxy" / "caddy.json").read_text(encoding="utf-8"))
    assert kept == caddy_config(ROUTES)


def test_what_is_routed_is_read_back():
    assert routes_of(caddy_config(ROUTES)) == ROUTES


def test_its_admin_is_a_socket_and_no_port():
    assert caddy_config(ROUTES)["admin"]["listen"] == ADMIN == "unix//run/caddy/admin.sock"


def test_a_port_goes_to_one_place():
    with pytest.raises(AssertionError, match="twice"):
        caddy_config([Route(8080, "a:1"), Route(8080, "b:1")])


def test_a_switch_is_a_reload_inside_the_proxy():
    assert switch_command("stack-proxy-1") == (
        *("docker", "exec", "-i", "stack-proxy-1", "caddy", "reload", "--config", "-"),
        *("--address", "unix//run/caddy/admin.sock"),
    )


# --- the real Caddy ----------------------------------------------------------------------------


class Stack:
    """Two applications that say their names, `blue` and `green`, behind a proxy that starts with `blue`."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name, self.port = name, free_port()
        self.proxy = f"{name}-proxy"
        self.config = folder / "caddy.json"
        self.config.write_text(json.dumps(self.to("blue")))
        self.config.chmod(0o644)

    def to(self, colour: str) -> dict:
        return caddy_config([Route(8080, f"{self.name}-{colour}:8000", "/")])

    def start(self) -> None:
        docker("network", "create", self.name)
        for colour in ("blue", "green"):
            self._run(f"{self.name}-{colour}", "python:3.13-slim", "python", "-S", "-c", BODY, colour)
        self._run(
            *(self.proxy, "caddy:2", "caddy", "run", "--resume", "--config", "/etc/caddy/caddy.json"),
            options=(
                *("--publish", f"127.0.0.1:{self.port}:8080", "--volume", f"{self.config}:/etc/caddy/caddy.json:ro"),
                *("--tmpfs", "/run/caddy"),
            ),
        )
        wait_for(lambda: self.get() == "blue", 30, "the proxy")

    def _run(self, name: str, image: str, *command: str, options: tuple[str, ...] = ()) -> None:
        limits = ("--memory", "128m", "--cpus", "1", "--pids-limit", "100")
        docker("run", "--detach", "--init", "--name", name, "--network", self.name, *limits, *options, image, *command)

    def stop(self) -> None:
        names = [self.proxy, f"{self.name}-blue", f"{self.name}-green"]
        subprocess.run(["docker", "rm", "--force", "--volumes", *names], capture_output=True, check=False)
        subprocess.run(["docker", "network", "rm", self.name], capture_output=True, check=False)

    def get(self) -> str:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=10) as answer:
                return str(answer.read().decode())
        except (urllib.error.URLError, OSError) as error:
            return f"failed: {error}"

    def switch(self, colour: str) -> None:
        said = subprocess.run(
            switch_command(self.proxy), input=json.dumps(self.to(colour)), capture_output=True, text=True, check=False
        )
        assert said.returncode == 0, said.stderr


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("proxy")
    made = Stack(folder, f"fc-proxy-test-{free_port()}")
    try:
        made.start()
        yield made
    finally:
        made.stop()


@needs_engine
@pytest.mark.slow
def test_a_switch_under_load_fails_no_request(stack: Stack) -> None:
    answers: Counter[str] = Counter()
    enough = threading.Event()

    def ask() -> None:
        for _ in range(1000):  # of each of four: bounded, whatever happens
            answers[stack.get()] += 1
            if enough.is_set():
                return

    askers = [threading.Thread(target=ask) for _ in range(4)]
    for each in askers:
        each.start()
    wait_for(lambda: answers["blue"] >= 100, 30, "answers before the switch")
    stack.switch("green")
    wait_for(lambda: answers["green"] >= 100, 30, "answers after the switch")
    enough.set()
    for each in askers:
        each.join(30)
    assert set(answers) == {"blue", "green"}, answers
    assert stack.get() == "green"


@needs_engine
@pytest.mark.slow
def test_the_live_target_outlives_the_death_of_the_proxy(stack: Stack) -> None:
    stack.switch("green")
    docker("kill", stack.proxy)
    docker("start", stack.proxy)
    wait_for(lambda: stack.get() == "green", 30, "the proxy after its death")
    said = subprocess.run(current_command(stack.proxy), capture_output=True, text=True, check=True)
    assert routes_of(json.loads(said.stdout)) == [Route(8080, f"{stack.name}-green:8000", "/")]


@needs_engine
@pytest.mark.slow
def test_a_configuration_with_a_mistake_changes_nothing(stack: Stack) -> None:
    before = stack.get()
    command = switch_command(stack.proxy)
    said = subprocess.run(command, input='{"apps": {"http": 1}}', capture_output=True, text=True, check=False)
    assert said.returncode != 0
    assert stack.get() == before
