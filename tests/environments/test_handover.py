"""A stack's own portal is told of the change that brought it up: once, whole, and by a record that can be trusted."""

import io
import json

import pytest
from django.core.management import call_command

from apps.audit.models import AuditEvent
from apps.common import clock
from apps.environments import handover
from apps.environments.models import Environment, StackJob, StageResult

pytestmark = pytest.mark.django_db


@pytest.fixture
def ended():
    """A change of staging that has ended, as it was done elsewhere."""
    staging, _ = Environment.objects.get_or_create(slug="staging", defaults={"name": "Staging", "position": 2})
    now = clock.now()
    job = StackJob.objects.create(
        environment=staging,
        action="up",
        state="failed",
        message="no",
        requested_by="ada",
        started_at=now,
        finished_at=now,
    )
    StageResult.objects.create(
        job=job,
        name="platform",
        title="Platform check",
        position=0,
        status="succeeded",
        started_at=now,
        finished_at=now,
    )
    StageResult.objects.create(
        job=job, name="build", title="Build images", position=1, status="failed", tail="a\nb", hint="mend"
    )
    told = handover.document(job)
    job.delete()
    return json.loads(json.dumps(told))


def test_it_is_kept_with_its_stages(ended):
    job = handover.adopt(ended)
    assert (job.state, job.message, job.requested_by, job.is_final) == ("failed", "no", "ada", True)
    assert [(row.name, row.status, row.tail) for row in job.stages.all()] == [
        ("platform", "succeeded", ""),
        ("build", "failed", "a\nb"),
    ]
    assert job.origin == ended["origin"]
    assert AuditEvent.objects.filter(kind="stack.adopt", actor="ada").count() == 1


def test_told_twice_it_is_kept_once(ended):
    assert handover.adopt(ended) == handover.adopt(ended)
    assert StackJob.objects.count() == 1


def test_an_environment_that_is_not_there_yet_is_made(ended):
    Environment.objects.filter(slug="staging").delete()
    assert handover.adopt(ended).environment.slug == "staging"


@pytest.mark.parametrize(
    "wrong",
    [
        {"version": 2},
        {"state": "running"},
        {"action": "sideways"},
        {"origin": ""},
        {"stages": [{}]},
        {"stages": None},
        {"attempt": "x"},
    ],
)
def test_what_is_no_such_record_is_refused_and_nothing_kept(ended, wrong):
    with pytest.raises(handover.RecordInvalid):
        handover.adopt({**ended, **wrong})
    assert not StackJob.objects.exists()


def test_the_command_reads_it_from_standard_input(ended, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(ended)))
    with pytest.raises(SystemExit) as end:
        call_command("environment", "adopt", "--json")
    assert end.value.code == 0
    assert json.loads(capsys.readouterr().out)["origin"] == ended["origin"]


def test_a_text_that_is_no_json_is_refused_with_words(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO("{"))
    with pytest.raises(SystemExit) as end:
        call_command("environment", "adopt")
    assert end.value.code == 2
    assert "no JSON" in capsys.readouterr().err


def test_nobody_is_told_of_what_has_no_portal_of_its_own(ended, monkeypatch):
    monkeypatch.setattr(handover.running, "run", lambda *_, **__: pytest.fail("it was told"))
    job = handover.adopt(ended)
    Environment.objects.filter(slug="staging").update(compose_file="/x/compose.yaml")
    assert handover.tell(StackJob.objects.get(pk=job.pk)) is False
