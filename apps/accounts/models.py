"""Who may do what: accounts, and roles granted to them, everywhere or in one environment."""

from typing import Any, ClassVar

from django.contrib.auth import get_backends
from django.contrib.auth.models import AbstractUser, Group, UserManager
from django.db import models
from django.db.models import Q
from django.utils.crypto import salted_hmac

from apps.common import clock


class Role(models.TextChoices):
    VIEWER = "viewer", "Viewer"  # sees flows, runs, environments
    AUTHOR = "author", "Author"  # also writes flows and runs them in dev
    OPERATOR = "operator", "Operator"  # also runs and cancels everywhere
    ADMIN = "admin", "Admin"  # also manages accounts
    AUDITOR = "auditor", "Auditor"  # sees everything and the audit, changes nothing


class Accounts(UserManager["User"]):
    """Every account is staff to Django, which only opens the frame of the pages; roles decide the rest."""

    use_in_migrations = False

    def create_user(
        self, username: str, email: str | None = None, password: str | None = None, **fields: Any
    ) -> "User":
        return super().create_user(username, email, password, **{"is_staff": True, **fields})


class User(AbstractUser):
    """An account. `is_staff` only lets it see the frame of the pages; what it may do, its roles decide."""

    is_staff = models.BooleanField(default=True)
    session_epoch = models.PositiveIntegerField(default=0, editable=False)  # sessions of an earlier one are over
    # Of a temporary account: from then on it is shut out, even where whoever was to remove it has died.
    expires_at = models.DateTimeField(null=True, blank=True, editable=False)
    objects: ClassVar[Accounts] = Accounts()
    acting: Any = None  # who changes this account in the admin right now; never kept

    @property
    def is_over(self) -> bool:
        """A temporary account whose time is up."""
        return self.expires_at is not None and self.expires_at <= clock.now()

    def has_perm(self, perm: str, obj: Any = None) -> bool:
        """As the backends say, for a superuser too: what machines keep, nobody changes."""
        return self.is_active and any(
            backend.has_perm(self, perm, obj) for backend in get_backends() if hasattr(backend, "has_perm")
        )

    def has_module_perms(self, app_label: str) -> bool:
        return self.is_active and any(
            backend.has_module_perms(self, app_label)
            for backend in get_backends()
            if hasattr(backend, "has_module_perms")
        )

    def _get_session_auth_hash(self, secret: str | None = None) -> str:
        """A session holds this and ends when it changes: with a new password, and with each new epoch."""
        salt, value = "apps.accounts.models.User.session", f"{self.session_epoch}:{self.password}"
        return salted_hmac(salt, value, secret=secret, algorithm="sha256").hexdigest()


class RoleGrant(models.Model):
    """A role of one user or one group. An empty environment means every one.

    The environment is named by its slug: rooms above this one know environments, this one does not.
    """

    user = models.ForeignKey(User, null=True, blank=True, on_delete=models.CASCADE, related_name="grants")
    group = models.ForeignKey(Group, null=True, blank=True, on_delete=models.CASCADE, related_name="grants")
    role = models.CharField(max_length=10, choices=Role.choices)
    environment = models.SlugField(max_length=50, blank=True, default="")

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(user__isnull=False, group__isnull=True) | Q(user__isnull=True, group__isnull=False),
                name="grant_is_to_a_user_or_a_group",
            ),
            models.UniqueConstraint(
                fields=["user", "role", "environment"], condition=Q(user__isnull=False), name="grant_once_to_a_user"
            ),
            models.UniqueConstraint(
                fields=["group", "role", "environment"], condition=Q(group__isnull=False), name="grant_once_to_a_group"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.role} for {self.user or self.group} in {self.environment or 'every environment'}"
