"""The webhook service: an ASGI application of its own on WEBHOOK_PORT, so that hooks are taken while the portal changes.

A hook is read here, judged and written down with the work that it starts (`apps.deployments.hooks.receiving`), on threads
that have the database; all else is answered without it. Where there is no database, hooks are answered 503 and the state of
the stack is still told. What a hook starts is done by a worker.
"""

import asyncio
import json
import logging
import os
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from apps.common.tokens import bearer_matches
from flowcontrol import environment
from flowcontrol.forwarded import BehindProxy

ENVIRONMENT = environment.text("FLOWCONTROL_ENV", "dev")
REVISION = environment.text("FLOWCONTROL_REVISION", "unknown")
METRICS_TOKEN = environment.text("METRICS_TOKEN")
PORTAL_URL = environment.text("PORTAL_URL", f"http://127.0.0.1:{environment.number('APP_PORT', 8080, 1, 65535)}")
ANSWER_SECONDS = 2.0
KNOWN_SECONDS = 2.0
TRUSTED_PROXY = environment.text("TRUSTED_PROXY")
HOOKS = "/hooks/"
LARGEST_BODY = 5 * 1024**2  # bytes of a hook
READ_SECONDS = 10.0  # until a body has come
TAKE_SECONDS = 5.0  # until the database has answered
SMALL_BODY = 256 * 1024
LARGE_AT_ONCE = 8  # hooks that are read at once and are not small, so that they fit into memory
AT_ONCE = 200  # more than these are told to come later

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


logger = logging.getLogger(__name__)


async def serve(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await _live(receive, send)
    elif scope["type"] == "http":
        if scope["method"] == "POST" and scope["path"].startswith(HOOKS):
            given = await hooks.answer(scope, receive)
            if given is None:
                return  # its sender has gone
        else:
            given = await answer(scope["method"], scope["path"], dict(scope["headers"]))
        status, kind, body, more = given
        answered[status] += 1
        headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode()), *more]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


application: Callable[[Any, Any, Any], Awaitable[None]] = BehindProxy(serve, TRUSTED_PROXY) if TRUSTED_PROXY else serve


class Hooks:
    """Reads hooks, a bounded number of bounded bodies, and hands them to the threads that have the database."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="hook")
        self._large: asyncio.Semaphore | None = None
        self._here = 0

    async def answer(self, scope: Any, receive: Any) -> Answer | None:
        """The answer to a hook; None where its sender went away before its end."""
        if self._here >= AT_ONCE:
            return _later(503, "busy", "Too many hooks are being taken just now.")
        told = dict(scope["headers"]).get(b"content-length", b"")
        self._large = self._large or asyncio.Semaphore(LARGE_AT_ONCE)
        self._here += 1
        try:
            if told.isdigit() and int(told[:20]) <= SMALL_BODY:
                return await self._take(scope, receive)
            async with self._large:
                return await self._take(scope, receive)
        finally:
            self._here -= 1

    async def _take(self, scope: Any, receive: Any) -> Answer | None:
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        try:
            body = await asyncio.wait_for(_body(dict(scope["headers"]), receive), READ_SECONDS)
        except TimeoutError:
            return _refusal(408, "hook_slow", f"It did not come within {READ_SECONDS:g} s.", "Send it again.")
        except OverflowError:
            return _refusal(
                413, "hook_too_large", f"A hook has {LARGEST_BODY // 1024**2} MiB at most.", "Push in smaller pieces."
            )
        if body is None:
            return None
        address = (scope.get("client") or ("", 0))[0]
        name = scope["path"].removeprefix(HOOKS).strip("/")
        loop = asyncio.get_running_loop()
        try:
            taken = loop.run_in_executor(self._threads, _take_here, name, headers, body, address)
            return await asyncio.wait_for(asyncio.shield(taken), TAKE_SECONDS)
        except TimeoutError:
            return _later(503, "hook_untaken", "The database did not answer in time.")
        except Exception:  # whatever it is: nothing was taken, and its sender is to know
            logger.exception("A hook could not be taken.")
            return _later(503, "hook_untaken", "It could not be written down.")


hooks = Hooks()


async def _body(headers: dict[bytes, bytes], receive: Any) -> bytes | None:
    """The whole body; None where it broke off. Raises OverflowError for one that is too large, before all of it is read."""
    told = headers.get(b"content-length", b"")
    if told.isdigit() and int(told[:20]) > LARGEST_BODY:
        raise OverflowError
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        if size > LARGEST_BODY:
            raise OverflowError
        if not message.get("more_body"):
            return b"".join(pieces)


def _prepare() -> Any:
    """Django, loaded once: only what has to do with hooks needs it."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "flowcontrol.settings")
    import django
    from django.apps import apps

    if not apps.ready:
        django.setup()
    from apps.deployments.hooks import receiving

    return receiving


def _take_here(name: str, headers: list[tuple[str, str]], body: bytes, address: str) -> Answer:
    receiving = _prepare()
    from django.db import close_old_connections, connection

    # In the pool's own threads alone: connections that broke are thrown away before and after.
    close_old_connections()
    try:
        found = receiving.take(name, headers, body, address)
    except BaseException:
        connection.close()
        raise
    finally:
        close_old_connections()
    more = [(key.encode(), value.encode()) for key, value in found.headers]
    return _json(found.status, found.document, more)


def _later(status: int, code: str, message: str) -> Answer:
    return _refusal(status, code, message, "Send it again later.", [(b"retry-after", b"30")])


async def _live(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await _warm()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _warm() -> None:
    """Load Django before the first hook comes. A wrong setting does not keep the service from telling its state."""
    try:
        await asyncio.to_thread(_prepare)
    except Exception:
        logger.exception("Hooks cannot be taken.")


async def answer(method: str, path: str, headers: dict[bytes, bytes]) -> Answer:
    if path.startswith(HOOKS):
        return _refusal(405, "method_not_allowed", "Hooks are sent.", "Use POST.", [(b"allow", b"POST")])
    if path not in ("/", "/healthz", "/metrics"):
        return _refusal(404, "no_such_hook", f"There is no hook at {path}.", "Hooks are at /hooks/<name>.")
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
