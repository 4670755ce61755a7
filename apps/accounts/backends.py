"""What the Django admin asks: may this account see, change this model? Answered by the policy layer alone."""

from typing import Any

from django.contrib.auth.backends import ModelBackend

from apps.accounts import policy


class PolicyBackend(ModelBackend):
    """Logs in by password; permissions come from roles. Rows of auth_permission give nobody anything."""

    def user_can_authenticate(self, user: Any) -> bool:
        """Asked at the login and, by way of `get_user`, with each request of a session."""
        return super().user_can_authenticate(user) and not user.is_over

    def has_perm(self, user_obj: Any, perm: str, obj: Any = None) -> bool:
        """`perm` is Django's "room.verb_model". To view takes the model's own action or `admin.view`, any other verb the
        action that manages the model; where there is none, machines keep it and the answer is no."""
        room, _, codename = perm.partition(".")
        verb, _, name = codename.partition("_")
        model = f"{room}.{name}"
        managing = policy.MANAGED.get(model)
        if managing and policy.allowed(user_obj, managing):
            return True
        return verb == "view" and policy.allowed(user_obj, policy.SHOWN.get(model, "admin.view"))

    def has_module_perms(self, user_obj: Any, app_label: str) -> bool:
        return policy.allowed(user_obj, "admin.view")

    def get_all_permissions(self, user_obj: Any, obj: Any = None) -> set[str]:
        return set()
