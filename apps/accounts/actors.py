"""Who a command acts as."""

import getpass
import os
from dataclasses import dataclass

from django.conf import settings
from django.contrib.auth import authenticate
from django.http import HttpRequest

from apps.accounts.models import User
from apps.audit.actors import Actor
from apps.common.errors import FlowControlError


class UnknownAccount(FlowControlError):  # noqa: N818
    """There is no such account."""

    code = "unknown_account"


@dataclass(frozen=True, slots=True)
class CommandLine(Actor):
    """Somebody at a terminal without an account here: all rights in development, none elsewhere.

    FLOWCONTROL_CLI_RIGHTS says otherwise.
    """

    def rights(self, action: str, environment: str) -> bool:
        return bool(settings.CLI_HAS_RIGHTS)


def for_command(name: str | None) -> User | Actor:
    """`--as NAME`, else the account named like the operating system's user, else `cli:<user>`.

    Naming is not proving: who may start commands on this machine is trusted to say who he is. Raises UnknownAccount.
    """
    if name:
        user = User.objects.filter(username=name, is_active=True).first()
        if user is None:
            raise UnknownAccount(f"There is no active account '{name}'.", hint="See `manage.py accounts list`.")
        return user
    system_name = _system_name()
    return User.objects.filter(username=system_name, is_active=True).first() or CommandLine(f"cli:{system_name}", "cli")


def by_password(name: str, password: str) -> User | None:
    """The active account that this name and password belong to, else None. A command's guesses count like those of the
    login page, as from this machine."""
    request = HttpRequest()
    request.META["REMOTE_ADDR"] = "127.0.0.1"
    found = authenticate(request, username=name, password=password)
    return found if isinstance(found, User) else None


def _system_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run as a number that has no name
        return f"uid-{os.getuid()}"
