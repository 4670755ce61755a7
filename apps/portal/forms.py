"""The login form, in words for people who need not know what Django calls staff."""

from unfold.forms import AuthenticationForm


class LoginForm(AuthenticationForm):
    error_messages = {
        **AuthenticationForm.error_messages,
        "invalid_login": "Name and password do not fit together. Both mind capital letters. An admin can set a new password.",
        "inactive": "This account is switched off. An admin can switch it on again.",
    }
