"""Deny by default: a view that names no policy is never called. And what browsers may load, on every answer."""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.staticfiles.views import serve
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect

from apps.accounts import policy

# The pages as shipped by unfold evaluate expressions in their attributes and carry inline styles.
CONTENT_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "object-src 'none'; frame-ancestors 'none'; base-uri 'self'; form-action 'self'"
)
# Addresses of the admin that every account uses, without a role too; the admin itself asks for a login.
FOR_EVERY_ACCOUNT = frozenset({"logout", "password_change", "password_change_done", "jsi18n"})

Answer = Callable[[HttpRequest], HttpResponseBase]


class ContentPolicyMiddleware:
    """Adds the content security policy to every answer that does not bring its own."""

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        response.headers.setdefault("Content-Security-Policy", CONTENT_POLICY)
        return response


class PolicyMiddleware:
    """Refuses views without a policy.

    The Django admin is asked for `admin.view` here, and for each model by has_perm (see backends.py).
    """

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponseBase | None:
        match = request.resolver_match
        if match is not None and match.app_names == ["admin"]:
            return _gate_of_admin(request, match.url_name or "")
        has_policy = bool(getattr(view, "policy_action", None))
        if has_policy or view is serve:
            return None
        raise policy.Denied(
            "This page has no policy, so nobody may open it.", hint="This is a defect: report the address."
        )


def _gate_of_admin(request: HttpRequest, name: str) -> HttpResponseBase | None:
    if name == "login":
        return None
    if not request.user.is_authenticated:
        return policy.to_login(request)
    if name in FOR_EVERY_ACCOUNT:
        return None
    if name == "index" and not policy.allowed(request.user, "admin.view"):
        return redirect(settings.LOGIN_REDIRECT_URL)  # the login page leads to the admin's front page
    return policy.gate(request, "admin.view")
