"""The proxy of a stack (HAProxy): what it starts with, and how its target is changed while it runs.

Its targets are changed by the runtime API, on a unix socket that only `docker exec` reaches. Nothing is loaded anew for
that, so no connection is lost (docs/decisions/0008 has the figures). A target is a container's name; the address behind
it is asked of Docker's DNS once a second, so a container that comes back with another address is found again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

FOLDER = "/proxy"  # a volume; of no image, so that Docker makes it for whoever the container runs as
SOCKET = f"{FOLDER}/admin.sock"
STATE = f"{FOLDER}/state"  # what it was told last, so that it starts with that
STATUS_PORT = 8404  # /healthz and /metrics, inside the stack's network
_TALK = (
    'use IO::Socket::UNIX; $s = IO::Socket::UNIX->new(Peer => shift) or die "$!\\n"; '
    "print $s $_ while <STDIN>; $s->shutdown(1); print while <$s>;"
)

_HEAD = f"""# The proxy alone is published. Written by apps/environments/containers/proxy.py; a test keeps it as that says.
global
    stats socket {SOCKET} mode 600 level admin
    server-state-file {STATE}
    log stdout format raw local0 notice

resolvers docker
    nameserver dns 127.0.0.11:53
    timeout resolve 1s
    timeout retry 500ms
    hold valid 1s
    hold nx 10s

defaults
    mode http
    load-server-state-from-file global
    timeout connect 3s
    timeout client 75s
    timeout server 75s
    timeout tunnel 1h
    retries 3
    option redispatch

frontend status
    bind :{STATUS_PORT}
    monitor-uri /healthz
    http-request use-service prometheus-exporter if {{ path /metrics }}
    http-request deny
"""
_ROUTE = """
frontend port_{port}
    bind :{port}
    # Who asks is said by us alone: what a client says of itself is thrown away.
    http-request set-header X-Forwarded-For %[src]
    http-request del-header Forwarded
    default_backend port_{port}

backend port_{port}
    server target {host}:{inner} resolvers docker init-addr last,libc,none
"""


@dataclass(frozen=True)
class Target:
    """Where a port's traffic goes: a container's name and port, and the address behind it; "" while that is not known."""

    host: str
    address: str
    port: int


def configuration(routes: Mapping[int, tuple[str, int]]) -> str:
    """What the proxy starts with: for each of its ports the host and port that its traffic goes to at first."""
    parts = [_ROUTE.format(port=port, host=host, inner=inner) for port, (host, inner) in sorted(routes.items())]
    return _HEAD + "".join(parts)


def ask_command(proxy: str) -> tuple[str, ...]:
    """Talk to the runtime API of the proxy in a container: commands on stdin, one a line, answers on stdout."""
    return ("docker", "exec", "--interactive", proxy, "perl", "-e", _TALK, SOCKET)


def save_command(proxy: str) -> tuple[str, ...]:
    """Keep the targets, given on stdin, for the next start: the old ones or the new, never half."""
    return ("docker", "exec", "--interactive", proxy, "sh", "-c", f"cat > {STATE}.new && mv {STATE}.new {STATE}")


# Asks like a client of the stack would, from where the proxy stands; prints the status, or why there was none.
_PROBE = (
    "use IO::Socket::INET; my ($host, $port, $path) = @ARGV; "
    "$s = IO::Socket::INET->new(PeerAddr => $host, PeerPort => $port, Timeout => 3) or die qq($@\\n); "
    "$SIG{ALRM} = sub { die qq(no answer in time\\n) }; alarm 5; "
    'print $s "GET $path HTTP/1.1\\r\\nHost: localhost\\r\\nUser-Agent: flow-control-probe\\r\\nConnection: close\\r\\n\\r\\n"; '
    "$line = <$s>; $line =~ m{^HTTP/1\\.[01] (\\d{3})} or die qq(no HTTP answer\\n); print $1;"
)


def probe_command(proxy: str, host: str, port: int, path: str) -> tuple[str, ...]:
    """Ask a container for a path from the proxy's network. It prints the status of the answer."""
    return ("docker", "exec", proxy, "perl", "-e", _PROBE, host, str(port), path)


SHOW = "show servers state\n"
COUNT = "show stat -1 4 -1\n"  # of servers alone


def point(port: int, host: str) -> str:
    """Send the traffic of a port to another host, as soon as its address is known; until then to the one before."""
    return f"set server port_{port}/target fqdn {host}\n"


def aim(port: int, address: str, inner: int) -> str:
    """The same with another port of the container. What the proxy kept of its last run has the port of that time."""
    return f"set server port_{port}/target addr {address} port {inner}\n"


@dataclass(frozen=True)
class Counted:
    """What a port's target has answered since the proxy started."""

    requests: int
    errors: int  # answers of 500 and above, and connections and answers that failed


def counts(stat: str) -> dict[int, Counted]:
    """The answers of each port's target, out of what COUNT answers."""
    lines = [line for line in stat.splitlines() if line]
    if not lines or not lines[0].startswith("# "):
        return {}
    names = lines[0].removeprefix("# ").split(",")
    found = {}
    for line in lines[1:]:
        row = dict(zip(names, line.split(","), strict=False))
        if row.get("svname") == "target" and row["pxname"].startswith("port_"):
            errors = sum(int(row.get(name) or 0) for name in ("hrsp_5xx", "econ", "eresp"))
            answered = sum(int(number or 0) for name, number in row.items() if name.startswith("hrsp_"))
            found[int(row["pxname"].removeprefix("port_"))] = Counted(answered, errors)
    return found


def targets(state: str) -> dict[int, Target]:
    """Where the traffic of each port goes, out of what SHOW answers."""
    found = {}
    names: list[str] = []
    for line in state.splitlines():
        words = line.split()
        if line.startswith("# "):
            names = words[1:]
        elif names and len(words) == len(names):
            row = dict(zip(names, words, strict=True))
            address = "" if row["srv_addr"] == "-" else row["srv_addr"]
            found[int(row["be_name"].removeprefix("port_"))] = Target(row["srv_fqdn"], address, int(row["srv_port"]))
    return found
