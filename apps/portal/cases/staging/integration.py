"""L2 integration: each service does its part for the others, and what is stored stays."""

import json
import socket
import uuid
from urllib.parse import urlsplit

import redis
from celery import current_app
from django.conf import settings
from django.db import connection

from apps.environments.containers.found import Found
from apps.environments.models import Environment
from apps.jobs import queries, workers
from apps.jobs.models import Leader
from apps.portal.cases.staging import throwaway
from apps.portal.cases.staging.stack import STAGING, Stack, stack
from apps.testruns.cases.checks import Skip, check
from apps.testruns.cases.model import Place

KEPT_IN = {"postgres": "/var/lib/postgresql/data", "redis": "/data"}
ANSWER_SECONDS = 5.0
RESTART_SECONDS = 30.0


@check("L2", title="each service is asked after its health", environments=STAGING, timeout=30)
def health_is_asked(place: Place) -> None:
    with stack(place) as there:
        wrong = not_asked(there)
        assert not wrong, "; ".join(wrong)


def not_asked(there: Stack) -> list[str]:
    return [f"{each.name} has no health check" for each in there.running if not each.health]


@check("L2", title="the database is the stack's PostgreSQL, and answers", environments=STAGING, timeout=30)
def database_is_postgres(place: Place) -> str:
    with stack(place) as there:
        try:
            if connection.vendor != "postgresql":
                raise Skip("this process has another database: run the cases in the stack's controller")
            with connection.cursor() as cursor:
                cursor.execute("SELECT inet_server_addr(), current_setting('server_version')")
                address, version = cursor.fetchone()
        finally:
            connection.close()
        _is_one_of(there, "postgres", str(address).partition("/")[0])
        return f"PostgreSQL {version} at {address}"


@check(
    "L2",
    title="the bus is the stack's Redis, keeps what it is given and writes it down",
    environments=STAGING,
    timeout=30,
)
def bus_is_redis(place: Place) -> str:
    with stack(place) as there:
        host = urlsplit(settings.REDIS_URL).hostname
        if not host:
            raise Skip("this process has a bus of its own: run the cases in the stack's controller")
        _is_one_of(there, "redis", socket.gethostbyname(host))
        with redis.from_url(settings.REDIS_URL, socket_timeout=5, socket_connect_timeout=5) as client:
            assert client.ping(), "Redis does not answer PING"
            name, value = f"case-of-staging-{uuid.uuid4().hex}", uuid.uuid4().hex.encode()
            client.set(name, value, ex=60)
            assert client.getdel(name) == value, "what was written is not what is read"
            assert client.config_get("appendonly") == {"appendonly": "yes"}, (
                "Redis does not write down what it is given"
            )
            return f"Redis {client.info('server')['redis_version']}"


def _is_one_of(there: Stack, service: str, address: str) -> None:
    addresses = {each for found in there.of(service) for each in found.networks.values()}
    assert address in addresses, f"it is at {address}, and the stack's {service} at {', '.join(sorted(addresses))}"


@check("L2", title="the stack's worker is alive and takes this environment's runs", environments=STAGING, timeout=30)
def worker_is_the_stack_s(place: Place) -> str:
    with stack(place) as there:
        try:
            queue = Environment.objects.get(slug=place.environment).queue
            alive = [each for each in workers.alive(queue) if host_is_one_of(there.of("worker"), each.host)]
            assert alive, f"no worker of the stack has said lately that it takes work from {queue}"
        finally:
            connection.close()
        answers = current_app.control.ping(timeout=ANSWER_SECONDS / 2)
        answered = {name for answer in answers or () for name in answer}
        silent = sorted(each.name for each in alive if each.name not in answered)
        assert not silent, f"{', '.join(silent)} does not answer a ping over the bus"
        return ", ".join(sorted(answered))


