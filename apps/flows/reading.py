"""A text as pages show it: its graph, its head and parameters in words, and what is wrong with it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from apps.flows.checked import FlowInvalid, check_text
from apps.language import graph
from apps.language import tree as t
from apps.language.diagnostics import Diagnostic
from apps.language.graph import Graph
from apps.language.parser import parse
from apps.language.source import normalise


@dataclass(frozen=True, slots=True)
class ParameterWords:
    """A parameter as it is written; `limits` is "one of …", "from … to …" or empty.

    `choices` are the allowed values as a run takes them (text without quotes), empty where any will do.
    """

    name: str
    type: str
    default: str
    limits: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """What can be read of a text without looking at its sources. Empty where it cannot be read at all."""

    graph: Graph
    options: dict[str, str] = field(default_factory=dict)  # of the head: description, owner, schedule …
    parameters: Sequence[ParameterWords] = ()
    diagnostics: Sequence[Diagnostic] = ()


def read(text: str) -> Reading:
    """Never raises; a text with mistakes is read as far as it goes."""
    text = normalise(text)
    parsed = parse(text)
    if parsed.tree is None:
        return Reading(Graph((), ()), diagnostics=parsed.diagnostics)
    options = {option.key: _value(option.value, text) for option in parsed.tree.header.options}
    params = [_parameter(each, text) for each in parsed.tree.statements if isinstance(each, t.Param)]
    return Reading(graph.build(parsed.tree), options, params, parsed.diagnostics)


def examine(text: str) -> tuple[list[Diagnostic], Graph]:
    """Everything that is wrong with a text, types and sources included, and its graph as far as it goes."""
    try:
        found = list(check_text(text).warnings)
    except FlowInvalid as error:
        found = error.diagnostics
    return found, read(text).graph


def _parameter(param: t.Param, text: str) -> ParameterWords:
    limits = ""
    choices: tuple[str, ...] = ()
    if param.allow is not None:
        limits = "one of " + ", ".join(_written(each, text) for each in param.allow)
        choices = tuple(_value(each, text) for each in param.allow)
    elif param.low is not None and param.high is not None:
        limits = f"from {_written(param.low, text)} to {_written(param.high, text)}"
    default = _written(param.default, text) if param.default else ""
    return ParameterWords(param.name, str(param.type), default, limits, choices)


def _value(value: t.Expr | t.ColumnsMap, text: str) -> str:
    """A text's value without its quotes; anything else as it is written."""
    return value.value if isinstance(value, t.Text) else _written(value, text)


def _written(value: t.Expr | t.ColumnsMap, text: str) -> str:
    return text[value.span.start : value.span.end]
