"""The forms that set a variable and a secret. What may be set is decided by the actions."""

from typing import Any

from django import forms

NAME_HELP = "Capital letters, digits and underscores: DATABASE_URL"


class VariableForm(forms.Form):
    name = forms.CharField(max_length=100, help_text=NAME_HELP)
    value = forms.CharField(
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="Plain text for all who may see this page, or secret:NAME for a secret of this environment.",
    )

    def __init__(self, data: Any = None, *, initial: Any = None) -> None:
        super().__init__(data, initial=initial, prefix="variable")
        _plain_name(self.fields["name"])


class SecretForm(forms.Form):
    """Its value goes in and never comes back: not after an error either."""

    name = forms.CharField(max_length=100, help_text=NAME_HELP)
    value = forms.CharField(
        strip=False,
        widget=forms.PasswordInput(render_value=False, attrs={"autocomplete": "off", "spellcheck": "false"}),
        help_text="Nobody can read it again. One of several lines is set by manage.py environment secret set.",
    )

    def __init__(self, data: Any = None, *, initial: Any = None) -> None:
        super().__init__(data, initial=initial, prefix="secret")
        _plain_name(self.fields["name"])


def _plain_name(field: forms.Field) -> None:
    field.widget.attrs |= {
        "autocomplete": "off",
        "autocapitalize": "characters",
        "spellcheck": "false",
        "class": "mono",
    }
