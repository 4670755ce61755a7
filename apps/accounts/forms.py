"""Forms of the admin. What they save, the actions of this room save, and note in the audit."""

from typing import Any

from django import forms
from unfold.forms import AdminOwnPasswordChangeForm, AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminSelectWidget

from apps.accounts import actions, policy
from apps.accounts.models import RoleGrant, User


class NewUserForm(UserCreationForm):
    """Name and password of a new account; it always has a password that can be used."""

    usable_password = None

    class Meta:
        model = User
        fields = ("username",)


class UserForm(UserChangeForm):
    class Meta:
        model = User
        fields = ("username", "first_name", "last_name", "email", "is_active", "groups")


class PasswordForm(AdminPasswordChangeForm):
    """An admin sets the password of `user`, on which the admin page has noted who is `acting`."""

    usable_password = None

    def save(self, commit: bool = True) -> User:
        user: User = self.user
        actions.set_password(by=user.acting, user=user, password=self.cleaned_data["password1"])
        return user


class OwnPasswordForm(AdminOwnPasswordChangeForm):
    """Somebody changes the password of his own."""

    def save(self, commit: bool = True) -> User:
        user: User = self.user
        actions.set_password(by=user, user=user, password=self.cleaned_data["new_password1"])
        return user


class GrantForm(forms.ModelForm):
    """A role to a user or a group. The environment is chosen among those there are."""

    class Meta:
        model = RoleGrant
        fields = ("user", "group", "role", "environment")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        known = policy.environments()
        if known is not None and "environment" in self.fields:
            self.fields["environment"] = forms.ChoiceField(
                choices=[("", "every environment"), *((slug, slug) for slug in known)],
                required=False,
                widget=UnfoldAdminSelectWidget,
            )

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        if {"user", "group"} <= self.fields.keys() and bool(given.get("user")) == bool(given.get("group")):
            raise forms.ValidationError("Choose a user or a group, one of them.")
        return given
