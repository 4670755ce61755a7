"""The one policy layer: every action has a name here, and a set of roles that may. What is not named is refused.

Rights come in pairs: `check` raises with the reason, `allowed` answers yes or no. Pages show buttons with one,
actions and views guard with the other.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import HttpRequest, HttpResponseBase

from apps.accounts.models import Role, RoleGrant
from apps.common.errors import FlowControlError

READERS = frozenset({Role.VIEWER, Role.AUTHOR, Role.OPERATOR, Role.ADMIN, Role.AUDITOR})
WRITERS = frozenset({Role.AUTHOR, Role.OPERATOR, Role.ADMIN})
OPERATORS = frozenset({Role.OPERATOR, Role.ADMIN})
ADMINS = frozenset({Role.ADMIN})


@dataclass(frozen=True, slots=True)
class Rule:
    """`label` is what the action does, in words; `roles` may do it anywhere, `in_dev` in dev alone."""

    label: str
    roles: frozenset[Role]
    in_dev: frozenset[Role] = frozenset()


ACTIONS: dict[str, Rule] = {
    "portal.view": Rule("see the overview", READERS),
    "account.own": Rule("change one's own password", READERS),
    "accounts.manage": Rule("manage accounts and roles", ADMINS),
    "audit.view": Rule("read the audit", frozenset({Role.ADMIN, Role.AUDITOR})),
    "admin.view": Rule("inspect the state in the admin", OPERATORS | {Role.AUDITOR}),
}


class Denied(FlowControlError, PermissionDenied):  # noqa: N818  it is what the person reads
    """You may not do this."""

    code = "denied"


def register(actions: dict[str, Rule]) -> None:
    """Name the actions of a higher room. Called from its AppConfig.ready; a name has one meaning."""
    for name, rule in actions.items():
        assert ACTIONS.get(name, rule) == rule, f"the action {name} is registered twice, differently"
        ACTIONS[name] = rule


def allowed(user: Any, action: str, environment: str = "") -> bool:
    """Whether `user` may. With no environment named: whether the user may in any."""
    rule = ACTIONS[action]
    actor_rights = getattr(user, "rights", None)  # an Actor of the command line carries its own
    if actor_rights is not None:
        return bool(actor_rights(action, environment))
    if getattr(user, "kind", "") == "system":
        return True
    if not getattr(user, "is_authenticated", False) or not user.is_active:
        return False
    if user.is_superuser and Role.ADMIN in rule.roles:
        return True
    return any(
        (not where or not environment or where == environment)
        and (role in rule.roles or (role in rule.in_dev and environment in ("", "dev") and where in ("", "dev")))
        for role, where in grants_of(user)
    )


def check(user: Any, action: str, environment: str = "") -> None:
    """Raise Denied with the reason and the cure unless `user` may."""
    if allowed(user, action, environment):
        return
    rule = ACTIONS[action]
    where = f" in {environment}" if environment else ""
    roles = ", ".join(sorted(role.label for role in rule.roles | rule.in_dev))
    raise Denied(f"You may not {rule.label}{where}.", hint=f"It takes one of these roles: {roles}. Ask an admin.")


def grants_of(user: Any) -> frozenset[tuple[str, str]]:
    """The user's (role, environment) pairs, own and by group; one query, kept for the life of the object."""
    cached: frozenset[tuple[str, str]] | None = getattr(user, "_grants", None)
    if cached is None:
        rows = RoleGrant.objects.filter(Q(user=user.pk) | Q(group__user=user.pk))
        cached = frozenset(rows.values_list("role", "environment"))
        user._grants = cached
    return cached


View = Callable[..., HttpResponseBase]


def guard(action: str) -> Callable[[Any], Any]:
    """Guard a view (function or class) by `action`. A stranger is sent to the login page."""

    def decorate(view: Any) -> Any:
        if isinstance(view, type):
            dispatch = view.dispatch  # type: ignore[attr-defined]

            @wraps(dispatch)
            def guarded_dispatch(self: Any, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
                return _gate(action, request) or dispatch(self, request, *args, **kwargs)

            view.dispatch = guarded_dispatch  # type: ignore[attr-defined]
            view.policy_action = action  # type: ignore[attr-defined]
            return view

        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            return _gate(action, request) or view(request, *args, **kwargs)

        guarded.policy_action = action  # type: ignore[attr-defined]
        return guarded

    return decorate


def public(reason: str) -> Callable[[View], View]:
    """Mark a view as open to everybody, with the reason why."""

    def decorate(view: View) -> View:
        view.policy_action = f"public: {reason}"  # type: ignore[attr-defined]
        return view

    return decorate


def _gate(action: str, request: HttpRequest) -> HttpResponseBase | None:
    if not request.user.is_authenticated:
        return redirect_to_login(request.get_full_path())
    check(request.user, action)
    return None
