"""The forms that add hooks. What may be added is decided by the actions."""

from __future__ import annotations

from typing import Any

from django import forms

from apps.deployments.hooks.models import HookSource, HookTarget
from apps.environments.models import Environment

NAME_HELP = "Small letters, digits and dashes: shop-main. It stays as it is."
ABOUT_IT = "Of the environment. When empty one is made, and shown once."
PLAIN = {"autocomplete": "off", "autocapitalize": "off", "spellcheck": "false"}


def _name() -> forms.CharField:
    return forms.CharField(max_length=50, help_text=NAME_HELP, widget=forms.TextInput(attrs=PLAIN))


def _secret() -> forms.CharField:
    attributes = {**PLAIN, "class": "mono", "autocapitalize": "characters"}
    return forms.CharField(
        max_length=100,
        required=False,
        label="Name of its secret",
        help_text=ABOUT_IT,
        widget=forms.TextInput(attrs=attributes),
    )


class _HookForm(forms.Form):
    environment = forms.ModelChoiceField(Environment.objects.none(), to_field_name="slug", empty_label=None)

    def __init__(self, data: Any = None, *, environments: Any) -> None:
        super().__init__(data)
        self.fields["environment"].queryset = environments  # type: ignore[attr-defined]


class SourceForm(_HookForm):
    name = _name()
    provider = forms.ChoiceField(choices=HookSource.Provider.choices)
    repository = forms.CharField(
        max_length=500,
        help_text="https://host/path, user@host:path, or a path on the worker's machine",
        widget=forms.TextInput(attrs={**PLAIN, "class": "mono"}),
    )
    branch = forms.CharField(max_length=200, initial="main", widget=forms.TextInput(attrs=PLAIN))
    compose_path = forms.CharField(
        max_length=300,
        initial="compose.yaml",
        label="Compose file",
        help_text="In the repository",
        widget=forms.TextInput(attrs={**PLAIN, "class": "mono"}),
    )
    credential = forms.CharField(
        max_length=100,
        required=False,
        label="Secret that opens the repository",
        help_text="The name of a secret: user:token for https, a private key for ssh. Empty for a public one.",
        widget=forms.TextInput(attrs={**PLAIN, "class": "mono", "autocapitalize": "characters"}),
    )
    secret = _secret()
    field_order = ("name", "environment", "provider", "repository", "branch", "compose_path", "credential", "secret")


class TargetForm(_HookForm):
    name = _name()
    url = forms.CharField(
        max_length=500, label="Address", help_text="https://host/path", widget=forms.TextInput(attrs=PLAIN)
    )
    events = forms.MultipleChoiceField(
        label="Tell it when a deployment",
        choices=[
            (HookTarget.SUCCESS, "serves (on_deploy_success)"),
            (HookTarget.FAILURE, "does not (on_deploy_failure)"),
        ],
        initial=[HookTarget.SUCCESS, HookTarget.FAILURE],
        widget=forms.CheckboxSelectMultiple,
    )
    internal = forms.BooleanField(
        required=False, label="It is in our own network", help_text="Otherwise private addresses are refused."
    )
    secret = _secret()
    field_order = ("name", "environment", "url", "events", "internal", "secret")
