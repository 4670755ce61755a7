"""What stands on a Docker Engine: the containers of one compose project, as values.

Nothing here changes anything. A container that goes away while it is looked at is left out; the engine's word is taken
at the moment of the call, so two calls may answer differently.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import docker.errors
import docker.tls
import requests
from docker.context import ContextAPI

from apps.common.errors import FlowControlError
from apps.environments.containers.routing import kept_name

PROJECT_LABEL = "com.docker.compose.project"
SERVICE_LABEL = "com.docker.compose.service"
ONE_OFF_LABEL = "com.docker.compose.oneoff"  # True for `compose run`
API = "1.44"  # what we ask by: Engine 25 and newer know it
SECONDS = 20.0  # the longest that one answer of an engine is waited for


class EngineAway(FlowControlError):  # noqa: N818  it is what the person reads
    """No Docker Engine answers."""

    code = "engine_away"


@dataclass(frozen=True, slots=True)
class Port:
    """A port of a container. `host_port` is None where it is only exposed and not published on the host."""

    container: str  # as the engine writes it: 8080/tcp
    host_ip: str = ""
    host_port: int | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What a container may use; None is no limit."""

    memory_bytes: int | None
    cpus: float | None
    pids: int | None


@dataclass(frozen=True, slots=True)
class Mount:
    """`kind` is volume, bind or tmpfs; `source` a path on the engine's host, or a volume's name."""

    kind: str
    source: str
    target: str
    writable: bool


@dataclass(frozen=True, slots=True)
class Found:
    """One container of a service, as it was when it was looked at."""

    service: str
    container: str  # its id
    name: str
    image: str  # as it was asked for: redis:8
    image_id: str  # sha256:…
    state: str  # created, running, paused, restarting, removing, exited, dead
    health: str  # healthy, unhealthy, starting; "" where it has no health check
    exit_code: int | None  # of a container that has ended
    restarts: int  # by the engine's restart policy; one by hand is not counted
    started_at: str  # as the engine writes it, UTC
    restart_policy: str  # no, on-failure, always, unless-stopped
    limits: Limits
    ports: tuple[Port, ...]
    networks: Mapping[str, str]  # the name → its address there
    mounts: tuple[Mount, ...]
    log_driver: str
    log_options: Mapping[str, str]
    labels: Mapping[str, str]
    user: str  # as whom it runs; "" is root
    privileged: bool

    @property
    def published(self) -> tuple[Port, ...]:
        return tuple(port for port in self.ports if port.host_port is not None)

    @property
    def works(self) -> bool:
        """Running, and well where somebody asks after its health."""
        return self.state == "running" and self.health in ("", "healthy")


@contextmanager
def engine(url: str = "", certificates: str = "", seconds: float = SECONDS) -> Iterator[docker.DockerClient]:
    """A client of the engine at `url` (unix://, tcp://, ssh://), closed at the end; "" is the one that the docker command
    would find: DOCKER_HOST, else its current context. `certificates` is the folder of ca.pem, cert.pem and key.pem for
    one over TLS; each answer is waited for `seconds` at most.

    Raises EngineAway where none answers. What fails later, in the middle of a question, is a DockerException.
    """
    client = None
    try:
        client = _client(url, certificates, seconds)
        client.ping()
    except (docker.errors.DockerException, OSError) as error:
        if client is not None:
            client.close()
        where = url or "this machine"
        raise EngineAway(
            f"No Docker Engine answers on {where}: {reason(error)}.",
            hint="Start Docker Desktop or the docker service, and let this account use its socket.",
        ) from error
    try:
        yield client
    finally:
        client.close()


def _client(url: str, certificates: str, seconds: float) -> docker.DockerClient:
    if url:
        tls = _tls(Path(certificates)) if certificates else False
        over_ssh = url.startswith("ssh://")
        client = docker.DockerClient(base_url=url, tls=tls, version=API, timeout=seconds, use_ssh_client=over_ssh)
        # REQUESTS_CA_BUNDLE would count before the engine's own certificates, and a web proxy has no business here. With the
        # version named nothing has been asked yet.
        client.api.trust_env = False
        return client
    context = None if os.environ.get("DOCKER_HOST") else ContextAPI.get_current_context()
    if context is not None and context.Name != "default":
        return docker.DockerClient(base_url=context.Host, tls=context.TLSConfig, timeout=seconds, use_ssh_client=True)
    return docker.from_env(timeout=seconds, use_ssh_client=True)


def _tls(folder: Path) -> docker.tls.TLSConfig:
    own = (str(folder / "cert.pem"), str(folder / "key.pem"))
    return docker.tls.TLSConfig(client_cert=own, ca_cert=str(folder / "ca.pem"), verify=True)


