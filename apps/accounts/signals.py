"""Coming and going, in the audit."""

from typing import Any

from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db import transaction
from django.dispatch import receiver

from apps.audit.actions import record
from apps.audit.actors import Actor


@receiver(user_logged_in)
def note_login(sender: Any, user: Any, **_: Any) -> None:
    with transaction.atomic():
        record("account.login", by=user, target=f"account:{user.get_username()}")


@receiver(user_logged_out)
def note_logout(sender: Any, user: Any, **_: Any) -> None:
    if user is not None:
        with transaction.atomic():
            record("account.logout", by=user, target=f"account:{user.get_username()}")


@receiver(user_login_failed)
def note_failure(sender: Any, credentials: dict[str, Any], **_: Any) -> None:
    name = str(credentials.get("username", ""))[:100]
    with transaction.atomic():
        record("account.login_failed", by=Actor(name or "somebody"), target=f"account:{name}")
