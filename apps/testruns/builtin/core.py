"""L1 core: what Flow Control stands on. Where a thing is absent that need not be there, the case is skipped with the
reason; where it is there and does not work, it fails with what to do."""

import json
import platform
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from django.conf import settings

from apps.testruns.cases.checks import Skip, check

OLDEST_DOCKER_API = (1, 44)  # what Engine 29 still accepts
OLDEST_COMPOSE = (2, 20)
COMMAND_SECONDS = 10
# Prints what a POSIX shell must be able to do for our scripts: functions, parameter expansion, a printf that is built in.
SHELL_SCRIPT = 'say() { printf "%s\\n" "${1%%-*}"; }; set -eu; x=a-b; say "$x"'


def told(*command: str) -> str:
    """What a command prints. Raises AssertionError with its own words where it fails or does not end."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise AssertionError(f"{command[0]} did not answer within {COMMAND_SECONDS} s") from None
    except OSError as error:
        raise AssertionError(f"{command[0]} cannot be started: {error.strerror}") from error
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}"
    return done.stdout.strip()


def find(program: str, why: str) -> str:
    """Where a program is. Raises Skip where it is not."""
    path = shutil.which(program)
    if path is None:
        raise Skip(f"there is no {program} here ({why})")
    return path


def numbers(text: str) -> tuple[int, ...]:
    """`v2.26.1-desktop` as (2, 26, 1)."""
    digits = text.lstrip("v").replace("-", ".").replace("+", ".").split(".")
    return tuple(int(each) for each in digits if each.isdigit())


@check("L1", title="the platform is one that Flow Control runs on")
def platform_is_known() -> None:
    system, machine = platform.system(), platform.machine()
    assert system in ("Linux", "Darwin"), f"{system} is not supported; use Linux, macOS or WSL 2"
    assert sys.maxsize > 2**32, f"{machine} with 32 bits: DuckDB needs 64"


@check("L1", title="Python is 3.12 or newer")
def python_is_new_enough() -> None:
    assert sys.version_info >= (3, 12), f"this is Python {platform.python_version()}; install 3.12 or newer"


@check("L1", title="each dependency has its locked version")
def dependencies_are_locked() -> None:
    wrong = []
    for name, wanted in locked(settings.BASE_DIR / "requirements.lock").items():
        try:
            found = version(name)
        except PackageNotFoundError:
            found = "missing"
        if found != wanted:
            wrong.append(f"{name} is {found}, locked is {wanted}")
    assert not wrong, f"{'; '.join(wrong)}. Run `make setup`."


def locked(path: Path) -> dict[str, str]:
    """Name → version of the lines that count on this platform."""
    from packaging.requirements import Requirement

    found = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line or line[0] in " #":
            continue
        requirement = Requirement(line.split("\\")[0].strip())
        if requirement.marker is None or requirement.marker.evaluate():
            found[requirement.name] = next(iter(requirement.specifier)).version
    return found


def _check_shell(name: str) -> None:
    path = find(name, "scripts run in any POSIX shell that is there")
    assert told(path, "-c", SHELL_SCRIPT) == "a", f"{path} is no POSIX shell"


@check("L1", title="the shell sh works")
def sh_works() -> None:
    assert shutil.which("sh"), "there is no sh: scripts cannot be run"
    _check_shell("sh")


@check("L1", title="the shell dash works")
def dash_works() -> None:
    _check_shell("dash")


@check("L1", title="the shell bash works")
def bash_works() -> None:
    _check_shell("bash")


@check("L1", title="the shell zsh works")
def zsh_works() -> None:
    _check_shell("zsh")


@check("L1", title="a Docker Engine answers and is new enough", timeout=15)
def docker_answers() -> None:
    docker = find("docker", "only environments on Docker need it")
    try:
        said = json.loads(told(docker, "version", "--format", "{{json .}}"))
    except AssertionError as error:
        if "daemon" in str(error).lower() or "connect" in str(error).lower():
            raise Skip(
                "docker is installed, but no engine answers: start Docker Desktop or the docker service"
            ) from error
        raise
    server = said["Server"]
    api = numbers(server["ApiVersion"])
    kind = "Docker Desktop" if "Desktop" in server.get("Platform", {}).get("Name", "") else "Docker Engine"
    assert api >= OLDEST_DOCKER_API, (
        f"{kind} {server['Version']} speaks API {server['ApiVersion']}; 1.44 is needed: update it to 25 or newer"
    )


@check("L1", title="Docker Compose is there and new enough", timeout=15)
def compose_is_there() -> None:
    docker = find("docker", "only environments on Docker need it")
    try:
        said = told(docker, "compose", "version", "--short")
    except AssertionError as error:
        raise Skip("docker has no compose plugin here: install docker-compose-plugin") from error
    assert numbers(said) >= OLDEST_COMPOSE, f"Compose {said} is too old; 2.20 is needed"


@check("L1", title="the loopback network carries data")
def loopback_works() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname(), timeout=5) as client,
    ):
        other, _ = server.accept()
        with other:
            client.sendall(b"ping")
            assert other.recv(4) == b"ping", "what was sent over 127.0.0.1 did not arrive"


@check("L1", title="localhost is this machine")
def localhost_is_here() -> None:
    found = {str(address[4][0]) for address in socket.getaddrinfo("localhost", None)}
    assert found & {"127.0.0.1", "::1"}, f"localhost is {', '.join(sorted(found))}: mend /etc/hosts"


@check("L1", title="the portal's port is free or ours")
def app_port_is_ours() -> None:
    _port_is_free_or(settings.APP_PORT, "APP_PORT")


@check("L1", title="the webhook port is free or ours")
def webhook_port_is_ours() -> None:
    _port_is_free_or(settings.WEBHOOK_PORT, "WEBHOOK_PORT")


def _port_is_free_or(port: int, variable: str) -> None:
    with socket.socket() as probe:
        probe.settimeout(2)
        if probe.connect_ex(("127.0.0.1", port)):
            return
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
            said = answer.read(100)
    except (urllib.error.URLError, OSError) as error:
        said = str(error).encode()
    assert said.strip() == b"alive", f"another program answers on port {port}; stop it or set {variable} to a free port"


@check("L1", title="git is there and knows who commits")
def git_is_configured() -> None:
    git = find("git", "flows are kept by the portal; git is for working on Flow Control itself")
    told(git, "--version")
    for name in ("user.name", "user.email"):
        try:
            told(git, "config", "--get", name)
        except AssertionError as error:
            raise Skip(f"git has no {name}: git config --global {name} …") from error
