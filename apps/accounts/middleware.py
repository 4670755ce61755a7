"""Deny by default: a view that names no policy is never called."""

from collections.abc import Callable
from typing import Any

from django.contrib.staticfiles.views import serve
from django.http import HttpRequest, HttpResponseBase

from apps.accounts.policy import Denied

# The pages as shipped by unfold evaluate expressions in their attributes and carry inline styles.
CONTENT_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "object-src 'none'; frame-ancestors 'none'; base-uri 'self'; form-action 'self'"
)


class PolicyMiddleware:
    """Refuses views without a policy; adds the content security policy to every answer.

    The Django admin guards itself, through has_perm and so through the policy layer (see backends.py).
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        response.headers.setdefault("Content-Security-Policy", CONTENT_POLICY)
        return response

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> None:
        match = request.resolver_match
        in_admin = match is not None and "admin" in match.namespaces
        if not in_admin and view is not serve and not getattr(view, "policy_action", ""):
            raise Denied(
                "This page has no policy, so nobody may open it.", hint="This is a defect: report the address."
            )
