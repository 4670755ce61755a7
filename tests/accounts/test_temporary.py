"""Temporary accounts: for a program that looks at the portal as a person does, and over when it is."""

import os
import signal
import subprocess
import sys
from datetime import timedelta
from unittest.mock import patch

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client

from apps.accounts import actions, policy
from apps.accounts.models import Role, RoleGrant, User
from apps.audit.actors import SYSTEM
from apps.audit.models import AuditEvent
from apps.common import clock
from apps.portal.cases.visitor import visitor


def make(**more):
    return actions.create_temporary(by=SYSTEM, prefix="case", **{"role": Role.VIEWER, "seconds": 60, **more})


def log_in(client, user, password):
    client.post("/admin/login/", {"username": user.username, "password": password})
    return "_auth_user_id" in client.session


def kinds():
    return list(AuditEvent.objects.order_by("seq").values_list("kind", flat=True))


@pytest.mark.django_db
class TestAccount:
    def test_it_logs_in_and_may_what_its_role_may(self, client):
        user, password = make()
        assert log_in(client, user, password)
        assert client.get("/runs/").status_code == 200
        assert client.get("/audit/").status_code == 403
        assert not policy.allowed(user, "runs.start", "dev")

    def test_when_its_time_is_up_its_session_ends_and_it_cannot_log_in(self, client):
        user, password = make()
        log_in(client, user, password)
        later = clock.now() + timedelta(seconds=61)
        with patch.object(clock, "now", lambda: later):
            assert client.get("/runs/").status_code == 302, "to the login page"
            assert not log_in(Client(), user, password)
            assert not policy.allowed(user, "runs.view")

    def test_removed_it_is_gone_with_its_roles_and_its_session(self, client):
        user, password = make()
        log_in(client, user, password)
        actions.remove_temporary(by=SYSTEM, user=user)
        assert client.get("/runs/").status_code == 302
        assert not User.objects.filter(username=user.username).exists()
        assert not RoleGrant.objects.exists()
        assert kinds() == ["account.create", "role.grant", "account.login", "account.remove"]

    def test_removed_twice_is_removed_once(self):
        user, _ = make()
        for _ in range(2):
            actions.remove_temporary(by=SYSTEM, user=user)
        assert kinds().count("account.remove") == 1

    def test_an_account_of_a_person_is_never_removed(self):
        person = User.objects.create_user("ada")
        actions.remove_temporary(by=SYSTEM, user=person)
        assert User.objects.filter(username="ada").exists()
        assert kinds() == []

    @pytest.mark.parametrize("more", [{"role": Role.ADMIN}, {"seconds": 3601}, {"seconds": 0}])
    def test_it_is_no_admin_and_lives_an_hour_at_most(self, more):
        with pytest.raises(actions.AccountInvalid):
            make(**more)
        assert not User.objects.exists()

    def test_it_takes_the_right_to_manage_accounts(self):
        stranger = User.objects.create_user("ada")
        with pytest.raises(policy.Denied):
            actions.create_temporary(by=stranger, prefix="case", role=Role.VIEWER, seconds=60)
        user, _ = make()
        with pytest.raises(policy.Denied):
            actions.remove_temporary(by=stranger, user=user)

    def test_only_those_whose_time_is_up_are_cleared_away(self):
        old, _ = make()
        User.objects.filter(pk=old.pk).update(expires_at=clock.now() - timedelta(seconds=1))
        new, _ = make()
        User.objects.create_user("ada")
        assert actions.remove_expired(by=SYSTEM) == 1
        assert set(User.objects.values_list("username", flat=True)) == {new.username, "ada"}

    def test_its_password_is_in_no_event(self):
        _, password = make()
        assert password not in str(list(AuditEvent.objects.values()))


@pytest.mark.django_db(transaction=True)
class TestVisitor:
    def test_it_is_gone_when_the_case_is_over_also_when_it_failed(self):
        def fail():
            with visitor(Role.VIEWER, seconds=60) as who:
                assert User.objects.get().username == who.username
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        assert not User.objects.exists()

    def test_of_a_killed_process_it_is_shut_out_when_its_time_is_up_and_then_cleared_away(self):
        script = (
            "import django, os, signal; django.setup()\n"
            "from apps.portal.cases.visitor import visitor\n"
            "with visitor('viewer', seconds=60): os.kill(os.getpid(), signal.SIGKILL)"
        )
        url = f"sqlite://{connection.settings_dict['NAME']}"
        more = {"DATABASE_URL": url, "AUDIT_KEY": settings.AUDIT_KEY, "DJANGO_SETTINGS_MODULE": "flowcontrol.settings"}
        done = subprocess.run([sys.executable, "-c", script], env={**os.environ, **more}, check=False)
        assert done.returncode == -signal.SIGKILL
        left = User.objects.get()
        assert left.expires_at is not None
        assert left.expires_at <= clock.now() + timedelta(seconds=60)
        User.objects.update(expires_at=clock.now())
        with visitor(Role.VIEWER, seconds=60) as who:
            assert User.objects.get().username == who.username
        assert not User.objects.exists()
