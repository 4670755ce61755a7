"""An errand table, processes that share the tests' database, and a bus to kill."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection, transaction

from apps.accounts import policy
from apps.jobs import actions, messages, registry
from apps.jobs.models import JobEvent, Leader, Worker
from tests.jobs import errands
from tests.jobs.errands import Errand, Step

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def errand_tables(django_db_setup: None, django_db_blocker: Any) -> None:
    with django_db_blocker.unblock():
        errands.create_tables()


@pytest.fixture
def rows(errand_tables: None, transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Committed rows that other threads and processes see; the errand kind is known while the test lasts."""
    monkeypatch.setattr(registry, "_kinds", {})
    monkeypatch.setitem(policy.ACTIONS, "errands.view", policy.Rule("see errands", policy.READERS))
    errands.register()
    yield
    for model in (Errand, Step, JobEvent, Worker, Leader):
        model.objects.all().delete()


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The ids whose messages were sent, instead of sending them."""
    ids: list[int] = []

    def send(kind: registry.JobKind, pk: int, queue: str) -> bool:
        ids.append(pk)
        return True

    monkeypatch.setattr(messages, "send", send)
    return ids


@pytest.fixture
def errand(rows: None, sent: list[int]) -> Callable[..., Errand]:
    """Makes an errand that is in line."""

    def make(delay: float = 0.0, **fields: Any) -> Errand:
        with transaction.atomic():
            job = Errand.objects.create(**fields)
            actions.enqueue(job, delay)
        return job

    return make


@pytest.fixture
def until() -> Callable[..., None]:
    """Wait for a condition; fail when it does not come true."""

    def wait(condition: Callable[[], Any], seconds: float = 10.0, what: str = "") -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"not within {seconds:g} s: {what or condition}"
            time.sleep(0.02)

    return wait


@pytest.fixture
def process(rows: None) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts Python code in a process of its own that has Django, the errands and this test's database."""
    running: list[subprocess.Popen[str]] = []
    head = "import django, sys; django.setup()\nfrom tests.jobs import errands; errands.register()\n"

    def start(code: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [sys.executable, "-c", head + textwrap.dedent(code), *arguments],
            cwd=ROOT,
            env=child_environment(**environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        running.append(child)
        return child

    yield start
    for child in running:
        child.kill()
        child.communicate()


def child_environment(**more: str) -> dict[str, str]:
    database = connection.settings_dict
    if connection.vendor == "sqlite":
        url = f"sqlite://{database['NAME']}"
    else:
        url = f"postgres://{database['USER']}:{database['PASSWORD']}@{database['HOST']}:{database['PORT']}/{database['NAME']}"
    return {
        **os.environ,
        "DATABASE_URL": url,
        "REDIS_URL": settings.REDIS_URL,
        "LEASE_SECONDS": str(settings.LEASE_SECONDS),
        **more,
    }
