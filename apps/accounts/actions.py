"""Changes to accounts and roles: each in one transaction with its audit event."""

import secrets
from typing import Any

from django.contrib.auth.models import Group
from django.contrib.auth.password_validation import validate_password
from django.db import IntegrityError, transaction

from apps.accounts import policy
from apps.accounts.models import Role, RoleGrant, User
from apps.audit.actions import record
from apps.audit.actors import SYSTEM
from apps.common.errors import FlowControlError

FIRST_ADMIN = "admin"


class LastAdmin(FlowControlError):  # noqa: N818
    """Nobody could manage accounts any more."""

    code = "last_admin"


def ensure_first_admin(password: str | None = None) -> tuple[str, str | None]:
    """Make the account `admin` where there is no account at all. Returns its name and the random password, once.

    With a `password` given, or where accounts exist, the second part is None. Two that race make one account.
    """
    if User.objects.exists():
        return FIRST_ADMIN, None
    chosen = password or secrets.token_urlsafe(15)
    try:
        with transaction.atomic():
            user = User.objects.create_user(FIRST_ADMIN, password=chosen)
            RoleGrant.objects.create(user=user, role=Role.ADMIN)
            record("account.create", by=SYSTEM, target=f"account:{FIRST_ADMIN}", detail={"role": Role.ADMIN})
    except IntegrityError:
        return FIRST_ADMIN, None
    return FIRST_ADMIN, None if password else chosen


@transaction.atomic
def create_user(*, by: Any, username: str, password: str, role: str = "", environment: str = "") -> User:
    """Make an account. Raises Denied, ValidationError for a weak password, IntegrityError for a taken name."""
    policy.check(by, "accounts.manage")
    user = User(username=username)
    validate_password(password, user)
    user.set_password(password)
    user.save()
    record("account.create", by=by, target=f"account:{username}")
    if role:
        grant_role(by=by, user=user, role=role, environment=environment)
    return user


@transaction.atomic
def set_password(*, by: Any, user: User, password: str) -> None:
    """One's own, or another's by an admin. The account's sessions end."""
    if getattr(by, "pk", None) != user.pk:
        policy.check(by, "accounts.manage")
    validate_password(password, user)
    user.set_password(password)
    user.save(update_fields=["password"])
    record("account.password", by=by, target=f"account:{user.username}")


@transaction.atomic
def set_active(*, by: Any, user: User, active: bool) -> None:
    policy.check(by, "accounts.manage")
    User.objects.filter(pk=user.pk).update(is_active=active)
    record("account.activate" if active else "account.deactivate", by=by, target=f"account:{user.username}")
    _keep_an_admin()


@transaction.atomic
def grant_role(
    *, by: Any, role: str, user: User | None = None, group: Group | None = None, environment: str = ""
) -> RoleGrant:
    """Grant a role, in one environment or (empty) in all. Granted already: nothing changes."""
    policy.check(by, "accounts.manage")
    grant, made = RoleGrant.objects.get_or_create(user=user, group=group, role=Role(role), environment=environment)
    if made:
        record("role.grant", by=by, target=_target(grant), environment=environment, detail={"role": role})
    return grant


@transaction.atomic
def revoke_role(*, by: Any, grant: RoleGrant) -> None:
    policy.check(by, "accounts.manage")
    detail = {"role": grant.role}
    target, environment = _target(grant), grant.environment
    grant.delete()
    record("role.revoke", by=by, target=target, environment=environment, detail=detail)
    _keep_an_admin()


def _target(grant: RoleGrant) -> str:
    return f"account:{grant.user.username}" if grant.user else f"group:{grant.group}"


def _keep_an_admin() -> None:
    """Raise LastAdmin, and with it undo the transaction, where no active admin is left."""
    active = User.objects.filter(is_active=True)
    by_role = active.filter(grants__role=Role.ADMIN, grants__environment="") | active.filter(
        groups__grants__role=Role.ADMIN, groups__grants__environment=""
    )
    if not by_role.exists() and not active.filter(is_superuser=True).exists():
        raise LastAdmin(hint="Make somebody else an admin first.")
