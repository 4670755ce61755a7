"""Logs on demand: masked also at the edges, never more than fits, and an answer in every case."""

import json
import threading
import time
import uuid

import pytest

from apps.environments import answering, asking
from apps.environments.containers import found, lines
from apps.environments.stages import stack
from apps.environments.tasks import read_lines
from apps.jobs import messages
from tests.environments import stacks
from tests.environments.containers.projects import compose, needs_engine

SECRET = "correct-horse-battery"
MOST = lines.MOST_BYTES


def mask(text):
    return text.replace(SECRET, "••••")


def shown(text, cut=False):
    return lines.shown(text.encode(), cut, "web-1", mask, MOST)


# --- lines ----------------------------------------------------------------------------------------------


def test_lines_come_masked_and_without_control_characters():
    found = shown(f"one\n\x1b[31mtoken={SECRET}\x1b[0m\x07\n\nlast")
    assert found.lines == ("one", "token=••••", "", "last")
    assert not found.cut


def test_only_the_last_lines_are_shown():
    found = shown("".join(f"{number}\n" for number in range(500)))
    assert (len(found.lines), found.lines[-1]) == (lines.MOST_LINES, "499")


def test_too_much_is_cut_at_the_front_and_says_so():
    found = shown("".join(f"{number:06} {'x' * 3000}\n" for number in range(400)))
    assert found.cut
    assert sum(map(len, found.lines)) <= MOST
    assert found.lines[-1].startswith("000399")
    assert all(line[6] == " " for line in found.lines), "the broken first line is left out"


@pytest.mark.parametrize("offset", range(1, len(SECRET)))
def test_a_secret_that_the_cut_goes_through_is_not_shown_in_part(offset):
    text = SECRET[-offset:] + "z" * (MOST + lines.MARGIN - offset)  # as the reading of a long stream keeps it
    assert "y" not in "".join(shown(text, cut=True).lines)
    assert SECRET.endswith("y")


def test_a_huge_line_is_shortened_with_what_is_left_out():
    (line,) = shown("x" * 100_000).lines
    assert line.startswith("x" * lines.LONGEST_LINE)
    assert "96,000 more characters" in line


def test_lines_that_never_end_are_read_until_the_deadline():
    class Client:
        class api:
            @staticmethod
            def logs(container, **options):
                while True:
                    yield b"again\n" * 10_000

    began = time.monotonic()
    tail = lines.tail_of(Client, "id", "web-1", mask, most=MOST, deadline=began + 0.2)
    assert time.monotonic() - began < 5
    assert (len(tail.lines), tail.cut) == (lines.MOST_LINES, True)


# --- asking and answering ---------------------------------------------------------------------------------


@pytest.fixture
def asked(settings, monkeypatch):
    """The tasks that were asked for; the cache is this process's own."""
    settings.CACHES = {
        "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": uuid.uuid4().hex}
    }
    tasks = []
    monkeypatch.setattr(messages, "ask", lambda task, args, **more: tasks.append((task, args, more)) or True)
    return tasks


@pytest.mark.django_db
def test_it_waits_then_says_that_nobody_answers(asked, monkeypatch):
    shop = stacks.environment()
    token = asking.ask(shop, "web")
    assert asked == [(asking.TASK, [shop.pk, "web", token], {"queue": "docker", "seconds": asking.PATIENCE_SECONDS})]
    assert asking.answer(shop, "web", token).state == "waiting"
    later = time.time() + asking.PATIENCE_SECONDS + 1
    monkeypatch.setattr(asking.time, "time", lambda: later)
    assert asking.answer(shop, "web", token).state == "nobody"


@pytest.mark.django_db
def test_an_answer_is_for_its_own_service_and_environment_alone(asked):
    shop, other = stacks.environment(), stacks.environment("other")
    token = asking.ask(shop, "web")
    assert asking.answer(shop, "db", token).state == "gone"
    assert asking.answer(other, "web", token).state == "gone"
    assert asking.answer(shop, "web", "guessed").state == "gone"


@pytest.mark.django_db
def test_an_engine_that_is_away_is_the_answer(asked, tmp_path):
    shop = stacks.environment(engine_url=f"unix://{tmp_path}/none.sock")
    token = asking.ask(shop, "web")
    read_lines(shop.pk, "web", token)
    answer = asking.answer(shop, "web", token)
    assert (answer.state, "there is no socket" in answer.message) == ("failed", True)
    assert answer.hint


@pytest.mark.django_db
def test_a_bus_that_is_away_is_told(settings, monkeypatch):
    settings.CACHES = {
        "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "unix:///nowhere.sock"}
    }
    shop = stacks.environment()
    assert asking.ask(shop, "web") == ""
    assert asking.answer(shop, "web", "any").state == "away"


def test_a_message_that_cannot_be_sent_is_told(settings):
    settings.CELERY_BROKER_URL = "redis+socket:///nowhere.sock"
    messages._sender.cache_clear()
    try:
        assert messages.ask("no.such.task", [], queue="docker", seconds=1) is False
    finally:
        messages._sender.cache_clear()


@pytest.mark.django_db
def test_lines_of_a_real_container_come_masked_also_in_a_line_of_many_kilobytes(asked, tmp_path, monkeypatch):
    """The engine keeps long lines in pieces of 16 KiB; the secret lies across an edge of them."""
    needs_engine()
    monkeypatch.setattr(stack, "masker", lambda environment: mask)
    name, file = f"fcpages-{uuid.uuid4().hex[:10]}", tmp_path / "compose.json"
    padding = 16 * 1024 - 10
    script = f"head -c {padding} /dev/zero | tr '\\0' x; echo {SECRET}; echo to stderr >&2; sleep 600"
    services = {"web": {"image": "busybox:1", "command": ["sh", "-c", script], "init": True}}
    file.write_text(json.dumps({"services": services}))
    shop = stacks.environment(project=name)
    monkeypatch.setattr(lines, "LONGEST_LINE", 100_000)
    try:
        compose(name, file, "up", "--detach", "--wait", "--pull", "never")
        deadline, answer = time.monotonic() + 20, None
        while answer is None or sum(len(tail["lines"]) for tail in answer.tails) < 2:
            assert time.monotonic() < deadline, answer
            token = asking.ask(shop, "web")
            read_lines(shop.pk, "web", token)
            answer = asking.answer(shop, "web", token)
            threading.Event().wait(0.1)
    finally:
        compose(name, file, "down", "--timeout", "1", check=False)
    (tail,) = answer.tails
    assert sorted(tail["lines"], key=len) == ["to stderr", "x" * padding + "••••"]
    assert tail["container"] == f"{name}-web-1"
    with pytest.raises(found.EngineAway):
        answering.read(stacks.environment("away", engine_url=f"unix://{tmp_path}/none.sock"), "web")
