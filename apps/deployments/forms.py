"""What people are asked: which environment a release is made of, and the word of the one who approves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms

from apps.environments.models import Environment


class BuildForm(forms.Form):
    environment = forms.ChoiceField(label="Environment", help_text="Its compose file says what the release is made of.")
    note = forms.CharField(
        label="Note", max_length=200, required=False, help_text="What is new in it, for those who deploy it."
    )

    def __init__(self, *args: Any, environments: Sequence[Environment], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.places = {each.slug: each for each in environments}
        self.fields["environment"].choices = [(each.slug, each.name) for each in environments]  # type: ignore[attr-defined]

    def clean_environment(self) -> Environment:
        return self.places[self.cleaned_data["environment"]]


class ApproveForm(forms.Form):
    password = forms.CharField(
        label="Your own password",
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
        help_text="Once more, so that it is you and not who found your screen open.",
    )
    note = forms.CharField(label="Note", max_length=200, required=False, help_text="For the record; it may be empty.")
