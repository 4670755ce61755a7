"""What the observer writes is what the engine shows; an engine that is away or hangs holds up nobody."""

import json
import socket
import threading
import time
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from apps.common import clock
from apps.environments import observer, standing
from apps.environments.containers.found import EngineAway, Found, Limits, Port
from apps.environments.models import Environment, Service
from apps.environments.observer import Observer, Seen, Usage
from tests.environments import stacks
from tests.environments.containers.projects import SLEEPER, compose, needs_engine
from tests.stack.portal import wait_for

pytestmark = pytest.mark.django_db
SERVICES = {
    "busy": {**SLEEPER, "command": ["sh", "-c", "while true; do :; done"], "cpus": 0.2, "mem_limit": "32m"},
    "web": {
        "image": "busybox:1",
        "command": ["httpd", "-f", "-p", "8000"],
        "init": True,
        "ports": ["127.0.0.1::8000"],
        "healthcheck": {"test": ["CMD", "true"], "interval": "1s", "start_interval": "100ms", "start_period": "5s"},
    },
}


def container(name="web", **fields):
    values = {
        "service": name, "container": f"id-{name}", "name": f"p-{name}-1", "image": "busybox:1", "image_id": "sha256:0",
        "state": "running", "health": "", "exit_code": None, "restarts": 0, "started_at": "2026-01-02T03:04:05.678901234Z",
        "restart_policy": "no", "limits": Limits(None, None, None), "ports": (), "networks": {}, "mounts": (),
        "log_driver": "", "log_options": {}, "labels": {}, "user": "", "privileged": False, **fields,
    }  # fmt: skip
    return Found(**values)


# --- against the real engine ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    needs_engine()
    name, file = f"fcpages-{uuid.uuid4().hex[:10]}", tmp_path_factory.mktemp("observer") / "compose.json"
    file.write_text(json.dumps({"services": SERVICES}))
    try:
        compose(name, file, "up", "--detach", "--wait", "--pull", "never")
        yield name, file
    finally:
        compose(name, file, "down", "--volumes", "--timeout", "1", check=False)


def test_a_look_writes_what_the_engine_shows(project):
    name, file = project
    shop = stacks.environment(project=name, compose_file=str(file), engine_seen_at=None)
    assert {row.name for row in observer.look(shop)} == {"busy", "web"}
    # A later look knows what was used since the first.
    wait_for(lambda: any(row.cpu for row in observer.look(shop)), 30, "CPU in use")
    busy, web = (Service.objects.get(environment=shop, name=each) for each in ("busy", "web"))
    assert (busy.state, busy.health, busy.cpu_limit, busy.memory_limit_bytes) == ("running", "", 0.2, 32 * 1024**2)
    assert 0 < busy.memory_bytes < 32 * 1024**2
    assert busy.cpu > 0
    assert (web.health, web.exit_code, web.restarts, web.image) == ("healthy", None, 0, "busybox:1")
    assert len(web.ports) == 1
    assert web.ports[0].startswith("127.0.0.1:")
    assert web.ports[0].endswith("->8000/tcp")
    assert web.started_at.tzinfo is not None
    shop.refresh_from_db()
    assert shop.engine_seen_at == web.seen_at


def test_what_is_gone_is_removed_and_what_has_ended_says_how(project):
    name, file = project
    shop = stacks.environment(project=name, compose_file=str(file))
    observer.look(shop)
    compose(name, file, "rm", "--force", "--stop", "web")
    compose(name, file, "kill", "busy")
    (row,) = observer.look(shop)
    assert (row.name, row.state, row.exit_code, row.cpu, row.memory_bytes) == ("busy", "exited", 137, None, None)
    assert [each.name for each in Service.objects.filter(environment=shop)] == ["busy"]
    compose(name, file, "up", "--detach", "--wait", "--pull", "never")


def test_a_project_without_containers_is_an_answer_too():
    needs_engine()
    shop = stacks.environment(project="fcpages-nothing", engine_seen_at=None, engine_error="away")
    assert observer.look(shop) == []
    shop.refresh_from_db()
    assert shop.engine_seen_at is not None
    assert shop.engine_error == ""


def test_an_engine_that_is_not_there_leaves_the_rows_as_they_were(tmp_path):
    shop = stacks.environment(engine_url=f"unix://{tmp_path}/none.sock")
    before = stacks.service(shop)
    with pytest.raises(EngineAway, match="there is no socket"):
        observer.look(shop)
    assert Service.objects.get().seen_at == before.seen_at


def test_an_engine_that_takes_a_question_and_says_nothing_is_left_after_a_while(tmp_path, monkeypatch):
    monkeypatch.setattr(observer, "ANSWER_SECONDS", 0.3)
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(tmp_path / "mute.sock"))
        mute.listen()
        began = time.monotonic()
        with pytest.raises(EngineAway, match="does not answer in time"):
            observer.look(stacks.environment(engine_url=f"unix://{tmp_path}/mute.sock"))
    assert time.monotonic() - began < 10


# --- rows -----------------------------------------------------------------------------------------------


def test_it_costs_as_many_queries_for_many_containers_as_for_one(django_assert_num_queries):
    shop = stacks.environment()
    for number in (1, 12):
        with django_assert_num_queries(7):  # five, and the two of the transaction's savepoint
            observer.record(shop, [Seen(container(f"s{each}"), 0.1, 1) for each in range(number)])
        assert Service.objects.filter(environment=shop).count() == number


