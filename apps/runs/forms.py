"""The form that starts a run: an environment, and a field for each parameter of the flow."""

from collections.abc import Sequence
from typing import Any

from django import forms

from apps.environments.models import Environment
from apps.flows.models import FlowVersion
from apps.flows.reading import ParameterWords, read
from apps.language.diagnostics import Diagnostic

PREFIX = "param-"  # of a parameter's field, so that one called "environment" is no trouble
_FORMS_OF = {
    "bool": "true or false",
    "date": "as 2026-01-31",
    "timestamp": "as 2026-01-31 10:00",
    "timestamptz": "as 2026-01-31 10:00",
    "time": "as 10:00",
    "duration": "as 5m, 2h, 400d",
    "int": "a whole number",
}


class RunForm(forms.Form):
    """`environments` are those in which the person may run; a parameter left empty keeps its default."""

    environment = forms.ModelChoiceField(Environment.objects.none(), empty_label=None, to_field_name="slug")

    def __init__(
        self, data: Any = None, *, version: FlowVersion, environments: Sequence[Environment], initial: Any = None
    ) -> None:
        super().__init__(data, initial=initial)
        field = self.fields["environment"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = Environment.objects.filter(pk__in=[each.pk for each in environments]).order_by("position")
        self.parameters = read(version.text).parameters
        for parameter in self.parameters:
            self.fields[PREFIX + parameter.name] = _field(parameter)

    @property
    def has_no_parameters(self) -> bool:
        return not self.parameters

    def values(self) -> dict[str, str]:
        """What was written for each parameter; those left empty are left out and keep their default."""
        given = {each.name: self.cleaned_data.get(PREFIX + each.name, "") for each in self.parameters}
        return {name: value for name, value in given.items() if value != ""}

    def refuse(self, found: Diagnostic) -> None:
        """Say what is wrong beside the parameter that the diagnostic names, or above all where it names none."""
        named = [each.name for each in self.parameters if f"'{each.name}'" in found.message]
        sentence = f"{found.message[:1].upper()}{found.message[1:]}"
        self.add_error(PREFIX + named[0] if named else None, ". ".join(part for part in (sentence, found.hint) if part))


def _field(parameter: ParameterWords) -> forms.Field:
    default = f"left empty, it is {parameter.default}" if parameter.default else ""
    hints = [_FORMS_OF.get(parameter.type, ""), parameter.limits, default]
    words = "; ".join(hint for hint in hints if hint)
    field: forms.Field
    if choices := parameter.choices or (("true", "false") if parameter.type == "bool" else ()):
        empty = [("", f"{parameter.default} (default)")] if parameter.default else [("", "choose")]
        field = forms.ChoiceField(choices=[*empty, *((each, each) for each in choices)])
        words = ""
    else:
        field = forms.CharField(max_length=4000, strip=parameter.type != "text")
        field.widget.attrs |= {"autocomplete": "off", "spellcheck": "false", "placeholder": parameter.default}
    field.label, field.help_text, field.required = parameter.name, words, not parameter.default
    setattr(field, "type_text", parameter.type)  # noqa: B010  the template shows it beside the label
    return field
