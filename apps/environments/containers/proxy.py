"""The proxy of a stack: what it is told, and how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

ADMIN = "unix//run/caddy/admin.sock"


@dataclass(frozen=True)
class Route:
    """Traffic to a port of the proxy goes to one upstream, `host:port`."""

    listen_port: int
    upstream: str


def caddy_config(routes: Sequence[Route]) -> dict[str, Any]:
    """Caddy's whole configuration, as its admin API takes it."""
    servers = {
        f"port-{route.listen_port}": {
            "listen": [f":{route.listen_port}"],
            "routes": [{"handle": [{"handler": "reverse_proxy", "upstreams": [{"dial": route.upstream}]}]}],
        }
        for route in routes
    }
    return {"admin": {"listen": ADMIN}, "apps": {"http": {"servers": servers}}}


def switch_command(proxy: str) -> tuple[str, ...]:
    """Hand a configuration, on stdin, to the Caddy in a container: taken at once, without cutting off an answer."""
    return ("docker", "exec", "--interactive", proxy, "caddy", "reload", "--config", "-", "--address", ADMIN)
