from datetime import UTC, datetime

import pytest

from apps.accounts.policy import Denied
from apps.audit.actors import SYSTEM
from apps.audit.models import AuditEvent
from apps.environments.models import Environment
from apps.flows.actions import archive_flow, save_version
from apps.runs.actions import FlowArchived, ParamsInvalid, cancel_run, rerun, start_run
from apps.runs.models import Run
from tests.factories import EnvironmentFactory, RunFactory
from tests.portal.people import person

pytestmark = pytest.mark.django_db

TEXT = """flow orders { description: "" }
param since: date = 2026-01-01
param region: text = "EU" allow ["EU", "US"]
param least: int between 1 and 10
param until: date = today() between 2026-01-01 and today()
source numbers = csv("in/none.csv") { columns: { n: int, day: date, region: text } }
step small = numbers | where n > @least and day between @since and @until and region == @region
sink small -> csv("out/small.csv")
"""


@pytest.fixture
def version():
    return save_version(by=SYSTEM, text=TEXT)


@pytest.fixture
def dev():
    return Environment.objects.get()


def start(version, dev, by=SYSTEM, **params):
    return start_run(by=by, version=version, environment=dev, params={"least": "5", **params})


class TestStart:
    def test_it_is_put_in_line(self, version, dev, sent, django_capture_on_commit_callbacks):
        with django_capture_on_commit_callbacks(execute=True):
            run = start(version, dev, since="2026-02-01")
        assert (run.state, run.queue, run.flow) == ("queued", "flows.dev", version.flow)
        assert run.params == {"least": "5", "since": "2026-02-01"}
        assert ("run", run.pk) in sent

    def test_its_logical_time_is_now_or_what_is_said(self, version, dev):
        moment = datetime(2026, 3, 1, tzinfo=UTC)
        params = {"least": "5"}
        run = start_run(by=SYSTEM, version=version, environment=dev, params=params, logical_time=moment)
        assert run.logical_time == moment
        assert abs((start(version, dev).logical_time - datetime.now(UTC)).total_seconds()) < 5

    def test_the_audit_says_who_started_what(self, version, dev):
        run = start(version, dev, by=person("author", name="ann"))
        event = AuditEvent.objects.get(kind="run.start")
        assert (event.actor, event.target, event.environment) == ("ann", f"run:{run.pk}", "dev")
        assert (event.detail["flow"], event.detail["version"]) == ("orders", 1)
        assert event.detail["params"] == {"least": "5"}
        assert run.requested_by == "ann"

    def test_each_has_a_name_of_its_own_in_the_workspace(self, version, dev):
        one, two = start(version, dev), start(version, dev)
        assert one.key != two.key
        assert one.key.startswith(f"run-{one.pk}-")


class TestRefused:
    @pytest.mark.parametrize(
        ("params", "code"),
        [
            ({"since": "soon"}, "E502"),
            ({"least": "five"}, "E502"),
            ({"region": "MOON"}, "E503"),
            ({"least": "11"}, "E503"),
            ({"sinse": "2026-01-01"}, "E501"),
            ({"until": "2999-01-01"}, "E503"),
            ({"until": "2025-12-31"}, "E503"),
            ({"region": "E\0U"}, "E502"),
            ({"region": "\ud83d"}, "E502"),
        ],
    )
    def test_a_value_that_the_flow_does_not_take(self, version, dev, params, code):
        with pytest.raises(ParamsInvalid) as refused:
            start(version, dev, **params)
        assert [each.code for each in refused.value.diagnostics] == [code]
        assert refused.value.hint
        assert not Run.objects.exists()

    def test_all_that_is_wrong_is_said_at_once(self, version, dev):
        with pytest.raises(ParamsInvalid) as refused:
            start_run(by=SYSTEM, version=version, environment=dev, params={"since": "x", "region": "y"})
        assert [each.code for each in refused.value.diagnostics] == ["E502", "E503", "E504"]

    def test_an_archived_flow(self, version, dev):
        archive_flow(by=SYSTEM, flow=version.flow)
        with pytest.raises(FlowArchived, match="Save a version"):
            start(version, dev)
        assert not Run.objects.exists()

    def test_by_one_who_may_not(self, version, dev):
        for role in ("viewer", "auditor"):
            with pytest.raises(Denied):
                start(version, dev, by=person(role))
        assert not Run.objects.exists()

    def test_an_author_elsewhere_than_in_dev(self, version):
        with pytest.raises(Denied):
            start(version, EnvironmentFactory(slug="production"), by=person("author"))


class TestRerun:
    def test_it_does_the_same_again(self, version, dev):
        moment = datetime(2026, 3, 1, tzinfo=UTC)
        params = {"least": "5", "region": "US"}
        first = start_run(by=SYSTEM, version=version, environment=dev, params=params, logical_time=moment)
        save_version(by=SYSTEM, text=TEXT + "# newer\n", base_sha256=version.sha256)
        again = rerun(by=SYSTEM, run=first)
        assert (again.version, again.params, again.logical_time, again.rerun_of) == (version, params, moment, first)
        assert again.key != first.key
        assert AuditEvent.objects.get(kind="run.rerun").detail["of"] == first.pk

    def test_not_of_an_archived_flow(self, version, dev):
        run = start(version, dev)
        archive_flow(by=SYSTEM, flow=version.flow)
        with pytest.raises(FlowArchived):
            rerun(by=SYSTEM, run=run)


class TestCancel:
    def test_a_queued_one_at_once(self):
        run = RunFactory()
        assert cancel_run(by=person("author", name="ann"), run=run) == "cancelled"
        assert run.message == "Cancelled by ann before it began."

    def test_of_a_running_one_its_worker_is_asked(self):
        run = RunFactory(at="running")
        assert cancel_run(by=SYSTEM, run=run) == "running"
        assert run.cancel_requested_by == "system"

    def test_one_that_has_ended_stays_as_it_is(self):
        run = RunFactory(at="succeeded")
        assert cancel_run(by=SYSTEM, run=run) == "succeeded"

    def test_by_one_who_may_not(self):
        run = RunFactory()
        with pytest.raises(Denied):
            cancel_run(by=person("viewer"), run=run)
        run.refresh_from_db()
        assert run.state == "queued"
