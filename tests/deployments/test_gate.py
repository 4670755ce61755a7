"""The gate: what has to be green before a release may go into an environment, and what is said while it is not."""

from datetime import timedelta

import pytest

from apps.common import clock
from apps.deployments import gate
from apps.environments.models import Environment
from apps.testruns.cases.model import LAYERS
from apps.testruns.models import TestRun
from tests.deployments import making
from tests.factories import FlowTestResultFactory, FlowVersionFactory

pytestmark = pytest.mark.django_db


def ago(**amount):
    return clock.now() - timedelta(**amount)


class Line:
    """staging, and production after it; a release that is proven in staging, but for what a test changes."""

    def __init__(self):
        self.staging = making.environment("staging", watch_seconds=30)
        making.environment("production", after=self.staging)
        self.release, _ = making.keep("one", origin=self.staging)
        self.serving = making.deployment(self.staging, self.release, finished_at=ago(minutes=10))
        self.tested = self.test()
        self.seen(well_since=ago(minutes=9), engine_seen_at=clock.now())

    def test(self, state="succeeded", layers=LAYERS, began=None):
        """A layered test run of staging."""
        began = began or ago(minutes=5)
        ended = None if state in ("queued", "running") else began + timedelta(seconds=30)
        values = {"layers": list(layers), "state": state, "started_at": began, "finished_at": ended}
        if state == "running":
            values["lease_expires_at"] = ago(minutes=-1)
        return TestRun.objects.create(environment=self.staging, message="L1 bus failed: x.", **values)

    def seen(self, **fields):
        Environment.objects.filter(slug="staging").update(**fields)

    def evidence(self):
        return gate.evidence(self.release, Environment.objects.select_related("after").get(slug="production"))

    def shut(self):
        """Name → what it says, of the evidence that is not green."""
        return {each.name: f"{each.words} {each.hint}" for each in self.evidence() if not each.ok}


@pytest.fixture
def line():
    return Line()


def test_a_release_that_is_proven_in_the_environment_before_may_go_on(line):
    assert line.shut() == {}
    assert [each.name for each in line.evidence()] == ["flows", "below", "layers", "health", "open"]
    assert {each.name: each.refers_to for each in line.evidence()} == {
        "flows": "",
        "below": f"deployment:{line.serving.pk}",
        "layers": f"testrun:{line.tested.pk}",
        "health": "environment:staging",
        "open": "",
    }


def test_the_first_environment_of_a_line_asks_for_the_tests_of_flows_alone(line):
    other, _ = making.keep("never deployed")
    assert [(each.name, each.ok) for each in gate.evidence(other, line.staging)] == [("flows", True)]
    assert gate.is_open(other, line.staging)


# --- what serves below --------------------------------------------------------------------------------


def test_one_that_was_never_deployed_below_is_sent_there_first(line):
    line.release, _ = making.keep("two")
    assert list(line.shut()) == ["below"]
    assert "r2 does not serve in staging; r1 does." in line.shut()["below"]
    assert "manage.py deployment start staging --release r2" in line.shut()["below"]


def test_one_that_served_below_before_another_is_shut_out(line):
    two, _ = making.keep("two")
    making.deployment(line.staging, two)
    assert "r1 does not serve in staging; r2 does." in line.shut()["below"]


def test_where_nothing_serves_below_that_is_said(line):
    line.serving.delete()
    assert "r1 does not serve in staging; none does." in line.shut()["below"]


# --- layered tests ------------------------------------------------------------------------------------


def test_no_layered_test_since_it_serves_is_not_green(line):
    line.tested.delete()
    line.test(began=ago(minutes=11))
    assert "manage.py testrun start staging" in line.shut()["layers"]


@pytest.mark.parametrize("state", ["queued", "running", "cancelled"])
def test_a_test_run_that_has_no_outcome_counts_for_nothing(line, state):
    line.test(state=state)
    assert line.shut() == {}
    line.tested.delete()
    assert list(line.shut()) == ["layers"]


def test_a_test_run_that_failed_shuts_it_and_a_green_one_after_it_opens_it(line):
    failed = line.test(state="failed")
    assert f"Test run {failed.pk} of staging failed: L1 bus failed: x." in line.shut()["layers"]
    line.test()
    assert line.shut() == {}


def test_a_run_of_some_layers_does_not_stand_for_all_of_them(line):
    line.tested.delete()
    line.test(layers=["L0"])
    assert "Only L0" in line.shut()["layers"]


def test_some_layers_that_fail_shut_what_all_layers_had_opened(line):
    line.test(state="failed", layers=["L0"])
    assert list(line.shut()) == ["layers"]
    line.test(layers=["L0"])
    assert line.shut() == {}


