"""What people do with releases: start, approve, cancel, roll back, unpin; who may, and what happens when two do it at once."""

import threading

import pytest
from django.db import connection

from apps.accounts.policy import Denied
from apps.audit.models import AuditEvent
from apps.common.errors import FlowControlError
from apps.deployments import actions, plans, queries
from apps.deployments.actions import (
    ApprovalRefused,
    EnvironmentPinned,
    GateShut,
    NothingToRollBack,
    PlanStale,
)
from apps.deployments.models import Approval, Build, Deployment
from apps.environments.actions import EnvironmentBusy, StackIsOurOwn, change_stack
from apps.environments.models import Environment, StackJob
from tests.deployments import making
from tests.deployments.deploying import ANN
from tests.portal.people import person

pytestmark = pytest.mark.django_db


@pytest.fixture
def ann():
    return person("operator", name="ann")


@pytest.fixture
def bob():
    return person("operator", name="bob")


@pytest.fixture
def shop():
    return making.environment()


@pytest.fixture
def production():
    return making.environment("production", needs_approval=True)


def start(by, environment, release=None, **more):
    return actions.start(by=by, environment=environment, release=release or making.keep()[0], **more)


def served(environment, *words):
    """Releases that have served there one after the other, the last serves."""
    found = [making.keep(word)[0] for word in words]
    for release in found:
        making.deployment(environment, release)
    return found


def kinds(prefix="deployment."):
    return list(AuditEvent.objects.filter(kind__startswith=prefix).order_by("seq").values_list("kind", flat=True))


# --- starting --------------------------------------------------------------------------------------------


def test_it_is_put_in_line_with_its_plan_its_stages_and_its_event(ann, shop):
    (old,) = served(shop, "old")
    release, _ = making.keep("new")
    job = start(ann, shop, release)
    assert (job.status, job.queue, job.requested_by, job.previous) == ("queued", "docker", "ann", old)
    assert (job.plan, job.plan_digest) == (plans.make(release, shop), plans.make(release, shop)["digest"])
    assert list(job.stages.values_list("name", flat=True)) == [
        *("plan", "snapshot", "images", "start", "probe", "switch", "watch", "drain")
    ]
    event = AuditEvent.objects.get(kind="deployment.deploy")
    assert (event.actor, event.target, event.environment) == ("ann", f"deployment:{job.pk}", "shop")
    assert event.detail == {"release": "r2", "digest": release.digest, "plan": job.plan_digest, "waits": False}


def test_a_shut_gate_refuses_and_leaves_nothing(ann, shop):
    later = making.environment("later", after=shop)
    with pytest.raises(GateShut, match="r1 may not go to later: r1 does not serve in shop") as refused:
        start(ann, later)
    assert "manage.py deployment start shop --release r1" in refused.value.hint
    assert (Deployment.objects.count(), kinds()) == (0, [])


def test_the_plan_that_was_seen_is_the_one_that_is_done(ann, shop):
    release, _ = making.keep("new")
    seen = plans.make(release, shop)["digest"]
    served(shop, "meanwhile")
    with pytest.raises(PlanStale):
        start(ann, shop, release, plan_digest=seen)
    assert start(ann, shop, release, plan_digest=plans.make(release, shop)["digest"]).status == "queued"


def test_a_second_one_is_told_of_the_first(ann, bob, shop):
    first = start(ann, shop)
    with pytest.raises(EnvironmentBusy, match=f"deployment {first.pk} of r1 is queued, asked for by ann"):
        start(bob, shop, making.keep("two")[0])
    with pytest.raises(EnvironmentBusy, match=f"deployment {first.pk} of r1"):
        change_stack(by=bob, environment=shop, action="up")


def test_a_stack_that_is_being_changed_is_not_deployed_into(ann, bob, shop):
    change_stack(by=ann, environment=shop, action="up")
    with pytest.raises(EnvironmentBusy, match="asked for by ann"):
        start(bob, shop)


# --- approval --------------------------------------------------------------------------------------------


def test_where_a_second_person_is_asked_for_it_waits_for_that(ann, bob, production):
    job = start(ann, production)
    assert (job.status, job.queued_at) == ("waiting", None)
    approved = actions.approve(by=bob, deployment=job, note="seen")
    assert (approved.status, approved.queue) == ("queued", "docker")
    assert (approved.approval.by, approved.approval.note) == ("bob", "seen")
    assert kinds() == ["deployment.deploy", "deployment.approve"]
    assert AuditEvent.objects.get(kind="deployment.approve").detail["plan"] == job.plan_digest


