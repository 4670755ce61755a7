"""Changes to accounts, groups and roles: each in one transaction with its audit event.

Nothing else changes them: a page, a command or the admin calls one of these. Accounts of people are never deleted, since
the record and the rooms above name them; one that is not used any more is deactivated. A program that looks at the portal
as a person does is given a temporary one, which ends by itself.
"""

import secrets
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from axes.models import AccessAttempt
from django.contrib.auth.models import Group
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import F, Q

from apps.accounts import policy
from apps.accounts.models import Role, RoleGrant, User
from apps.audit.actions import record
from apps.audit.actors import SYSTEM
from apps.common import clock
from apps.common.errors import FlowControlError

FIRST_ADMIN = "admin"
LONGEST_TEMPORARY_SECONDS = 3600
PROFILE = ("username", "first_name", "last_name", "email")


class LastAdmin(FlowControlError):  # noqa: N818
    """Nobody could manage accounts any more."""

    code = "last_admin"


class AccountInvalid(FlowControlError):  # noqa: N818
    """An account, group or role cannot be as it was asked for."""

    code = "account_invalid"


# --- accounts --------------------------------------------------------------------------------


def ensure_first_admin(password: str | None = None) -> tuple[str, str | None]:
    """Make the account `admin` where there is no account at all. Returns its name and the random password, once.

    With a `password` given, or where accounts exist, the second part is None. Two that race make one account, and only
    the one that made it has a password to tell. Killed before the caller told it: `accounts set-password` gives another.
    """
    if User.objects.exists():
        return FIRST_ADMIN, None
    chosen = password or secrets.token_urlsafe(15)
    try:
        with transaction.atomic():
            user = User.objects.create_user(FIRST_ADMIN, password=chosen)
            RoleGrant.objects.create(user=user, role=Role.ADMIN)
            record("account.create", by=SYSTEM, target=_account(user), detail={"first": True})
            record("role.grant", by=SYSTEM, target=_account(user), detail={"role": Role.ADMIN})
    except IntegrityError:
        return FIRST_ADMIN, None
    return FIRST_ADMIN, None if password else chosen


@transaction.atomic
def create_user(
    *, by: Any, username: str, password: str, role: str = "", environment: str = "", **profile: str
) -> User:
    """Make an account, with a role if one is named. `profile` may hold first_name, last_name, email.

    Raises Denied, or AccountInvalid for a name that is taken or no name, a weak password, an unknown role.
    """
    policy.check(by, "accounts.manage")
    user = User(username=username, **profile)
    _validate_password(password, user)
    user.set_password(password)
    _validate(user)
    user.save()
    record("account.create", by=by, target=_account(user))
    if role:
        grant_role(by=by, user=user, role=role, environment=environment)
    return user


@transaction.atomic
def change_user(*, by: Any, user: User, **profile: str) -> None:
    """Change username, first_name, last_name or email. The event tells what was and what is; nothing new, no event."""
    policy.check(by, "accounts.manage")
    before = User.objects.get(pk=user.pk)
    changed = {
        field: [getattr(before, field), value] for field, value in profile.items() if getattr(before, field) != value
    }
    for field, value in profile.items():
        assert field in PROFILE, f"{field} is not changed here"
        setattr(user, field, value)
    if not changed:
        return
    _validate(user)
    user.save(update_fields=list(changed))
    record("account.change", by=by, target=_account(before), detail=changed)


@transaction.atomic
def set_password(*, by: Any, user: User, password: str) -> None:
    """One's own, or another's by an admin. The account's sessions end, but for one that renews its own."""
    if getattr(by, "pk", None) != user.pk:
        policy.check(by, "accounts.manage")
    _validate_password(password, user)
    user.set_password(password)
    user.save(update_fields=["password"])
    record("account.password", by=by, target=_account(user))


@transaction.atomic
def deactivate_user(*, by: Any, user: User) -> None:
    """The account cannot log in any more, its sessions end, and they stay over should it be activated again."""
    policy.check(by, "accounts.manage")
    if User.objects.filter(pk=user.pk, is_active=True).update(is_active=False, session_epoch=F("session_epoch") + 1):
        record("account.deactivate", by=by, target=_account(user))
        _keep_an_admin()
    user.refresh_from_db(fields=["is_active", "session_epoch"])


@transaction.atomic
def activate_user(*, by: Any, user: User) -> None:
    policy.check(by, "accounts.manage")
    if User.objects.filter(pk=user.pk, is_active=False).update(is_active=True):
        record("account.activate", by=by, target=_account(user))
    user.refresh_from_db(fields=["is_active"])


@transaction.atomic
def unlock_user(*, by: Any, user: User) -> int:
    """Forget failed logins, so that a locked-out account may try again at once. Returns from how many addresses."""
    policy.check(by, "accounts.manage")
    attempts = AccessAttempt.objects.filter(username=user.username)
    count = attempts.count()
    if count:
        attempts.delete()
        record("account.unlock", by=by, target=_account(user))
    return count


@transaction.atomic
def create_temporary(*, by: Any, prefix: str, role: str, environment: str = "", seconds: float) -> tuple[User, str]:
    """Make an account for a while, named `<prefix>-<12 random digits>`. Returns it, and its password, which is random and
    kept nowhere. After `seconds` (an hour at most) it is shut out, whether it was removed or not.

    Raises Denied, or AccountInvalid for the role of an admin: nothing unattended manages accounts.
    """
    policy.check(by, "accounts.manage")
    if role == Role.ADMIN or not 0 < seconds <= LONGEST_TEMPORARY_SECONDS:
        raise AccountInvalid("A temporary account is no admin, and lives an hour at most.")
    password = secrets.token_urlsafe(24)
    until = clock.now() + timedelta(seconds=seconds)
    user = User.objects.create_user(f"{prefix}-{secrets.token_hex(6)}", password=password, expires_at=until)
    record("account.create", by=by, target=_account(user), detail={"temporary": True, "until": until.isoformat()})
    grant_role(by=by, user=user, role=role, environment=environment)
    return user, password


