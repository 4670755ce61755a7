"""The webhook service: tells its state, refuses clearly what is to come."""

import asyncio
import http.server
import json
import threading

import pytest

from flowcontrol import webhook


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(webhook, "portal", webhook.Portal("http://127.0.0.1:9"))
    webhook.answered.clear()


def ask(path, method="GET", headers=()):
    """(status, headers, body) of one request."""
    sent = []

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": list(headers)}
    asyncio.run(webhook.application(scope, None, send))
    return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"]


def test_it_tells_its_state():
    status, headers, body = ask("/")
    assert (status, headers[b"content-type"]) == (200, b"application/json")
    document = json.loads(body)
    assert document["version"] == 1
    assert document["environment"]
    assert document["portal"] == {"ready": False}, "nobody listens there"


@pytest.mark.parametrize(("status", "ready"), [(200, True), (503, False)])
def test_it_says_whether_the_portal_is_ready(monkeypatch, status, ready):
    class Portal(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status if self.path == "/readyz" else 404)
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Portal) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(webhook, "portal", webhook.Portal(f"http://127.0.0.1:{server.server_port}"))
        assert json.loads(ask("/")[2])["portal"] == {"ready": ready}
        server.shutdown()


def test_it_is_alive_without_the_portal():
    assert ask("/healthz")[0] == 200


def test_a_hook_elsewhere_is_refused():
    status, _, body = ask("/deploy", "POST")
    assert (status, json.loads(body)["error"]) == (404, "no_such_hook")


def test_a_hook_is_not_read():
    status, headers, _ = ask("/hooks/shop")
    assert (status, headers[b"allow"]) == (405, b"POST")


def test_nothing_is_sent_to_the_state():
    status, headers, body = ask("/", "POST")
    assert (status, headers[b"allow"]) == (405, b"GET, HEAD")
    assert json.loads(body)["error"] == "method_not_allowed"


def test_a_head_has_no_body():
    status, headers, body = ask("/", "HEAD")
    assert (status, body) == (200, b"")
    assert int(headers[b"content-length"]) > 0


def test_figures_are_for_who_has_the_token(monkeypatch):
    assert ask("/metrics", headers=[(b"authorization", b"Bearer ")])[0] == 403, "no token is set"
    monkeypatch.setattr(webhook, "METRICS_TOKEN", "a-token")
    assert ask("/metrics")[0] == 403
    assert ask("/metrics", headers=[(b"authorization", b"Bearer another")])[0] == 403
    status, _, body = ask("/metrics", headers=[(b"authorization", b"Bearer a-token")])
    assert status == 200
    assert b'flowcontrol_webhook_requests_total{status="403"} 3' in body
    assert b"flowcontrol_webhook_portal_ready 0" in body


def test_it_starts_and_stops_with_its_server():
    said = []
    told = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

    async def receive():
        return next(told)

    async def send(message):
        said.append(message["type"])

    asyncio.run(webhook.application({"type": "lifespan"}, receive, send))
    assert said == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