@pytest.mark.parametrize("asked_as", ["ann", "cli:ann"])
def test_nobody_approves_his_own(ann, production, asked_as):
    job = start(ann, production)
    Deployment.objects.update(requested_by=asked_as)
    job.refresh_from_db()
    with pytest.raises(ApprovalRefused, match="ann has asked for this deployment"):
        actions.approve(by=ann, deployment=job)
    assert (Deployment.objects.get().status, Approval.objects.count()) == ("waiting", 0)


def test_what_waits_keeps_others_out_until_it_is_cancelled(ann, bob, production):
    job = start(ann, production)
    with pytest.raises(EnvironmentBusy, match=f"deployment {job.pk} of r1 is waiting, asked for by ann"):
        start(bob, production, making.keep("two")[0])
    assert actions.cancel(by=ann, deployment=job) == "cancelled"
    with pytest.raises(ApprovalRefused, match=r"does not wait for approval: it is cancelled"):
        actions.approve(by=bob, deployment=job)
    assert start(bob, production, making.keep("two")[0]).status == "waiting"


def test_what_needs_no_approval_cannot_be_approved(ann, bob, shop):
    with pytest.raises(ApprovalRefused, match="it is queued"):
        actions.approve(by=bob, deployment=start(ann, shop))


# --- going back ------------------------------------------------------------------------------------------


def test_a_rollback_goes_to_the_one_before_and_pins(ann, shop):
    one, _ = served(shop, "one", "two")
    job = actions.rollback(by=ann, environment=shop)
    assert (job.kind, job.release, job.status, kinds()) == ("rollback", one, "queued", ["deployment.rollback"])
    assert queries.pin(shop) is None, "it pins when it has succeeded"
    Deployment.objects.filter(pk=job.pk).update(state="succeeded", finished_at=job.queued_at)
    assert queries.pin(shop) == job


def test_any_release_that_has_served_can_be_named(ann, shop):
    one, _, _ = served(shop, "one", "two", "three")
    assert actions.rollback(by=ann, environment=shop, to=one).release == one


def test_one_that_was_taken_back_has_not_served(ann, shop):
    served(shop, "one", "two")
    bad, _ = making.keep("bad")
    making.deployment(shop, bad, "failed", outcome="reverted")
    with pytest.raises(NothingToRollBack, match=f"{bad} has not served in shop") as refused:
        actions.rollback(by=ann, environment=shop, to=bad)
    assert refused.value.hint == "These have: r2, r1."


@pytest.mark.parametrize("words", [(), ("one",)])
def test_where_none_was_before_there_is_none_to_go_back_to(ann, shop, words):
    served(shop, *words)
    with pytest.raises(NothingToRollBack):
        actions.rollback(by=ann, environment=shop)


def test_a_rollback_waits_for_nobody_and_asks_no_gate(ann):
    staging = making.environment("staging")
    production = making.environment("production", after=staging, needs_approval=True)
    one, two = served(production, "one", "two")
    with pytest.raises(GateShut):
        start(ann, production, two)
    assert actions.rollback(by=ann, environment=production).status == "queued"
    assert one.name == "r1"


def pinned(shop, by):
    served(shop, "one", "two")
    return making.deployment(shop, queries.served(shop)[-1], kind="rollback", requested_by=by.username)


def test_what_comes_by_itself_is_kept_out_by_a_pin_and_a_person_is_not(ann, shop):
    pinned(shop, ann)
    two = queries.served(shop)[1]
    with pytest.raises(EnvironmentPinned, match="shop is pinned to r1 by the rollback of ann") as refused:
        start(ann, shop, two, by_itself=True)
    assert "manage.py deployment unpin shop" in refused.value.hint
    job = start(ann, shop, two)
    Deployment.objects.filter(pk=job.pk).update(state="succeeded", finished_at=job.queued_at)
    assert queries.pin(shop) is None, "deployed by hand it is free again"


def test_unpinned_it_takes_in_what_comes_by_itself(ann, shop):
    pinned(shop, ann)
    assert actions.unpin(by=ann, environment=shop) is True
    assert actions.unpin(by=ann, environment=shop) is False
    assert kinds() == ["deployment.unpin"]
    assert start(ann, shop, by_itself=True).status == "queued"


# --- rights ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["viewer", "author"])
def test_who_does_not_operate_the_environment_deploys_nothing_there(ann, role):
    production = making.environment("production", needs_approval=True)
    one, _ = served(production, "one", "two")
    waiting, somebody = start(ann, production, one), person(role)
    for act in (
        lambda: start(somebody, production, one),
        lambda: actions.approve(by=somebody, deployment=waiting),
        lambda: actions.cancel(by=somebody, deployment=waiting),
        lambda: actions.rollback(by=somebody, environment=production),
        lambda: actions.unpin(by=somebody, environment=production),
    ):
        with pytest.raises(Denied):
            act()
    assert kinds() == ["deployment.deploy"]


