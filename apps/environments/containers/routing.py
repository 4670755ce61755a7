"""Which services of a stack take traffic, and the proxy that is added to a stack of others for them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from apps.common.errors import FlowControlError
from apps.common.files import write_atomic
from apps.environments.containers import proxy

ROUTE_LABEL = "flowcontrol.route"
MADE_FROM_LABEL = "flowcontrol.made-from"  # a hash of the description that a container was made from
# Which release a container was made of, by which deployment under which lease: that says nothing of what it is.
RELEASE_LABEL, DEPLOYMENT_LABEL, FENCE_LABEL = ("flowcontrol.release", "flowcontrol.deployment", "flowcontrol.fence")
PROBE_LABEL = "flowcontrol.probe"  # the path that is asked before traffic is sent
MARKS = frozenset({MADE_FROM_LABEL, RELEASE_LABEL, DEPLOYMENT_LABEL, FENCE_LABEL})
OWN_PROXY = "proxy"  # the service of Flow Control's own stack that takes all traffic
ADDED_PROXY = "flowcontrol-proxy"  # of other stacks
# Neither curl nor wget is in the image; what speaks to the admin socket speaks to this port, too.
_ASK = (
    f"use IO::Socket::INET; $s = IO::Socket::INET->new('127.0.0.1:{proxy.STATUS_PORT}') or exit 1; "
    'print $s "GET /healthz HTTP/1.0\\r\\n\\r\\n"; exit(<$s> !~ / 200 /);'
)
HEALTH = ("perl", "-e", _ASK)

Routes = dict[str, tuple[int, int]]


class RouteInvalid(FlowControlError):  # noqa: N818  it is what the person reads
    """A label that says how traffic comes in cannot be read."""

    code = "route_invalid"


def routes_of(config: Mapping[str, Any]) -> Routes:
    """(port of the host, port of the container) of each service that takes traffic. Raises RouteInvalid."""
    found: Routes = {}
    for name, service in config["services"].items():
        label = (service.get("labels") or {}).get(ROUTE_LABEL)
        if label is None:
            continue
        outer, _, inner = str(label).partition(":")
        if not (outer.isdigit() and inner.isdigit()):
            hint = 'Write "HOSTPORT:CONTAINERPORT", such as "8080:8000".'
            raise RouteInvalid(f"The label {ROUTE_LABEL} of {name} is '{label}'.", hint=hint)
        if other := next((each for each, (port, _) in found.items() if port == int(outer)), None):
            raise RouteInvalid(
                f"{other} and {name} both want port {outer} of the host.", hint="Give one of them another."
            )
        if (number := replicas(service)) != 1:
            raise RouteInvalid(
                f"{name} takes traffic by the label {ROUTE_LABEL}, and is to run {number} times.",
                hint="Traffic goes to one container: take its scale and replicas away, or put a service before it.",
            )
        found[name] = (int(outer), int(inner))
    return found


def replicas(service: Mapping[str, Any]) -> int:
    """How many containers of a service there are to be."""
    return int(service.get("scale") or (service.get("deploy") or {}).get("replicas", service.get("scale", 1)))


# What says nothing of the container itself: in which order it starts, of how many, where its image comes from. Of images
# the content counts, by whichever name.
_BESIDE = frozenset({"build", "depends_on", "deploy", "image", "profiles", "pull_policy", "scale"})


def made_from(service: Mapping[str, Any]) -> str:
    """A hash of a service's description. Compose's own is of no use to know a container again: what it starts without the
    services that it depends on has another."""
    labels = {name: text for name, text in (service.get("labels") or {}).items() if name not in MARKS}
    deploy = {name: each for name, each in (service.get("deploy") or {}).items() if name != "replicas"}
    kept = {name: each for name, each in service.items() if name not in _BESIDE} | {"labels": labels, "deploy": deploy}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def proxy_of(config: Mapping[str, Any]) -> str:
    """The service that takes the traffic of the stack; "" where it has none."""
    return next((name for name in (ADDED_PROXY, OWN_PROXY) if name in config["services"]), "")


def write_added(path: Path, config: Mapping[str, Any], *, has_proxy: bool) -> None:
    """Write what is added to a stack's description: a mark on each service of what it is made from, and a proxy where
    services take traffic, unless it has one of its own. Written again it is the same. Raises RouteInvalid."""
    routes = routes_of(config)
    added: dict[str, Any] = proxy_description(routes) if routes and not has_proxy else {"services": {}}
    for service in added["services"].values():
        service["labels"] = {MADE_FROM_LABEL: made_from(service)}
    for name, service in config["services"].items():
        added["services"][name] = {"labels": {MADE_FROM_LABEL: made_from(service)}}
    write_atomic(path, json.dumps(added, indent=2))


def kept_name(project: str, service: str) -> str:
    """What the container of a service is called that was replaced, and is kept stopped for a rollback."""
    return f"{project}-{service}-kept"


def proxy_description(routes: Routes) -> dict[str, Any]:
    """A compose document with the proxy: it alone publishes the ports, and keeps what it was told over a restart."""
    ports = sorted(outer for outer, _ in routes.values())
    text = proxy.configuration({outer: (name, inner) for name, (outer, inner) in routes.items()})
    config = f"{proxy.FOLDER}/haproxy.cfg"
    service = {
        "image": "haproxy:3.0",
        "user": "0:0",  # the owner of a new volume; without a capability he is nobody
        "cap_drop": ["ALL"],
        "entrypoint": ["sh", "-c", f'printf %s "$$CONFIGURATION" > {config} && exec haproxy -W -db -f {config}'],
        "environment": {"CONFIGURATION": _literal(text)},
        "ports": [f"{port}:{port}" for port in ports],
        "volumes": [f"{ADDED_PROXY}:{proxy.FOLDER}"],
        "healthcheck": {
            "test": ["CMD", *map(_literal, HEALTH)],
            "interval": "10s",
            "start_period": "30s",
            "start_interval": "500ms",
        },
        "restart": "always",
        "security_opt": ["no-new-privileges:true"],
        "logging": {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}},
        "deploy": {"resources": {"limits": {"cpus": "1", "memory": "256m", "pids": 100}}},
    }
    return {"services": {ADDED_PROXY: service}, "volumes": {ADDED_PROXY: {}}}


def _literal(text: str) -> str:
    """As compose writes a text in which it is to replace nothing."""
    return text.replace("$", "$$")
