"""The values that a run is started with, held against the parameters of its flow before anything is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from apps.common.errors import FlowControlError
from apps.engine import sandbox
from apps.engine.errors import ParameterRefused
from apps.engine.limits import MIB, Limits
from apps.engine.params import bind
from apps.flows.checked import FlowInvalid
from apps.language import tree as t
from apps.language.checker import check, no_schemas
from apps.language.diagnostics import Diagnostic, Span
from apps.language.params import parse_values
from apps.language.parser import parse
from apps.language.plan import Const, Parameter, Plan


class ParamsInvalid(FlowControlError):  # noqa: N818  it is what the person reads
    """A parameter has no value that the flow takes. `diagnostics` has all that is wrong."""

    code = "params_invalid"

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        self.diagnostics = list(diagnostics)
        sentences = [each.message[:1].upper() + each.message[1:] for each in diagnostics]
        hints = [each.hint for each in diagnostics if each.hint]
        message = " ".join(each if each.endswith(".") else f"{each}." for each in sentences)
        super().__init__(message, hint="; ".join(dict.fromkeys(hints)))


def check_values(text: str, given: Mapping[str, str], *, logical_time: datetime, workspace: Path) -> None:
    """Raise ParamsInvalid unless a run of `text` can begin with the values that were `given`, written as a person does.

    Reads no source: only the statements about parameters are looked at.
    """
    plan = _only_parameters(text)
    diagnostics = [_no_text(name) for name, value in given.items() if not _is_text(value)]
    if not diagnostics:
        _, diagnostics = parse_values(plan, given)
    if diagnostics:
        raise ParamsInvalid(diagnostics)
    if not any(_is_open(each) for each in plan.params):
        return
    # A bound like `today()` is known only to the engine, and only now.
    with sandbox.connect(workspace, Limits(128 * MIB, 0, 1)) as connection:
        try:
            bind(plan, given, logical_time=logical_time, connection=connection)
        except ParameterRefused as error:
            span = Span(error.line or 1, error.column or 1, error.line or 1, error.column or 1)
            raise ParamsInvalid([Diagnostic(error.code, error.message, span, error.hint)]) from None


def _is_text(value: str) -> bool:
    """Whether every database and process can hold it."""
    return "\0" not in value and not any("\ud800" <= letter <= "\udfff" for letter in value)


def _no_text(name: str) -> Diagnostic:
    message = f"the value of the parameter '{name}' holds a character that is no text"
    return Diagnostic("E502", message, hint="write it anew, as UTF-8 and without NUL characters")


def _only_parameters(text: str) -> Plan:
    parsed = parse(text)
    if parsed.tree is None:  # saved when the language was another
        raise FlowInvalid(parsed.diagnostics)
    statements = tuple(each for each in parsed.tree.statements if isinstance(each, t.Param | t.Function))
    result = check(replace(parsed.tree, statements=statements), no_schemas)
    if result.plan is None:
        raise FlowInvalid(result.diagnostics)
    return result.plan


def _is_open(parameter: Parameter) -> bool:
    """Whether a limit, or a default that has one to keep, is an expression."""
    limits = [*(parameter.allow or ()), parameter.low, parameter.high]
    said = [each for each in limits if each is not None]
    return bool(said) and any(not isinstance(each, Const) for each in (*said, parameter.default))
