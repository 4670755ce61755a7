"""The table of arrows guards, and the docs show it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from itertools import product

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import IntegrityError

from apps.common import clock
from apps.jobs import states
from apps.jobs.management.commands.jobs import PAGE
from apps.jobs.models import JobEvent
from apps.jobs.moment import moment
from apps.jobs.states import ARROWS, State
from apps.jobs.transitions import move
from tests.jobs import errands
from tests.jobs.errands import Errand

Make = Callable[..., Errand]
ALLOWED = {(arrow.source, arrow.target) for arrow in ARROWS}
FORBIDDEN = [pair for pair in product(State, State) if pair not in ALLOWED]


def at(state: State) -> Errand:
    """An errand that stands at `state`."""
    return Errand.objects.create(
        state=state,
        queued_at=clock.now(),
        lease_expires_at=clock.now() + timedelta(seconds=10) if state == "running" else None,
        finished_at=clock.now() if state in states.FINAL else None,
    )


@pytest.mark.parametrize(("source", "target"), sorted(ALLOWED))
def test_each_arrow_can_be_taken_once(rows: None, source: State, target: State) -> None:
    job = at(source)
    fields = {"lease_expires_at": moment(10)} if target == State.RUNNING else {}
    moved = move(errands.KIND, job.pk, source, target, fields=fields)
    assert moved
    assert moved.state == target
    assert bool(moved.finished_at) == (target in states.FINAL)
    assert bool(moved.lease_expires_at) == (target == State.RUNNING)
    assert move(errands.KIND, job.pk, source, target) is None, "it does not stand there any more"
    assert JobEvent.objects.count() == 1


@pytest.mark.parametrize(("source", "target"), FORBIDDEN)
def test_nothing_outside_the_table_happens(rows: None, source: State, target: State) -> None:
    job = at(source)
    with pytest.raises(AssertionError, match="no arrow"):
        move(errands.KIND, job.pk, source, target)
    assert Errand.objects.get().state == source


def test_nothing_leads_out_of_a_final_state() -> None:
    assert not {arrow.source for arrow in ARROWS} & states.FINAL


def test_the_database_refuses_a_running_job_without_a_lease(rows: None) -> None:
    with pytest.raises(IntegrityError):
        Errand.objects.create(state="running")


def test_the_database_refuses_a_final_job_without_an_end(rows: None) -> None:
    with pytest.raises(IntegrityError):
        Errand.objects.create(state="failed")


def test_a_lease_that_ran_out_shows_as_lost_before_anyone_has_reconciled_it(rows: None) -> None:
    job = at(State.RUNNING)
    assert job.display_state == "running"
    job.lease_expires_at = clock.now() - timedelta(seconds=1)
    assert job.display_state == "lost"


def test_the_page_about_states_is_current(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("jobs", "states")
    page = capsys.readouterr().out
    assert (settings.BASE_DIR / PAGE).read_text() == page, "run: manage.py jobs states --write"
    for arrow in ARROWS:
        assert f"    {arrow.source} --> {arrow.target}: " in page