# What lies at the bottom of a failure, and what to say of it; the client wraps it several times.
_REASONS: Mapping[type[BaseException], str] = {
    FileNotFoundError: "there is no socket",
    PermissionError: "this account may not use its socket",
    ConnectionRefusedError: "nothing listens there",
    BrokenPipeError: "the connection broke off",
    ConnectionResetError: "the connection broke off",
    TimeoutError: "it does not answer in time",
    requests.exceptions.Timeout: "it does not answer in time",
}


def reason(error: BaseException) -> str:
    """Why an engine does not answer, in plain words."""
    for each in _beneath(error):
        for kind, words in _REASONS.items():
            if isinstance(each, kind):
                return words
    return " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__


def _beneath(error: BaseException, depth: int = 0) -> Iterator[BaseException]:
    yield error
    for each in (error.__cause__, error.__context__, *error.args):
        if isinstance(each, BaseException) and depth < 8:
            yield from _beneath(each, depth + 1)


def project_of(client: docker.DockerClient, environment: str) -> str:
    """The compose project that this process stands for: its own container's where it runs in one that compose made (the
    container is found by this machine's name, which Docker sets to its id), else "flow-control-<environment>"."""
    own = own_container(client)
    return (own.labels.get(PROJECT_LABEL, "") if own else "") or f"flow-control-{environment}"


def own_container(client: docker.DockerClient) -> Found | None:
    """The container that this process runs in; None on a host, or where the engine is another machine's."""
    try:
        found = client.api.inspect_container(socket.gethostname())
    except docker.errors.NotFound:
        return None
    # Some other container may be called as this machine is.
    return of(found) if found["Config"]["Hostname"] == socket.gethostname() else None


def services(client: docker.DockerClient, project: str) -> tuple[Found, ...]:
    """Every container of the project's services, also those that have ended, by service and name. One-off containers
    (`compose run`) are no services, nor is what is kept for a rollback."""
    rows = client.api.containers(all=True, filters={"label": [f"{PROJECT_LABEL}={project}"]})
    found = []
    for row in rows:
        kept = f"/{kept_name(project, row['Labels'].get(SERVICE_LABEL, ''))}"
        if row["Labels"].get(ONE_OFF_LABEL, "False") == "True" or kept in row["Names"]:
            continue
        try:
            found.append(of(client.api.inspect_container(row["Id"])))
        except docker.errors.NotFound:
            continue
    return tuple(sorted(found, key=lambda each: (each.service, each.name)))


def of(inspected: Mapping[str, Any]) -> Found:
    """What `docker inspect` says of a container, as a value."""
    config, host, state = inspected["Config"], inspected["HostConfig"], inspected["State"]
    labels, settings = config.get("Labels") or {}, inspected["NetworkSettings"]
    logging = host.get("LogConfig") or {}
    return Found(
        service=labels.get(SERVICE_LABEL, ""),
        container=inspected["Id"],
        name=inspected["Name"].lstrip("/"),
        image=config.get("Image", ""),
        image_id=inspected.get("Image", ""),
        state=state["Status"],
        health=(state.get("Health") or {}).get("Status", "").replace("none", ""),
        exit_code=state.get("ExitCode") if state["Status"] in ("exited", "dead") else None,
        restarts=inspected.get("RestartCount", 0),
        started_at=state.get("StartedAt", ""),
        restart_policy=(host.get("RestartPolicy") or {}).get("Name") or "no",
        limits=_limits(host),
        ports=tuple(_ports(settings.get("Ports") or {})),
        networks={name: each.get("IPAddress", "") for name, each in (settings.get("Networks") or {}).items()},
        mounts=tuple(
            Mount(each["Type"], each.get("Name") or each.get("Source", ""), each["Destination"], bool(each.get("RW")))
            for each in inspected.get("Mounts") or ()
        ),
        log_driver=logging.get("Type", ""),
        log_options=logging.get("Config") or {},
        labels=labels,
        user=config.get("User", ""),
        privileged=bool(host.get("Privileged")),
    )


def _limits(host: Mapping[str, Any]) -> Limits:
    """CPUs come as billionths, or as a share of a period (`--cpu-quota`); 0 and -1 are no limit."""
    cpus = host.get("NanoCpus", 0) / 1e9
    if not cpus and host.get("CpuQuota", 0) > 0:
        cpus = host["CpuQuota"] / (host.get("CpuPeriod") or 100_000)
    pids = host.get("PidsLimit") or 0
    return Limits(host.get("Memory") or None, cpus or None, pids if pids > 0 else None)


def _ports(ports: Mapping[str, Any]) -> Iterator[Port]:
    for name, bound in sorted(ports.items()):
        if not bound:
            yield Port(name)
        for each in bound or ():
            yield Port(name, each.get("HostIp", ""), int(each["HostPort"]))
