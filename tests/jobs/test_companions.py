"""Companions run while the controller leads, begin anew when they fail, and end when it no longer leads."""

import threading

import pytest

from apps.jobs import companions
from apps.jobs.companions import Companions
from apps.jobs.supervisor import Supervisor

SECONDS = 10


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(companions, "RESTART_SECONDS", 0.01)


@pytest.mark.django_db
def test_one_that_fails_begins_anew_and_the_same_failure_is_told_once(caplog):
    rounds, enough = [], threading.Event()

    def fails(stop):
        rounds.append(1)
        if len(rounds) >= 3:
            enough.set()
        raise ValueError("always")

    both = Companions({"fails": fails})
    both.start()
    both.start()
    assert enough.wait(SECONDS)
    both.stop()
    told = [each for each in caplog.records if "begins anew" in each.getMessage()]
    assert len(told) == 1


@pytest.mark.django_db
def test_they_run_while_the_controller_leads(monkeypatch):
    began, ended = threading.Event(), threading.Event()

    def waits(stop):
        began.set()
        stop.wait(SECONDS)
        ended.set()

    leading = Supervisor(Companions({"waits": waits}))
    monkeypatch.setattr("apps.jobs.supervisor.reconcile_once", lambda: type("None", (), {"any": lambda self: False})())
    leading.look()
    assert began.wait(SECONDS)
    assert not ended.is_set()
    monkeypatch.setattr(leading.leadership, "lead", lambda: False)
    leading.look()
    assert ended.wait(SECONDS)


@pytest.mark.django_db
def test_one_that_stands_by_starts_none(monkeypatch):
    began = threading.Event()
    standing_by = Supervisor(Companions({"waits": lambda stop: began.set()}))
    monkeypatch.setattr(standing_by.leadership, "lead", lambda: False)
    standing_by.look()
    assert not began.wait(0.2)


def test_the_observer_is_one():
    assert "observer of services" in companions.registered()