@transaction.atomic
def remove_temporary(*, by: Any, user: User) -> None:
    """Remove a temporary account; its sessions end with it. Removed twice, or not temporary: nothing changes."""
    policy.check(by, "accounts.manage")
    if User.objects.filter(pk=user.pk, expires_at__isnull=False).delete()[0]:
        record("account.remove", by=by, target=_account(user), detail={"temporary": True})


def remove_expired(*, by: Any) -> int:
    """Remove the temporary accounts whose time is up: whoever made them has died. Returns how many there were."""
    left = list(User.objects.filter(expires_at__lte=clock.now()))
    for user in left:
        remove_temporary(by=by, user=user)
    return len(left)


# --- groups ----------------------------------------------------------------------------------


@transaction.atomic
def create_group(*, by: Any, name: str) -> Group:
    policy.check(by, "accounts.manage")
    group = Group(name=name)
    _validate(group)
    group.save()
    record("group.create", by=by, target=_group(group))
    return group


@transaction.atomic
def rename_group(*, by: Any, group: Group, name: str) -> None:
    policy.check(by, "accounts.manage")
    before = Group.objects.get(pk=group.pk)
    group.name = name
    if before.name == name:
        return
    _validate(group)
    group.save(update_fields=["name"])
    record("group.rename", by=by, target=_group(before), detail={"name": [before.name, name]})


@transaction.atomic
def delete_group(*, by: Any, group: Group) -> None:
    """The group goes, and with it its members' share in its roles. The event names both."""
    policy.check(by, "accounts.manage")
    roles = sorted(group.grants.values_list("role", "environment"))
    members = sorted(User.objects.filter(groups=group).values_list("username", flat=True))
    target = _group(group)
    group.delete()
    record("group.delete", by=by, target=target, detail={"roles": roles, "members": members})
    _keep_an_admin()


@transaction.atomic
def set_groups(*, by: Any, user: User, groups: Iterable[Group]) -> None:
    """The account is a member of these groups and no others: one event for each that it joins or leaves."""
    policy.check(by, "accounts.manage")
    wanted, present = set(groups), set(user.groups.all())
    user.groups.set(wanted)
    for group in sorted(wanted - present, key=str):
        record("group.join", by=by, target=_group(group), detail={"account": user.username})
    for group in sorted(present - wanted, key=str):
        record("group.leave", by=by, target=_group(group), detail={"account": user.username})
    policy.forget_grants(user)
    _keep_an_admin()


# --- roles -----------------------------------------------------------------------------------


@transaction.atomic
def grant_role(
    *, by: Any, role: str, user: User | None = None, group: Group | None = None, environment: str = ""
) -> RoleGrant:
    """Grant a role to a user or a group, in one environment or (empty) in all. Granted already: nothing changes."""
    policy.check(by, "accounts.manage")
    if (user is None) == (group is None):
        raise AccountInvalid("A role is granted to a user or to a group.", hint="Name one of them.")
    if role not in Role.values:
        raise AccountInvalid(f"There is no role '{role}'.", hint=f"The roles are {', '.join(Role.values)}.")
    known = policy.environments()
    if environment and known is not None and environment not in known:
        raise AccountInvalid(
            f"There is no environment '{environment}'.", hint=f"There are {', '.join(known)}; leave it empty for all."
        )
    grant, made = RoleGrant.objects.get_or_create(user=user, group=group, role=Role(role), environment=environment)
    if made:
        record("role.grant", by=by, target=_holder(grant), environment=environment, detail={"role": role})
        if user:
            policy.forget_grants(user)
    return grant


@transaction.atomic
def revoke_role(*, by: Any, grant: RoleGrant) -> None:
    """Take a role back, at once: the next request of whoever held it is refused. Raises LastAdmin."""
    policy.check(by, "accounts.manage")
    target, role, environment = _holder(grant), grant.role, grant.environment
    removed, _ = RoleGrant.objects.filter(pk=grant.pk).delete()
    if removed:
        record("role.revoke", by=by, target=target, environment=environment, detail={"role": role})
        _keep_an_admin()
    if grant.user:
        policy.forget_grants(grant.user)


# --- what they share -------------------------------------------------------------------------


def _account(user: User) -> str:
    return f"account:{user.username}"


def _group(group: Group) -> str:
    return f"group:{group.name}"


def _holder(grant: RoleGrant) -> str:
    if grant.user:
        return _account(grant.user)
    assert grant.group is not None, "a grant has a user or a group"
    return _group(grant.group)


def _validate(row: User | Group) -> None:
    try:
        row.full_clean(exclude=["password"])
    except ValidationError as error:
        raise AccountInvalid(" ".join(error.messages)) from error


def _validate_password(password: str, user: User) -> None:
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise AccountInvalid(" ".join(error.messages), hint="Choose another password.") from error


def _keep_an_admin() -> None:
    """Raise LastAdmin, and with it undo the transaction, where no active account with the admin role everywhere is left.

    Called after `record`, whose lock on the audit's head makes such changes wait for each other: two admins who
    deactivate each other at the same moment do not both succeed.
    """
    everywhere = Q(role=Role.ADMIN, environment="")
    admins = RoleGrant.objects.filter(everywhere, user__is_active=True).exists()
    by_group = RoleGrant.objects.filter(everywhere, group__user__is_active=True).exists()
    if not (admins or by_group or User.objects.filter(is_active=True, is_superuser=True).exists()):
        raise LastAdmin(hint="Make somebody else an admin first.")
