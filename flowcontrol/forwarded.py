"""Who asks, behind our own proxy: the address in X-Forwarded-For, believed from the proxy alone."""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any

type Application = Callable[[Any, Any, Any], Awaitable[None]]

# How long the addresses of the proxy's name serve; a stranger cannot make us ask more often.
KNOWN_SECONDS = 5.0
FORWARDED = frozenset({b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"forwarded"})


class BehindProxy:
    """An ASGI application behind the proxy named `host`.

    From the proxy, the last address in X-Forwarded-For (the one that the proxy itself wrote) is the client's. From
    anybody else these headers are taken away. The name is looked up again after KNOWN_SECONDS, since a proxy that was
    made anew has another address.
    """

    def __init__(self, application: Application, host: str) -> None:
        self.application = application
        self.host = host
        self._addresses: frozenset[str] = frozenset()
        self._asked_at = -KNOWN_SECONDS

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] in ("http", "websocket") and any(name in FORWARDED for name, _ in scope["headers"]):
            scope = told(scope) if await self._is_proxy(scope.get("client")) else untold(scope)
        await self.application(scope, receive, send)

    async def _is_proxy(self, client: Any) -> bool:
        if not client:
            return False
        if client[0] not in self._addresses and time.monotonic() - self._asked_at >= KNOWN_SECONDS:
            self._asked_at = time.monotonic()
            self._addresses = await _addresses_of(self.host)
        return client[0] in self._addresses


async def _addresses_of(host: str) -> frozenset[str]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return frozenset()
    return frozenset(str(each[4][0]) for each in found)


def told(scope: Any) -> Any:
    """The scope with the client that a trusted proxy told. Of the scheme settings decide (BEHIND_TLS)."""
    headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
    client = headers.get(b"x-forwarded-for", "").rpartition(",")[2].strip()
    return {**scope, "client": (client, 0)} if client else scope


def untold(scope: Any) -> Any:
    """The scope without what somebody, who is not the proxy, claims to have forwarded."""
    return {**scope, "headers": [(name, value) for name, value in scope["headers"] if name not in FORWARDED]}
