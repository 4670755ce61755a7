"""Which version of a flow an environment runs."""

import pytest

from apps.audit.actors import SYSTEM
from apps.deployments import record
from apps.environments.models import Environment
from apps.flows.actions import save_version
from apps.runs import actions, queries
from tests.deployments import making

pytestmark = pytest.mark.django_db
TEXT = """flow shop {{ description: "{}" }}
source one = csv("one.csv") {{ columns: {{ id: int }} }}
step two = one | where id > 0
sink two -> csv("two.csv")
"""


@pytest.fixture
def versions():
    first = save_version(by=SYSTEM, text=TEXT.format("first"))
    return first, save_version(by=SYSTEM, text=TEXT.format("second"), base_sha256=first.sha256)


def test_an_environment_runs_what_a_release_brought_and_others_what_is_current(versions):
    first, second = versions
    staging, dev = making.environment("staging"), Environment.objects.get(slug="dev")
    actions.promote(staging, "r1", {"shop": first.sha256, "gone": "0" * 64})
    flow = second.flow
    assert queries.version_in(flow, staging) == first
    assert queries.version_in(flow, dev) == second
    assert [(row.environment, row.version, row.release) for row in queries.promoted(flow)] == [(staging, first, "r1")]
    actions.promote(staging, "r2", {"shop": second.sha256})
    assert queries.version_in(flow, staging) == second
    assert queries.promoted(flow) == []


def test_a_deployment_that_succeeds_brings_its_versions_and_one_that_fails_does_not(versions):
    first, second = versions
    staging = making.environment("staging")
    manifest = [{"name": "shop", "version": first.number, "sha256": first.sha256}]
    release, _ = making.keep(flows=manifest)
    record.close(making.deployment(staging, release, "failed"))
    assert queries.version_in(second.flow, staging) == second
    record.close(making.deployment(staging, release))
    assert queries.version_in(second.flow, staging) == first
