"""The client's address is believed from our own proxy, and from nobody else."""

import asyncio

import pytest

from flowcontrol import forwarded
from flowcontrol.forwarded import BehindProxy

PROXY = "10.0.0.5"


@pytest.fixture(autouse=True)
def names(monkeypatch):
    """What names stand for; a test changes it."""
    found = {"proxy": [PROXY]}

    async def look_up(host):
        return frozenset(found.get(host, []))

    monkeypatch.setattr(forwarded, "_addresses_of", look_up)
    return found


def seen(application_scope, behind=None):
    """The scope that the application gets."""
    got = []

    async def application(scope, receive, send):
        got.append(scope)

    wrapped = behind or BehindProxy(application, "proxy")
    wrapped.application = application
    asyncio.run(wrapped(application_scope, None, None))
    return got[0]


def request(client, **headers):
    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "scheme": "http", "client": (client, 4711), "headers": named}


def test_the_proxy_is_believed():
    assert seen(request(PROXY, x_forwarded_for="192.0.2.7"))["client"][0] == "192.0.2.7"


def test_what_the_client_told_the_proxy_is_not():
    assert seen(request(PROXY, x_forwarded_for="127.0.0.1, 192.0.2.7"))["client"][0] == "192.0.2.7"


def test_nobody_else_is_believed():
    scope = seen(request("10.0.0.9", x_forwarded_for="127.0.0.1", x_forwarded_proto="https", host="portal"))
    assert scope["client"][0] == "10.0.0.9"
    assert scope["headers"] == [(b"host", b"portal")], "the portal does not even see it"


def test_a_proxy_that_was_made_anew_is_found_again(names, monkeypatch):
    behind = BehindProxy(None, "proxy")
    assert seen(request(PROXY, x_forwarded_for="192.0.2.7"), behind)["client"][0] == "192.0.2.7"
    names["proxy"] = ["10.0.0.77"]
    monkeypatch.setattr(forwarded, "KNOWN_SECONDS", 0.0)
    assert seen(request("10.0.0.77", x_forwarded_for="192.0.2.7"), behind)["client"][0] == "192.0.2.7"
    assert seen(request(PROXY, x_forwarded_for="192.0.2.7"), behind)["client"][0] == PROXY


def test_a_request_without_such_headers_is_left_alone():
    plain = request("10.0.0.9", host="portal")
    assert seen(plain) is plain
