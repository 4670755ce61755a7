"""Coming and going, in the audit. An event that cannot be written keeps the door shut."""

from typing import Any

from axes import signals as counted_first  # noqa: F401  its receiver of a failed login runs before ours
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db import transaction
from django.dispatch import receiver
from django.http import HttpRequest

from apps.audit.actions import record
from apps.audit.actors import ANONYMOUS

LONGEST_NAME = 100  # of a name that somebody typed, and that may be no account's


def typed_name(request: HttpRequest, credentials: dict[str, Any] | None) -> str:
    """The name by which axes counts failures: cut, or one that is too long for its column ends in an error."""
    return str((credentials or request.POST).get("username") or "")[:200]  # no account's name is longer than 150


@receiver(user_logged_in)
def note_login(sender: Any, user: Any, **_: Any) -> None:
    _note("account.login", user, user.get_username())


@receiver(user_logged_out)
def note_logout(sender: Any, user: Any, **_: Any) -> None:
    if user is not None:
        _note("account.logout", user, user.get_username())


@receiver(user_login_failed)
def note_failure(sender: Any, credentials: dict[str, Any], request: HttpRequest | None = None, **_: Any) -> None:
    """The failure, and with the one that is one too many the lock. While a lock holds nothing is tried and nothing noted:
    nobody fills the record so."""
    locked = getattr(request, "axes_locked_out", False)
    if locked and getattr(request, "axes_failures_since_start", None) is None:  # axes did not even count it
        return
    _note("account.login_failed", ANONYMOUS, credentials.get("username"))
    if locked:
        _note("account.lockout", ANONYMOUS, credentials.get("username"))


def _note(kind: str, by: Any, name: str | None) -> None:
    with transaction.atomic():
        record(kind, by=by, target=f"account:{str(name or '')[:LONGEST_NAME]}")