@check("L2", title="the stack's controller leads and keeps up", environments=STAGING, timeout=30)
def controller_leads(place: Place) -> str:
    with stack(place) as there:
        try:
            readiness = queries.readiness()
            holder = Leader.objects.filter(role="controller").values_list("holder", flat=True).first() or ""
        finally:
            connection.close()
        assert readiness["ready"], " ".join(readiness["reasons"])
        host = holder.partition(":")[0]
        assert host_is_one_of(there.of("controller"), host), f"{holder or 'nobody'} leads, which is not of this stack"
        return f"{holder} led {readiness['supervisor_tick_seconds']:.1f} s ago"


def host_is_one_of(containers: tuple[Found, ...], host: str) -> bool:
    """A container's host name is the beginning of its id, unless it was given another."""
    return bool(host) and any(each.container.startswith(host) for each in containers)


@check("L2", title="beat ticks", environments=STAGING, timeout=30)
def beat_ticks(place: Place) -> None:
    """Its health check asks for a sign of life that beat gives with each pass."""
    with stack(place) as there:
        beat = there.one("beat")
        assert beat.health == "healthy", f"{beat.name} is {beat.health or 'not asked after its health'}"


@check("L2", title="the webhook service sees a portal that is ready", environments=STAGING, timeout=60)
def webhook_sees_the_portal(place: Place) -> None:
    with stack(place) as there:
        (said,) = throwaway.ask(there, "get", "http://proxy:9001/", seconds=40)
        assert said["status"] == 200, f"it answers {said['status'] or 'nothing'} {said['error']}"
        not_ready = [name for name, value in json.loads(said["body"]).items() if "ready" in name and value is False]
        assert not not_ready, f"it says: {said['body'][:300]}"


@check("L2", title="database and bus keep their data in volumes", environments=STAGING, timeout=30)
def data_is_in_volumes(place: Place) -> None:
    with stack(place) as there:
        wrong = not_in_a_volume(there)
        assert not wrong, "; ".join(wrong)


def not_in_a_volume(there: Stack) -> list[str]:
    return [
        f"{each.name} keeps {folder} in its container: it is gone when that is made anew"
        for service, folder in KEPT_IN.items()
        for each in there.of(service)
        if not any(
            mount.target == folder and mount.kind in ("volume", "bind") and mount.writable for mount in each.mounts
        )
    ]


@check("L2", title="what Redis was given is there after its container was restarted", environments=STAGING, timeout=90)
def data_outlives_a_restart(place: Place) -> None:
    """With a container of the case's own, made of the stack's image and command: a restart of the real one would cut
    every worker off from its work."""
    with stack(place) as there:
        survives_restart(there)


def survives_restart(there: Stack) -> None:
    real = there.client.api.inspect_container(there.one("redis").container)
    value = uuid.uuid4().hex
    with throwaway.container(
        there,
        real["Image"],
        real["Config"]["Cmd"],
        network_mode="none",
        user=real["Config"]["User"] or None,
        volumes=["/data"],  # one without a name: it goes with its container
        healthcheck={"test": ["NONE"]},
    ) as ours:

        def said(*words: str) -> str:
            text: str = ours.exec_run(["redis-cli", *words]).output.decode("utf-8", "replace").strip()
            return text

        throwaway.until("Redis does not begin", lambda: said("ping"), "PONG", RESTART_SECONDS)
        assert said("set", "case", value) == "OK", "Redis does not take what it is given"
        ours.kill("SIGKILL")  # the hard way: nothing is written down on leaving
        ours.start()
        throwaway.until("Redis does not come back", lambda: said("ping"), "PONG", RESTART_SECONDS)
        assert said("get", "case") == value, "what was written is gone after a restart: is appendonly on?"


@check("L2", title="recovery is armed", environments=STAGING, timeout=30)
def recovery_is_armed() -> str:
    if not getattr(settings, "RECOVERY", False):
        raise Skip("RECOVERY is not active here")
    try:
        ready = [each.name for each in workers.alive("recovery")]
    finally:
        connection.close()
    assert ready, "RECOVERY is active, but no worker takes work from the queue recovery: nothing would be recovered"
    return ", ".join(ready)
