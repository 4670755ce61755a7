"""The one policy layer: every action has a name here, and a set of roles that may. What is not named is refused.

Rights come in pairs: `check` raises with the reason, `allowed` answers yes or no. Pages show buttons with one,
actions and views guard with the other.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import HttpRequest, HttpResponseBase
from django_htmx.http import HttpResponseClientRedirect

from apps.accounts.models import Role, RoleGrant
from apps.common.errors import FlowControlError

READERS = frozenset({Role.VIEWER, Role.AUTHOR, Role.OPERATOR, Role.ADMIN, Role.AUDITOR})
WRITERS = frozenset({Role.AUTHOR, Role.OPERATOR, Role.ADMIN})
OPERATORS = frozenset({Role.OPERATOR, Role.ADMIN})
ADMINS = frozenset({Role.ADMIN})
DEV = "dev"  # the one environment in which authors run
ELSEWHERE = "*"  # no environment's slug: what is allowed there is allowed in every one that needs no grant of its own


@dataclass(frozen=True, slots=True)
class Rule:
    """`label` is what the action does, in words; `roles` may do it where they are granted, `in_dev` in dev alone.

    `everywhere`: the action touches the whole house, so that only a role granted in every environment counts. An admin
    of staging alone must not be able to make himself admin of production.
    """

    label: str
    roles: frozenset[Role]
    in_dev: frozenset[Role] = frozenset()
    everywhere: bool = False


ACTIONS: dict[str, Rule] = {
    "portal.view": Rule("see the overview", READERS),
    "accounts.manage": Rule("manage accounts and roles", ADMINS, everywhere=True),
    "audit.view": Rule("read the audit", frozenset({Role.ADMIN, Role.AUDITOR}), everywhere=True),
    "admin.view": Rule("inspect the state in the admin", OPERATORS | {Role.AUDITOR}, everywhere=True),
}

# Which action the Django admin asks for, by model ("room.model"). What is not MANAGED here is machine-kept: nobody adds,
# changes or deletes it there. What is not SHOWN by an action of its own takes `admin.view` to look at.
MANAGED: dict[str, str] = {
    "accounts.user": "accounts.manage",
    "accounts.rolegrant": "accounts.manage",
    "auth.group": "accounts.manage",
}
SHOWN: dict[str, str] = {"audit.auditevent": "audit.view"}


class Denied(FlowControlError, PermissionDenied):  # noqa: N818  it is what the person reads
    """You may not do this."""

    code = "denied"


def register(
    actions: Mapping[str, Rule], *, managed: Mapping[str, str] | None = None, shown: Mapping[str, str] | None = None
) -> None:
    """Name the actions of a higher room, called from its AppConfig.ready, and which of them its models take in the
    admin: `managed` to change, `shown` to look at. A name has one meaning; saying the same twice is fine."""
    _add(ACTIONS, actions)
    _add(MANAGED, managed or {})
    _add(SHOWN, shown or {})


def _add[Meaning](known: dict[str, Meaning], new: Mapping[str, Meaning]) -> None:
    for name, meaning in new.items():
        kept = known.setdefault(name, meaning)
        assert kept == meaning, f"{name} is registered twice, differently"


def allowed(user: Any, action: str, environment: str = "") -> bool:
    """Whether `user` may. With no environment named: whether the user may in any."""
    rule = ACTIONS[action]
    actor_rights = getattr(user, "rights", None)  # an Actor of the command line carries its own
    if actor_rights is not None:
        return bool(actor_rights(action, environment))
    if getattr(user, "kind", "") == "system":
        return True
    if not getattr(user, "is_authenticated", False) or not user.is_active or user.is_over:
        return False
    if user.is_superuser and Role.ADMIN in rule.roles:
        return True
    return any(_covers(rule, role, where, environment) for role, where in grants_of(user))


def _covers(rule: Rule, role: str, where: str, environment: str) -> bool:
    """Whether a grant of `role` in `where` ("" is everywhere) lets do what `rule` is about in `environment` ("" is any)."""
    if rule.everywhere and where:
        return False
    if where and environment and where != environment:
        return False
    return role in rule.roles or (role in rule.in_dev and {where, environment} <= {"", DEV})


def scope(user: Any, action: str) -> frozenset[str] | None:
    """The environments in which `user` may, for lists: None for every one, also one that comes later."""
    if allowed(user, action, ELSEWHERE):
        return None
    return frozenset(where for _, where in grants_of(user) if where and allowed(user, action, where))


def check(user: Any, action: str, environment: str = "") -> None:
    """Raise Denied with the reason and the cure unless `user` may."""
    if allowed(user, action, environment):
        return
    rule = ACTIONS[action]
    place = f" in {environment}" if environment else ""
    roles = ", ".join(role.label for role in Role if role in rule.roles | rule.in_dev)
    raise Denied(f"You may not {rule.label}{place}.", hint=f"It takes one of these roles: {roles}. Ask an admin.")


def grants_of(user: Any) -> frozenset[tuple[str, str]]:
    """The user's (role, environment) pairs, own and by group; one query, kept for the life of the object."""
    cached: frozenset[tuple[str, str]] | None = getattr(user, "_grants", None)
    if cached is None:
        rows = RoleGrant.objects.filter(Q(user=user.pk) | Q(group__user=user.pk))
        cached = frozenset(rows.values_list("role", "environment"))
        user._grants = cached
    return cached