def test_a_green_run_of_some_layers_does_not_hide_that_all_of_them_failed(line):
    line.test(state="failed")
    line.test(layers=["L0"])
    assert "failed" in line.shut()["layers"]


def test_what_was_tested_while_another_release_was_tried_counts_for_nothing(line):
    two, _ = making.keep("two")
    tried = {"started_at": ago(minutes=6), "switched_at": ago(minutes=6), "finished_at": ago(minutes=3)}
    making.deployment(line.staging, two, "cancelled", outcome="reverted", **tried)
    assert list(line.shut()) == ["layers"]
    line.test(began=ago(minutes=2))
    assert line.shut() == {}


# --- health -------------------------------------------------------------------------------------------


def test_a_service_that_is_not_well_shuts_it(line):
    line.seen(well_since=None)
    assert "manage.py environment status staging" in line.shut()["health"]


def test_it_has_to_be_well_for_the_whole_window(line):
    line.seen(well_since=ago(seconds=10))
    assert "Wait 20 s." in line.shut()["health"]


def test_well_as_nobody_has_looked_at_for_long_is_not_well(line):
    line.seen(engine_seen_at=ago(minutes=5))
    assert "nobody has looked" in line.shut()["health"]


def test_an_engine_that_does_not_answer_is_not_well(line):
    line.seen(engine_error="The Docker Engine does not answer.")
    assert "The Docker Engine does not answer." in line.shut()["health"]


# --- what is open -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("state", "word"), [("queued", "queued"), ("running", "lost"), ("failed", "failed")])
def test_what_is_under_way_or_has_failed_since_shuts_it(line, state, word):
    two, _ = making.keep("two")
    expired = {"lease_expires_at": ago(minutes=1)} if state == "running" else {}
    later = making.deployment(line.staging, two, state, **expired)
    assert f"Deployment {later.pk} of r2 there is {word}." in line.shut()["open"]


def test_one_that_was_cancelled_is_nothing_open(line):
    two, _ = making.keep("two")
    making.deployment(line.staging, two, "cancelled", finished_at=ago(minutes=8))
    assert line.shut() == {}


def test_one_that_was_cancelled_does_not_hide_one_that_failed_before_it(line):
    two, _ = making.keep("two")
    making.deployment(line.staging, two, "failed", outcome="reverted", finished_at=ago(minutes=9))
    making.deployment(line.staging, two, "cancelled", finished_at=ago(minutes=8))
    assert "of r2 there is reverted" in line.shut()["open"]


# --- tests of flows -----------------------------------------------------------------------------------


def of_flows(*versions):
    named = [{"name": each.flow.name, "version": each.number, "sha256": each.sha256} for each in versions]
    return making.keep("flows", flows=named)[0]


def test_the_tests_of_every_version_have_to_have_passed():
    good, bad, new = (FlowVersionFactory(flow__name=name) for name in ("good", "bad", "new"))
    FlowTestResultFactory(version=good, at="succeeded", passed=3)
    FlowTestResultFactory(version=bad, at="succeeded", passed=1, failed=1)
    FlowTestResultFactory(version=new, at="queued")
    found = gate.flow_tests(of_flows(good, bad, new))
    assert (found.ok, found.words) == (False, "Tests of flows: bad: failed; new: not run yet.")
    FlowTestResultFactory(version=bad, at="succeeded", passed=2)
    FlowTestResultFactory(version=new, at="succeeded")
    found = gate.flow_tests(of_flows(good, bad, new))
    assert (found.ok, found.words) == (True, "5 tests of 3 flows passed.")


def test_tests_of_another_version_count_for_nothing():
    old = FlowVersionFactory(flow__name="shop")
    FlowTestResultFactory(version=old, at="succeeded", passed=3)
    new = FlowVersionFactory(flow=old.flow)
    assert not gate.flow_tests(of_flows(new)).ok
    assert gate.flow_tests(of_flows(old)).ok


# --- more ---------------------------------------------------------------------------------------------


def test_rooms_above_add_evidence_of_their_own(line, monkeypatch):
    monkeypatch.setattr(gate, "_more", {})
    gate.register("quiet", lambda release, environment: None)
    gate.register("incidents", lambda release, environment: gate.Evidence("incidents", "Incidents", False, "One open."))
    assert line.shut() == {"incidents": "One open. "}


def test_it_asks_a_fixed_number_of_queries(line, django_assert_max_num_queries):
    for number in range(20):
        making.deployment(line.staging, line.release, finished_at=ago(minutes=10))
        line.test()
        version = FlowVersionFactory(flow__name=f"flow_{number}x")
        FlowTestResultFactory(version=version, at="succeeded", passed=1)
    production = Environment.objects.select_related("after").get(slug="production")
    with django_assert_max_num_queries(6):
        assert gate.is_open(line.release, production)
