"""The gate: each piece of evidence, red and green."""

from datetime import timedelta

import pytest

from apps.audit.actors import SYSTEM
from apps.common import clock
from apps.deployments import gate
from apps.environments.models import Environment
from apps.flows.actions import save_version
from apps.flows.models import FlowTestResult
from apps.testruns.models import TestRun
from tests.deployments import making
from tests.runs.test_promotions import TEXT

pytestmark = pytest.mark.django_db


@pytest.fixture
def line():
    """staging → production, with a release that serves in staging and is proven there."""
    staging = making.environment("staging", well_since=clock.now() - timedelta(hours=1))
    production = making.environment("production", after=staging)
    release, _ = making.keep(origin=staging)
    ended = clock.now() - timedelta(minutes=30)
    making.deployment(staging, release, finished_at=ended)
    layered(staging, "succeeded")
    return staging, production, release


def layered(where, state, **fields):
    now = clock.now()
    values = {"layers": ["L0", "L1"], "started_at": now, "finished_at": now, "queue": "control", **fields}
    return TestRun.objects.create(environment=where, state=state, **values)


def shut(release, environment):
    return {each.name: each.words for each in gate.evidence(release, environment) if not each.ok}


def test_a_release_that_is_proven_below_may_go_on(line):
    _, production, release = line
    assert shut(release, production) == {}
    assert [each.name for each in gate.evidence(release, production)] == ["flows", "below", "layers", "health", "open"]
    assert gate.is_open(release, production)


def test_into_the_first_environment_it_comes_on_the_tests_of_its_flows(line):
    staging, _, release = line
    assert [each.name for each in gate.evidence(release, staging)] == ["flows"]


def test_what_serves_below_has_to_be_this_very_release(line):
    staging, production, _ = line
    other, _ = making.keep(word="two", origin=staging)
    assert shut(other, production) == {"below": f"{other} does not serve in staging; r1 does."}


def test_layers_have_to_be_green_since_it_came_there(line):
    staging, production, release = line
    layered(staging, "failed", message="L1: 1 of 3 cases failed")
    assert "L1: 1 of 3 cases failed" in shut(release, production)["layers"]
    layered(staging, "cancelled")
    assert "layers" in shut(release, production), "a cancelled run says nothing"
    layered(staging, "succeeded")
    assert shut(release, production) == {}
    making.deployment(staging, release, finished_at=clock.now() + timedelta(seconds=1))
    assert "No layered test has been run" in shut(release, production)["layers"]


def test_it_has_to_have_been_well_for_the_watch_window(line):
    staging, production, release = line
    Environment.objects.filter(pk=staging.pk).update(well_since=None)
    production.refresh_from_db()
    assert "health" in shut(release, production)
    Environment.objects.filter(pk=staging.pk).update(well_since=clock.now() - timedelta(seconds=5), watch_seconds=30)
    production.refresh_from_db()
    assert "well for less than 30 s" in shut(release, production)["health"]


def test_nothing_may_be_open_below(line):
    staging, production, release = line
    other, _ = making.keep(word="two", origin=staging)
    bad = making.deployment(staging, other, "failed", outcome="reverted")
    assert shut(release, production)["open"] == f"Deployment {bad.pk} of {other} there is reverted."


def test_tests_of_flows_have_to_be_run_and_green(line):
    staging, _, _ = line
    version = save_version(by=SYSTEM, text=TEXT.format("x"))
    FlowTestResult.objects.all().delete()
    flows = [{"name": "shop", "version": version.number, "sha256": version.sha256}]
    release, _ = making.keep(word="flows", origin=staging, flows=flows)
    assert shut(release, staging) == {"flows": "Tests of flows: shop: not run yet."}
    now = clock.now()
    result = {"version": version, "state": "succeeded", "finished_at": now, "queue": "flows.dev"}
    FlowTestResult.objects.create(**result, passed=2, failed=1)
    assert shut(release, staging) == {"flows": "Tests of flows: shop: failed."}
    FlowTestResult.objects.create(**result, passed=3)
    assert shut(release, staging) == {}


def test_rooms_above_may_say_more(line, monkeypatch):
    _, production, release = line
    monkeypatch.setattr(gate, "_more", {})
    gate.register(
        "incidents", lambda release, environment: gate.Evidence("incidents", "Incidents", False, "One is open.")
    )
    assert shut(release, production) == {"incidents": "One is open."}


def test_it_costs_the_same_however_long_the_history_is(line, django_assert_max_num_queries):
    staging, production, release = line
    for number in range(30):
        making.deployment(staging, making.keep(word=f"w{number}", origin=staging)[0], "cancelled")
        layered(staging, "succeeded")
    with django_assert_max_num_queries(8):
        gate.evidence(release, production)
