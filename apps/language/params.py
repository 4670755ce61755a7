"""The values of a run's parameters: texts from a form or a command line → typed constants."""

from collections.abc import Mapping

from apps.language.checking.findings import a, guess
from apps.language.checking.parameters import refusal
from apps.language.diagnostics import Diagnostic
from apps.language.plan import Const, Parameter, Plan
from apps.language.values import LiteralError, read


def parse_values(plan: Plan, raw: Mapping[str, str]) -> tuple[dict[str, Const], list[Diagnostic]]:
    """The given values as constants, and what is wrong with them.

    Texts are read like literals (`2026-01-01`, `5m`), text without quotes. Defaults are left to the engine, and so
    are bounds that only a run can say (`today()`). A diagnostic stands at the parameter, an unknown name at the start.
    """
    values: dict[str, Const] = {}
    diagnostics: list[Diagnostic] = []
    parameters = {parameter.name: parameter for parameter in plan.params}
    for name, text in raw.items():
        if name not in parameters:
            hint = guess(name, parameters, "parameters of this flow")
            diagnostics.append(Diagnostic("E501", f"there is no parameter '{name}'", hint=hint))
            continue
        found = _value(parameters[name], text)
        if isinstance(found, Diagnostic):
            diagnostics.append(found)
        else:
            values[name] = found
    diagnostics += [_missing(each) for name, each in parameters.items() if name not in raw and each.default is None]
    return values, diagnostics


def _value(parameter: Parameter, text: str) -> Const | Diagnostic:
    try:
        value = Const(parameter.type, read(text, parameter.type))
    except LiteralError as problem:
        message = f"the parameter '{parameter.name}' has to be {a(parameter.type)}: {problem.message}"
        return Diagnostic("E502", message, parameter.span, problem.hint)
    problem_words = refusal(parameter, value)
    if problem_words:
        message = f"the parameter '{parameter.name}' does not allow this: {problem_words}"
        return Diagnostic("E503", message, parameter.span, "choose a value that the flow allows")
    return value


def _missing(parameter: Parameter) -> Diagnostic:
    message = f"the parameter '{parameter.name}' ({parameter.type}) has no value and no default"
    return Diagnostic("E504", message, parameter.span, f"give it one: --param {parameter.name}=…")
