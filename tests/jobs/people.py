"""A small cast: someone who may follow errands in dev, and someone who may in staging only."""

from __future__ import annotations

from apps.accounts.models import Role, RoleGrant, User


def viewer() -> User:
    return _person("viewer", "dev")


def stranger() -> User:
    return _person("stranger", "staging")


def _person(name: str, environment: str) -> User:
    user = User.objects.create_user(name)
    RoleGrant.objects.create(user=user, role=Role.VIEWER, environment=environment)
    return user
