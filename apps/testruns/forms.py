"""The forms that start a test run and put a case into quarantine."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django import forms

from apps.common import clock
from apps.environments.models import Environment
from apps.testruns.cases.model import LAYERS, layer_name

USUAL_QUARANTINE = timedelta(days=14)


class TestRunForm(forms.Form):
    """`environments` are those in which the person may test."""

    environment = forms.ModelChoiceField(Environment.objects.none(), empty_label=None, to_field_name="slug")
    layers = forms.MultipleChoiceField(
        choices=[(layer, f"{layer} {layer_name(layer, 'dev')}") for layer in LAYERS],
        widget=forms.CheckboxSelectMultiple,
        initial=list(LAYERS),
        help_text="They run in this order; a layer that fails stops those above it.",
    )
    keep_going = forms.BooleanField(required=False, label="Go on above a layer that failed")

    def __init__(self, data: Any = None, *, environments: Sequence[Environment], initial: Any = None) -> None:
        super().__init__(data, initial=initial)
        field = self.fields["environment"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = Environment.objects.filter(pk__in=[each.pk for each in environments]).order_by("position")


class QuarantineForm(forms.Form):
    until = forms.DateField(
        widget=forms.DateInput(attrs={"type": "date"}), help_text="From that day on its failure counts again."
    )
    reason = forms.CharField(max_length=500, help_text="For whoever wonders why it does not count.")

    def __init__(self, data: Any = None) -> None:
        super().__init__(data, initial={"until": (clock.now() + USUAL_QUARANTINE).date()})
