"""What the Django admin asks: may this account see, change this model? Answered by the policy layer alone."""

from typing import Any

from django.contrib.auth.backends import ModelBackend

from apps.accounts import policy

# Models whose state people change in the admin; every other model is machine-kept and only shown.
MANAGED = {
    ("accounts", "user"): "accounts.manage",
    ("accounts", "rolegrant"): "accounts.manage",
    ("auth", "group"): "accounts.manage",
}
SHOWN = {("audit", "auditevent"): "audit.view"}


class PolicyBackend(ModelBackend):
    """Logs in by password; permissions come from roles."""

    def has_perm(self, user_obj: Any, perm: str, obj: Any = None) -> bool:
        room, _, codename = perm.partition(".")
        verb, _, model = codename.partition("_")
        managed = MANAGED.get((room, model))
        if verb == "view":
            action = SHOWN.get((room, model), "admin.view")
            return policy.allowed(user_obj, action) or bool(managed and policy.allowed(user_obj, managed))
        return bool(managed and policy.allowed(user_obj, managed))

    def has_module_perms(self, user_obj: Any, app_label: str) -> bool:
        return policy.allowed(user_obj, "admin.view") or policy.allowed(user_obj, "accounts.manage")

    def get_all_permissions(self, user_obj: Any, obj: Any = None) -> set[str]:
        return set()
