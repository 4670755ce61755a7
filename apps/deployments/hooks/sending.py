"""One POST to an address that somebody typed in: to nobody inside our own network, no further than that address, and not
for longer than a few seconds.

The name is looked up once and the connection made to what was found, so that a name cannot be one machine when it is
judged and another when it is used.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import re
import socket
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from apps.common.errors import FlowControlError

CONNECT_SECONDS = 5.0
ALL_SECONDS = 15.0
KEPT_ANSWER = 2000  # bytes


class AddressRefused(FlowControlError):  # noqa: N818  it is what the person reads
    """Nothing is sent to this address."""

    code = "address_refused"


class NotSent(FlowControlError):  # noqa: N818
    """It could not be sent."""

    code = "not_sent"


@dataclass(frozen=True)
class Got:
    status: int
    body: str  # its beginning


@dataclass(frozen=True)
class Address:
    """Of a URL, taken apart."""

    is_tls: bool
    host: str
    port: int
    path: str


def parse(url: str) -> Address:
    """Raises AddressRefused for what is no plain http or https address."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise AddressRefused(f"'{url[:100]}' is no address.") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or not re.fullmatch(r"[!-~]{1,500}", url):
        raise AddressRefused(f"'{url[:100]}' is no address of the web.", hint="Write https://host/path.")
    if parts.username or parts.password or parts.fragment:
        raise AddressRefused("An address has neither a password nor a fragment.", hint="Sign with a secret instead.")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Address(parts.scheme == "https", parts.hostname, port or (443 if parts.scheme == "https" else 80), path)


def is_private(ip: str) -> bool:
    """Whether the address is not one of the public internet: loopback, link-local, private, reserved, multicast …; also
    where an IPv6 address carries such an IPv4 one."""
    found = ipaddress.ip_address(ip.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour or (found.teredo[1] if found.teredo else None)
        if found in ipaddress.ip_network("64:ff9b::/96"):
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if inner is not None:
            return is_private(str(inner))
    return not found.is_global or found.is_multicast


def look_up(address: Address, *, internal: bool) -> str:
    """The IP to connect to. Raises AddressRefused where any of the name's is private and `internal` is not set, NotSent
    where the name is not known."""
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NotSent(f"{address.host} is not found.", hint="See that the name is right.") from error
    ips = [str(each[4][0]) for each in found]
    if not internal and (private := next((each for each in ips if is_private(each)), "")):
        raise AddressRefused(
            f"{address.host} is {private}, which is not on the public internet.",
            hint="Mark the target as internal, if it is meant to be.",
        )
    return ips[0]


def post(url: str, body: bytes, headers: Mapping[str, str], *, internal: bool = False) -> Got:
    """Send it and read the beginning of the answer. A redirect is an answer like any other. Raises AddressRefused, NotSent."""
    address = parse(url)
    connection = _connection(address, look_up(address, internal=internal))
    # A peer that sends a byte now and then would hold us for ever: each of the socket's own limits is for one read.
    watch = threading.Timer(ALL_SECONDS, _cut, [connection])
    watch.daemon = True
    watch.start()
    try:
        connection.request("POST", address.path, body, {"user-agent": "flow-control", **headers, "connection": "close"})
        response = connection.getresponse()
        kept = response.read(KEPT_ANSWER)
        return Got(response.status, kept.decode("utf-8", "replace").replace("\0", "\ufffd"))
    except (OSError, http.client.HTTPException) as error:
        late = " in time" if isinstance(error, TimeoutError) or not watch.is_alive() else ""
        raise NotSent(
            f"{address.host}:{address.port} did not answer{late}: {error or type(error).__name__}."
        ) from error
    finally:
        watch.cancel()
        connection.close()


def _connection(address: Address, ip: str) -> http.client.HTTPConnection:
    if address.is_tls:
        return _PinnedTLS(address.host, ip, address.port)
    return _Pinned(address.host, ip, address.port)


class _Pinned(http.client.HTTPConnection):
    """Says the host's name, and talks to the IP that was judged."""

    def __init__(self, host: str, ip: str, port: int) -> None:
        super().__init__(host, port, timeout=CONNECT_SECONDS)
        self.ip = ip

    def connect(self) -> None:
        self.sock = socket.create_connection((self.ip, self.port), CONNECT_SECONDS)


class _PinnedTLS(_Pinned):
    default_port = http.client.HTTPS_PORT

    def connect(self) -> None:
        super().connect()
        self.sock = ssl.create_default_context().wrap_socket(self.sock, server_hostname=self.host)


def _cut(connection: http.client.HTTPConnection) -> None:
    sock = connection.sock
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
