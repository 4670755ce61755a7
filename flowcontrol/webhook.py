"""The webhook service: an ASGI application of its own on WEBHOOK_PORT, so that hooks are taken while the portal changes.

Today it tells how the stack is. Hooks have no address yet: whoever sends one is told so.
It imports no Django settings: it has no database and no secret but the token of the scraper.
"""

import asyncio
import json
import time
import urllib.error
import urllib.request
from collections import Counter
from typing import Any

from apps.common.tokens import bearer_matches
from flowcontrol import environment

ENVIRONMENT = environment.text("FLOWCONTROL_ENV", "dev")
REVISION = environment.text("FLOWCONTROL_REVISION", "unknown")
METRICS_TOKEN = environment.text("METRICS_TOKEN")
PORTAL_URL = environment.text("PORTAL_URL", f"http://127.0.0.1:{environment.number('APP_PORT', 8080, 1, 65535)}")
ANSWER_SECONDS = 2.0
KNOWN_SECONDS = 2.0

type Answer = tuple[int, bytes, bytes, list[tuple[bytes, bytes]]]  # status, content type, body, more headers


class Portal:
    """Whether the portal is ready. Asked at most once every KNOWN_SECONDS, however many ask us."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._ready = False
        self._asked_at = -KNOWN_SECONDS
        self._lock: asyncio.Lock | None = None

    async def ready(self) -> bool:
        self._lock = self._lock or asyncio.Lock()
        async with self._lock:
            if time.monotonic() - self._asked_at >= KNOWN_SECONDS:
                self._ready = await asyncio.to_thread(self._ask)
                self._asked_at = time.monotonic()
        return self._ready

    def _ask(self) -> bool:
        request = urllib.request.Request(f"{self.url}/readyz", headers={"Host": "localhost"})  # noqa: S310 - our own
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:  # noqa: S310
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


portal = Portal(PORTAL_URL)
answered: Counter[int] = Counter()


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await _live(receive, send)
    elif scope["type"] == "http":
        status, kind, body, more = await answer(scope["method"], scope["path"], dict(scope["headers"]))
        answered[status] += 1
        headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode()), *more]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


async def _live(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def answer(method: str, path: str, headers: dict[bytes, bytes]) -> Answer:
    if path not in ("/", "/healthz", "/metrics"):
        return _refusal(
            404, "no_such_hook", f"There is no hook at {path}.", "This version takes no hooks yet; / tells its state."
        )
    if method not in ("GET", "HEAD"):
        return _refusal(405, "method_not_allowed", f"{path} is only read.", "Use GET.", [(b"allow", b"GET, HEAD")])
    if path == "/healthz":
        return _json(200, {"version": 1, "status": "alive"})
    if path == "/metrics":
        return await _metrics(headers.get(b"authorization", b"").decode("latin-1"))
    return _json(
        200,
        {
            "version": 1,
            "service": "webhook",
            "environment": ENVIRONMENT,
            "revision": REVISION,
            "portal": {"ready": await portal.ready()},
            "hooks": [],
        },
    )


async def _metrics(authorization: str) -> Answer:
    if not bearer_matches(authorization, METRICS_TOKEN):
        return _refusal(403, "token_needed", "Figures are given to who shows the token.", "See METRICS_TOKEN.")
    lines = [
        "# TYPE flowcontrol_webhook_requests_total counter",
        *(f'flowcontrol_webhook_requests_total{{status="{status}"}} {n}' for status, n in sorted(answered.items())),
        "# TYPE flowcontrol_webhook_portal_ready gauge",
        f"flowcontrol_webhook_portal_ready {int(await portal.ready())}",
    ]
    return 200, b"text/plain; version=0.0.4", ("\n".join(lines) + "\n").encode(), []


def _refusal(status: int, code: str, message: str, hint: str, more: list[tuple[bytes, bytes]] | None = None) -> Answer:
    return _json(status, {"version": 1, "error": code, "message": message, "hint": hint}, more)


def _json(status: int, document: dict[str, Any], more: list[tuple[bytes, bytes]] | None = None) -> Answer:
    body = (json.dumps(document, ensure_ascii=False) + "\n").encode()
    return status, b"application/json", body, more or []
