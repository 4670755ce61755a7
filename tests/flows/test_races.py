"""People who save at the very same moment."""

import threading

import pytest
from django.db import connection

from apps.audit.actors import SYSTEM
from apps.flows.actions import SaveConflict, save_version
from apps.flows.models import Flow, FlowVersion
from tests.flows.texts import flow

pytestmark = pytest.mark.django_db(transaction=True)
PEOPLE = 6


def at_once(text_of, base):
    """Save from several threads together; gives the versions and the conflicts."""
    barrier = threading.Barrier(PEOPLE)
    found = []

    def save(number):
        try:
            barrier.wait(10)
            found.append(save_version(by=SYSTEM, text=text_of(number), base_sha256=base))
        except SaveConflict as conflict:
            found.append(conflict)
        finally:
            connection.close()

    threads = [threading.Thread(target=save, args=(number,)) for number in range(PEOPLE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == PEOPLE
    return [each for each in found if isinstance(each, FlowVersion)], [
        each for each in found if isinstance(each, SaveConflict)
    ]


def test_one_wins_and_the_others_are_told_of_it():
    base = save_version(by=SYSTEM, text=flow())
    saved, conflicts = at_once(lambda number: flow(more=f"# {number}\n"), base.sha256)
    assert [version.number for version in saved] == [2]
    assert {conflict.theirs for conflict in conflicts} == set(saved)
    assert FlowVersion.objects.count() == 2


def test_of_a_new_flow_too():
    saved, conflicts = at_once(lambda number: flow(more=f"# {number}\n"), None)
    assert [version.number for version in saved] == [1]
    assert {conflict.theirs for conflict in conflicts} == set(saved)
    assert Flow.objects.get().current == saved[0]


def test_the_same_text_makes_one_version():
    saved, conflicts = at_once(lambda number: flow(), None)
    assert conflicts == []
    assert len(saved) == PEOPLE
    assert FlowVersion.objects.count() == 1