def test_who_operates_one_environment_does_not_operate_another(shop):
    other = making.environment("other")
    carol = person("operator", environment="shop", name="carol")
    assert start(carol, shop).status == "queued"
    with pytest.raises(Denied):
        start(carol, other)


def test_who_only_looks_makes_no_release(shop):
    with pytest.raises(Denied):
        actions.build_release(by=person("viewer"), environment=shop)
    assert Build.objects.count() == 0


# --- two at once -----------------------------------------------------------------------------------------


def at_once(*deeds):
    """Do all of them at the same moment; what each returned, or the error that it raised."""
    barrier, found = threading.Barrier(len(deeds)), [None] * len(deeds)

    def perform(number, deed):
        barrier.wait(10)
        try:
            found[number] = deed()
        except FlowControlError as error:
            found[number] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=perform, args=each) for each in enumerate(deeds)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return found


def won(found, kind, error):
    """The one that was done; all others were refused with this error."""
    done = [each for each in found if isinstance(each, kind)]
    refused = [each for each in found if isinstance(each, error)]
    assert (len(done), len(refused)) == (1, len(found) - 1), found
    return done[0], refused


@pytest.mark.django_db(transaction=True)
class TestAtOnce:
    def test_two_who_start_one_is_told_of_the_other(self, ann, bob, shop):
        ours = [making.keep(word)[0] for word in ("one", "two")] * 2
        found = at_once(
            *(lambda by=by, it=it: start(by, shop, it) for by, it in zip([ann, bob] * 2, ours, strict=True))
        )
        done, refused = won(found, Deployment, EnvironmentBusy)
        for each in refused:
            assert f"deployment {done.pk} of {done.release} is queued, asked for by {done.requested_by}" in each.message
        assert (Deployment.objects.count(), kinds()) == (1, ["deployment.deploy"])

    def test_a_deployment_and_a_change_of_the_stack_do_not_both_begin(self, ann, bob, shop):
        release, _ = making.keep()
        found = at_once(lambda: start(ann, shop, release), lambda: change_stack(by=bob, environment=shop, action="up"))
        won(found, (Deployment, StackJob), EnvironmentBusy)
        assert Deployment.objects.count() + StackJob.objects.count() == 1

    def test_a_deployment_and_a_rollback_do_not_both_begin(self, ann, bob, shop):
        one, _ = served(shop, "one", "two")
        found = at_once(lambda: start(ann, shop, one), lambda: actions.rollback(by=bob, environment=shop))
        won(found, Deployment, EnvironmentBusy)
        assert Deployment.objects.filter(state="queued").count() == 1

    def test_two_who_approve_count_once(self, ann, bob, production):
        carol = person("operator", name="carol")
        job = start(ann, production)
        found = at_once(
            lambda: actions.approve(by=bob, deployment=job), lambda: actions.approve(by=carol, deployment=job)
        )
        won(found, Deployment, ApprovalRefused)
        assert Approval.objects.count() == kinds().count("deployment.approve") == 1

    def test_who_approves_and_who_cancels_at_once_leave_a_true_state(self, ann, bob, production):
        job = start(ann, production)
        approved, cancelled = at_once(
            lambda: actions.approve(by=bob, deployment=job), lambda: actions.cancel(by=ann, deployment=job)
        )
        assert cancelled == "cancelled"
        assert isinstance(approved, Deployment | ApprovalRefused), approved
        assert Deployment.objects.get().state == "cancelled"
        assert Approval.objects.count() == int(isinstance(approved, Deployment))

    def test_two_who_make_a_release_one_is_told_of_the_other(self, ann, bob, shop):
        found = at_once(*(lambda by=by: actions.build_release(by=by, environment=shop) for by in (ann, bob)))
        done, refused = won(found, Build, EnvironmentBusy)
        assert f"build {done.pk}, asked for by {done.requested_by}" in refused[0].message
        assert Environment.objects.get(slug="shop").builds.count() == 1


def test_a_portal_does_not_replace_the_stack_that_it_runs_in(shop, settings):
    """The controller would be stopped in the middle of what it does: it is deployed from the machine."""
    settings.STACK, settings.ENVIRONMENT = shop.project_name, "shop"
    with pytest.raises(StackIsOurOwn, match="runs in that stack itself"):
        actions.start(by=ANN, environment=shop, release=making.keep()[0])
    assert not Deployment.objects.exists()