def test_it_is_known_since_when_all_is_well():
    shop = stacks.environment(engine_seen_at=None)

    def look(*there):
        observer.record(shop, [Seen(each, None, None) for each in there])
        shop.refresh_from_db()
        return shop.well_since

    assert look() is None, "nothing runs"
    since = look(container(), container("job", state="exited", exit_code=0))
    assert since is not None
    assert look(container()) == since
    assert look(container(health="unhealthy")) is None
    assert look(container(), container("job", state="exited", exit_code=1)) is None
    again = look(container())
    assert again > since
    long_ago = clock.now() - timedelta(seconds=observer.LONGEST_GAP_SECONDS + 1)
    Environment.objects.update(engine_seen_at=long_ago, well_since=long_ago)
    assert look(container()) > again, "nobody has looked for a while"


def test_the_first_look_of_a_process_keeps_the_cpu_that_another_saw():
    shop = stacks.environment()
    observer.record(shop, [Seen(container(), 0.25, 1)])
    observer.record(shop, [Seen(container(), None, 2)])
    assert (Service.objects.get().cpu, Service.objects.get().memory_bytes) == (0.25, 2)
    observer.record(shop, [Seen(container(container="another"), None, 2)])
    assert Service.objects.get().cpu is None


def test_cores_are_the_difference_over_the_time_between():
    now = Usage(3_000_000_000, 0, 12.0)
    assert observer.cores_between(Usage(2_000_000_000, 0, 10.0), now) == 0.5
    assert observer.cores_between(None, now) is None
    assert observer.cores_between(Usage(2_000_000_000, 0, 11.9), now) is None, "it was just now"
    assert observer.cores_between(Usage(9_000_000_000, 0, 10.0), now) is None, "it was started anew"


def test_memory_in_use_leaves_out_the_cache_that_can_be_given_back():
    assert observer.memory_in_use({"usage": 100, "stats": {"total_inactive_file": 30, "inactive_file": 1}}) == 70
    assert observer.memory_in_use({"usage": 100, "stats": {"inactive_file": 30}}) == 70
    assert observer.memory_in_use({}) == 0


def test_ports_are_written_as_people_write_them():
    both = (Port("80/tcp", "0.0.0.0", 8080), Port("80/tcp", "::", 8080), Port("9000/tcp"), Port("81/tcp", "::1", 81))
    assert observer.ports_of(container(ports=both)) == ["0.0.0.0:8080->80/tcp", "[::1]:81->81/tcp"]


def test_times_of_the_engine_are_read_and_never_is_none():
    assert observer.moment_of("2026-01-02T03:04:05.678901234Z") == datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)
    assert observer.moment_of("0001-01-01T00:00:00Z") is None


# --- again and again --------------------------------------------------------------------------------------


@pytest.fixture
def engines(monkeypatch):
    """What the engine of each environment answers, by slug: containers, an error, or an event that it waits for."""
    answers = {"dev": []}

    def ask(environment):
        answer = answers[environment.slug]
        if isinstance(answer, threading.Event):
            answer.wait(30)
            return []
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(observer, "containers_of", ask)
    return answers


def test_one_that_hangs_holds_up_no_other_and_is_not_asked_twice(engines, monkeypatch):
    monkeypatch.setattr(standing, "EVERY_SECONDS", 0.0)
    hangs, shop = stacks.environment("hangs"), stacks.environment("shop")
    engines |= {"hangs": threading.Event(), "shop": [Seen(container(), 0.1, 1)]}
    watching = Observer()
    try:
        for _ in range(2):
            watching.ask()
            watching.take(0.3)
            assert watching._asked == {hangs.pk}
        assert Service.objects.get().environment == shop
    finally:
        engines["hangs"].set()


def test_an_engine_that_is_away_is_told_of_once(engines, caplog, monkeypatch):
    monkeypatch.setattr(standing, "EVERY_SECONDS", 0.0)
    shop = stacks.environment()
    row, engines["shop"] = stacks.service(shop), EngineAway("Gone.")
    watching = Observer()
    with caplog.at_level("INFO", "apps.environments.observer"):
        for _ in range(3):
            watching.ask()
            watching.take(0.2)
    assert [each.getMessage() for each in caplog.records] == ["The engine of shop: Gone."]
    shop.refresh_from_db()
    assert shop.engine_error == "Gone."
    assert Service.objects.get().seen_at == row.seen_at
    engines["shop"] = [Seen(container(), 0.1, 1)]
    watching.ask()
    watching.take(0.2)
    shop.refresh_from_db()
    assert shop.engine_error == ""


def test_a_machine_without_docker_is_silent(engines, caplog):
    engines["dev"] = EngineAway("No Docker Engine answers.")
    with caplog.at_level("INFO", "apps.environments.observer"):
        watching = Observer()
        watching.ask()
        watching.take(0.2)
    assert not caplog.records
    assert Environment.objects.get(slug="dev").engine_error == "No Docker Engine answers."


def test_a_strange_answer_is_an_answer(engines):
    engines["dev"] = KeyError("State")
    watching = Observer()
    watching.ask()
    watching.take(0.3)
    assert watching._asked == set()
    assert "KeyError" in Environment.objects.get(slug="dev").engine_error