def forget_grants(user: Any) -> None:
    """Ask the database again the next time: the user's roles have just changed."""
    user.__dict__.pop("_grants", None)


# --- environments: known to a room above, which tells this one --------------------------------

_environments: list[Callable[[], Iterable[str]]] = []


def environments_from(slugs: Callable[[], Iterable[str]]) -> None:
    """Say where the slugs of all environments come from. Called once, from the AppConfig.ready of their room."""
    _environments[:] = [slugs]


def environments() -> list[str] | None:
    """The slugs of all environments; None where no room knows them."""
    return list(_environments[0]()) if _environments else None


# --- views -----------------------------------------------------------------------------------

View = Callable[..., HttpResponseBase]


def guard(action: str) -> Callable[[Any], Any]:
    """Guard a view (function or class) by `action`, in any environment. A stranger is sent to the login page."""
    return lambda view: _mark(view, action, lambda request: gate(request, action))


def public(reason: str) -> Callable[[Any], Any]:
    """Mark a view (function or class) as open to everybody, with the reason why."""
    return lambda view: _mark(view, f"public: {reason}", lambda request: None)


def gate(request: HttpRequest, action: str) -> HttpResponseBase | None:
    """None where the request's user may; the way to the login page for a stranger. Raises Denied for others."""
    if not request.user.is_authenticated:
        return to_login(request)
    check(request.user, action)
    return None


def to_login(request: HttpRequest) -> HttpResponseBase:
    """Lead to the login page and back. A fragment does not show it in the middle of a page: the whole page goes there."""
    if request.headers.get("HX-Request") == "true":
        return HttpResponseClientRedirect(
            redirect_to_login(request.headers.get("HX-Current-URL", "/")).headers["Location"]
        )
    return redirect_to_login(request.get_full_path())


def _mark(view: Any, action: str, ask: Callable[[HttpRequest], HttpResponseBase | None]) -> Any:
    if isinstance(view, type):
        # Django copies what is set on `dispatch` to the function that `as_view` makes.
        view.dispatch = _guarded(view.dispatch, action, ask, request_at=1)  # type: ignore[attr-defined]
        return view
    return _guarded(view, action, ask, request_at=0)


def _guarded(
    view: View, action: str, ask: Callable[[HttpRequest], HttpResponseBase | None], *, request_at: int
) -> View:
    assert not iscoroutinefunction(view), "guards ask the database: make the view a plain function"

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> HttpResponseBase:
        return ask(args[request_at]) or view(*args, **kwargs)

    guarded.policy_action = action  # type: ignore[attr-defined]
    return guarded
