"""The cast: an admin who acts, and others to whom it is done. None has a password unless a test is about passwords."""

from apps.accounts.models import Role, RoleGrant, User
from apps.audit.models import AuditEvent

PASSWORD = "correct horse battery"
OTHER_PASSWORD = "wrong zebra capacitor"


def person(name, role=None, environment="", password=None, **fields):
    user = User.objects.create_user(name, password=password, **fields)
    if role:
        RoleGrant.objects.create(user=user, role=Role(role), environment=environment)
    return user


def told():
    """What the audit has, oldest first: (kind, actor, target)."""
    return list(AuditEvent.objects.order_by("seq").values_list("kind", "actor", "target"))


def newest():
    return AuditEvent.objects.order_by("-seq").first()
