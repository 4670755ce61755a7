"""What people do with releases: who may, what is refused, what the audit says."""

import threading

import pytest
from django.db import connection

from apps.accounts.models import Role, RoleGrant, User
from apps.accounts.policy import Denied
from apps.audit.models import AuditEvent
from apps.deployments import actions, queries
from apps.deployments.models import Approval, Deployment
from apps.environments.actions import EnvironmentBusy
from tests.deployments import making
from tests.deployments.deploying import ANN, BOB

pytestmark = pytest.mark.django_db


@pytest.fixture
def shop():
    return making.environment()


def test_a_deployment_is_put_in_line_with_its_plan_and_stages(shop):
    release, _ = making.keep()
    job = actions.start(by=ANN, environment=shop, release=release)
    assert (job.status, job.previous, job.plan["release"]) == ("queued", None, "r1")
    names = [row.name for row in job.stages.all()]
    assert names == ["plan", "snapshot", "images", "start", "probe", "switch", "watch", "drain"]
    event = AuditEvent.objects.get(kind="deployment.deploy")
    assert (event.actor, event.environment, event.detail["release"]) == ("ann", "shop", "r1")


def test_another_plan_than_the_one_that_was_seen_is_refused(shop):
    release, _ = making.keep()
    with pytest.raises(actions.PlanStale):
        actions.start(by=ANN, environment=shop, release=release, plan_digest="0" * 64)
    assert not Deployment.objects.exists()


def test_a_shut_gate_refuses_and_says_why(shop):
    production = making.environment("production", after=shop)
    release, _ = making.keep()
    with pytest.raises(actions.GateShut, match="r1 does not serve in shop; none does"):
        actions.start(by=ANN, environment=production, release=release)
    assert not Deployment.objects.exists()


def test_a_second_person_has_to_approve(shop):
    shop.needs_approval = True
    shop.save()
    release, _ = making.keep()
    job = actions.start(by=ANN, environment=shop, release=release)
    assert (job.status, job.queued_at) == ("waiting", None)
    with pytest.raises(actions.ApprovalRefused, match="cannot approve it"):
        actions.approve(by=ANN, deployment=job)
    approved = actions.approve(by=BOB, deployment=job, note="seen")
    assert (approved.status, Approval.objects.get().by) == ("queued", "bob")
    with pytest.raises(actions.ApprovalRefused, match="does not wait"):
        actions.approve(by=BOB, deployment=job)
    assert AuditEvent.objects.filter(kind="deployment.approve", actor="bob").count() == 1


def test_one_that_waits_is_cancelled_at_once(shop):
    shop.needs_approval = True
    shop.save()
    job = actions.start(by=ANN, environment=shop, release=making.keep()[0])
    assert actions.cancel(by=BOB, deployment=job) == "cancelled"
    assert queries.live(shop) is None


def test_a_rollback_goes_to_the_one_before_and_pins_until_somebody_says_otherwise(shop):
    one, two = (making.keep(word=word)[0] for word in ("one", "two"))
    making.deployment(shop, one)
    making.deployment(shop, two)
    job = actions.rollback(by=ANN, environment=shop)
    assert (job.release, job.kind) == (one, "rollback")
    Deployment.objects.filter(pk=job.pk).update(state="succeeded", finished_at=job.created_at, lease_expires_at=None)
    assert queries.pin(shop).pk == job.pk
    with pytest.raises(actions.EnvironmentPinned, match="pinned to r1 by the rollback of ann"):
        actions.start(by=ANN, environment=shop, release=two, by_itself=True)
    assert actions.unpin(by=BOB, environment=shop) is True
    assert actions.unpin(by=BOB, environment=shop) is False
    assert actions.start(by=ANN, environment=shop, release=two, by_itself=True).status == "queued"


def test_there_has_to_be_something_to_go_back_to(shop):
    one, _ = making.keep()
    with pytest.raises(actions.NothingToRollBack):
        actions.rollback(by=ANN, environment=shop)
    making.deployment(shop, one)
    with pytest.raises(actions.NothingToRollBack):
        actions.rollback(by=ANN, environment=shop)
    never, _ = making.keep(word="never")
    with pytest.raises(actions.NothingToRollBack, match="r2 has not served"):
        actions.rollback(by=ANN, environment=shop, to=never)


@pytest.mark.parametrize("role", [Role.VIEWER, Role.AUTHOR, Role.AUDITOR])
def test_only_operators_deploy(shop, role):
    person = User.objects.create_user("vera")
    RoleGrant.objects.create(user=person, role=role)
    release, _ = making.keep()
    making.deployment(shop, release)
    for deed in (
        lambda: actions.start(by=person, environment=shop, release=release),
        lambda: actions.rollback(by=person, environment=shop),
        lambda: actions.unpin(by=person, environment=shop),
        lambda: actions.cancel(by=person, deployment=Deployment.objects.get()),
        lambda: actions.approve(by=person, deployment=Deployment.objects.get()),
    ):
        with pytest.raises(Denied):
            deed()


@pytest.mark.django_db(transaction=True)
def test_of_many_at_once_one_begins_and_the_others_are_told_of_it():
    shop, (release, _) = making.environment(), making.keep()
    begun, refused, gate = [], [], threading.Barrier(6)

    def start():
        gate.wait()
        try:
            begun.append(actions.start(by=ANN, environment=shop, release=release).pk)
        except EnvironmentBusy as error:
            refused.append(error.message)
        finally:
            connection.close()

    threads = [threading.Thread(target=start) for _ in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert (len(begun), len(refused)) == (1, 5)
    assert all(f"deployment {begun[0]} of r1" in words for words in refused)
