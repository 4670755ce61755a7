"""Live events over a real web server: nothing is missed, whoever may not does not see, the bus may die."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from apps.accounts.models import RoleGrant
from apps.jobs import events, hints, live
from apps.jobs.leases import claim
from tests.jobs.errands import Errand
from tests.jobs.people import stranger, viewer
from tests.jobs.servers import Bus, Stream, web_server

Make = Callable[..., Errand]


@pytest.fixture
def bus(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bus]:
    server = Bus(tmp_path)
    settings.REDIS_URL = server.url
    monkeypatch.setattr(hints, "publish", hints.Bus().publish)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def port(rows: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    settings.ALLOWED_HOSTS = ["127.0.0.1"]
    monkeypatch.setitem(
        connection.settings_dict, "CONN_MAX_AGE", 0
    )  # none may outlive the test in the server's threads
    with web_server() as number:
        yield number


@pytest.fixture
def cookie(rows: None) -> str:
    return session(viewer())


def session(user: Any) -> str:
    client = Client()
    client.force_login(user)
    return client.cookies["sessionid"].value


def path(job: Errand) -> str:
    return f"/events/errand/{job.pk}/"


def say(job: Errand, first: int, last: int) -> None:
    for n in range(first, last + 1):
        events.append(job, "log", {"n": n})


def test_events_arrive_while_they_happen(bus: Bus, port: int, cookie: str, errand: Make) -> None:
    job = errand()
    with Stream(port, path(job), cookie) as stream:
        (first,) = stream.read(1)
        assert (first["kind"], first["seq"], first["state"]) == ("state", 1, "queued")
        assert first["at"]
        say(job, 2, 6)
        assert [event["n"] for event in stream.read(5)] == [2, 3, 4, 5, 6]
        assert stream.last == f"job-errand-{job.pk}:6"


@pytest.mark.parametrize("form", ["{channel}:{seq}", "{seq}"])
def test_a_reader_that_comes_back_misses_nothing(bus: Bus, port: int, cookie: str, errand: Make, form: str) -> None:
    job = errand()
    say(job, 2, 5)
    with Stream(port, path(job), cookie) as stream:
        stream.read(3)
    say(job, 6, 300)
    last = form.format(channel=f"job-errand-{job.pk}", seq=3)
    with Stream(port, path(job), cookie, last=last) as stream:
        assert [event["n"] for event in stream.read(297)] == list(range(4, 301))
    with Stream(port, path(job) + "?lastEventId=299", cookie) as stream:
        assert [event["n"] for event in stream.read(1)] == [300]
    with Stream(port, path(job) + "?lastEventId=299", cookie, last="298") as stream:
        assert [event["n"] for event in stream.read(1)] == [299]


def test_a_burst_from_several_writers_arrives_whole_and_in_order(
    bus: Bus, port: int, cookie: str, errand: Make
) -> None:
    job = errand()
    with Stream(port, path(job), cookie, last="1") as stream:
        writers = [threading.Thread(target=say, args=(job, 1, 50)) for _ in range(3)]
        for writer in writers:
            writer.start()
        assert [event["seq"] for event in stream.read(150)] == list(range(2, 152))
        for writer in writers:
            writer.join()


@pytest.mark.kill
def test_events_arrive_when_the_bus_is_killed_and_when_it_is_back(
    bus: Bus, port: int, cookie: str, errand: Make
) -> None:
    job = errand()
    with Stream(port, path(job), cookie, last="1") as stream:
        say(job, 2, 3)
        stream.read(2)
        bus.kill()
        say(job, 4, 6)
        assert [event["n"] for event in stream.read(3)] == [4, 5, 6]
        bus.start()
        say(job, 7, 8)
        assert [event["n"] for event in stream.read(2)] == [7, 8]


def test_events_arrive_where_there_never_was_a_bus(
    tmp_path: Path, settings: Any, port: int, cookie: str, errand: Make
) -> None:
    settings.REDIS_URL = f"unix://{tmp_path}/none.sock"
    job = errand()
    with Stream(port, path(job), cookie, last="1") as stream:
        say(job, 2, 3)
        assert [event["n"] for event in stream.read(2)] == [2, 3]


def test_a_stranger_is_refused(port: int, errand: Make) -> None:
    with Stream(port, path(errand()), session(stranger())) as stream:
        assert stream.status == 403


def test_who_is_not_logged_in_sees_nothing(port: int, errand: Make) -> None:
    with Stream(port, path(errand())) as stream:
        assert stream.status in {302, 401, 403}


def test_a_right_that_is_taken_ends_the_stream(
    port: int, cookie: str, errand: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = errand()
    monkeypatch.setattr(live, "TRUST_SECONDS", 0.0)
    with Stream(port, path(job), cookie) as stream:
        stream.read(1)
        RoleGrant.objects.all().delete()
        say(job, 2, 2)
        assert stream.read(1) == []
        assert stream.ended


@pytest.mark.parametrize(
    ("address", "last", "status"),
    [
        ("/events/errand/99999/", "", 404),
        ("/events/nothing/1/", "", 404),
        ("{path}", "error", 400),
        ("{path}", "job-errand-77777:1", 400),
    ],
)
def test_nonsense_is_refused(port: int, cookie: str, errand: Make, address: str, last: str, status: int) -> None:
    with Stream(port, address.format(path=path(errand())), cookie, last=last) as stream:
        assert stream.status == status


def test_a_number_that_the_job_has_not_reached_is_answered_with_a_reset(port: int, cookie: str, errand: Make) -> None:
    job = errand()
    with Stream(port, path(job), cookie, last="500") as stream:
        while stream.response.readline() != b"event: stream-reset\n":
            pass  # the reader's timeout ends this
        while stream.response.readline() != b"\n":
            pass
        say(job, 2, 2)
        assert [event["seq"] for event in stream.read(1)] == [2]


def test_a_browser_that_saw_all_of_a_job_that_is_over_stops_coming_back(port: int, cookie: str, errand: Make) -> None:
    job = errand()
    with claim(Errand, job.pk) as lease:  # type: ignore[union-attr]
        lease.finish("succeeded")
    with Stream(port, path(job), cookie) as stream:
        assert [event["kind"] for event in stream.read(3)] == ["state"] * 3
        last = stream.last
    with Stream(port, path(job), cookie, last=last) as stream:
        assert stream.status == 204


def test_a_stream_ends_after_its_time_and_is_told_how_to_come_back(
    bus: Bus, port: int, cookie: str, errand: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "STREAM_SECONDS", 0.5)
    job = errand()
    with Stream(port, path(job), cookie) as stream:
        assert stream.response.readline() == b"retry: 1000\n"
        assert stream.read(1)
        while not stream.ended:
            events.append(job, "log", {})
            stream.read(1)


def test_a_stream_that_is_closed_is_forgotten(port: int, cookie: str, errand: Make, until: Callable[..., None]) -> None:
    import django_eventstream.views

    listeners = django_eventstream.views.listener_manager
    job = errand()
    with Stream(port, path(job), cookie) as stream:
        stream.read(1)
        assert listeners.channels() == [f"job-errand-{job.pk}"]
    until(lambda: listeners.channels() == [], what="no listener left")


def test_many_streams_share_a_few_database_connections(
    bus: Bus, port: int, cookie: str, errand: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db.backends.signals import connection_created

    opened: list[Any] = []
    keep = lambda connection, **more: opened.append(connection)  # noqa: E731 - the signal holds it weakly
    job = errand()
    streams = [Stream(port, path(job), cookie, last="1") for _ in range(30)]
    try:
        say(job, 2, 2)
        for stream in streams:
            assert len(stream.read(1)) == 1
        connection_created.connect(keep)
        say(job, 3, 3)
        for stream in streams:
            assert len(stream.read(1)) == 1
        alive = {id(each) for each in opened if each.connection is not None}
        assert len(alive) <= 10
    finally:
        connection_created.disconnect(keep)
        for stream in streams:
            stream.__exit__()
