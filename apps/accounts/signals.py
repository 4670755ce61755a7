"""Coming and going, in the audit. An event that cannot be written keeps the door shut."""

from typing import Any

from axes.signals import user_locked_out
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db import transaction
from django.dispatch import receiver
from django.http import HttpRequest

from apps.audit.actions import record
from apps.audit.actors import ANONYMOUS

LONGEST_NAME = 100  # of a name that somebody typed, and that may be no account's


@receiver(user_logged_in)
def note_login(sender: Any, user: Any, **_: Any) -> None:
    _note("account.login", user, user.get_username())


@receiver(user_logged_out)
def note_logout(sender: Any, user: Any, **_: Any) -> None:
    if user is not None:
        _note("account.logout", user, user.get_username())


@receiver(user_login_failed)
def note_failure(sender: Any, credentials: dict[str, Any], request: HttpRequest | None = None, **_: Any) -> None:
    """While a name is locked out its attempts are not even tried, and are not noted: nobody fills the record so."""
    if getattr(request, "axes_locked_out", False):
        return
    _note("account.login_failed", ANONYMOUS, credentials.get("username"))
    if request is not None:
        request.login_just_failed = True  # type: ignore[attr-defined]


@receiver(user_locked_out)
def note_lockout(sender: Any, request: HttpRequest, username: str | None, **_: Any) -> None:
    """Once, with the failure that was one too many: axes sends it again for each attempt while the lock holds."""
    if getattr(request, "login_just_failed", False):
        _note("account.lockout", ANONYMOUS, username)


def _note(kind: str, by: Any, name: str | None) -> None:
    with transaction.atomic():
        record(kind, by=by, target=f"account:{str(name or '')[:LONGEST_NAME]}")
