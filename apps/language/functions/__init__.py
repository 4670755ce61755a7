"""The registry of everything that can be called: one entry a function, and what reads it follows.

The checker types calls by it, the engines map its `plan_name`s to SQL, docs/reference/functions.md is written from it,
and each example runs on each engine.
"""

from apps.language.functions.moments import time
from apps.language.functions.numbers import casts, math
from apps.language.functions.operators import operators
from apps.language.functions.rows import aggregates, expectations, windows
from apps.language.functions.spec import Example, FunctionKind, Match, Parameter, Shape, Spec
from apps.language.functions.texts import choice, hashes, json, lists, text

SECTIONS = (operators, text, choice, casts, math, time, lists, hashes, json, aggregates, windows, expectations)
SPECS: tuple[Spec, ...] = tuple(spec for section in SECTIONS for spec in section.specs)

_BY_KIND: dict[FunctionKind, dict[str, Spec]] = {}
for _spec in SPECS:
    _names = _BY_KIND.setdefault(_spec.kind, {})
    assert _spec.name not in _names, _spec.name
    _names[_spec.name] = _spec

OPERATORS = _BY_KIND["operator"]
SCALARS = _BY_KIND["scalar"]
AGGREGATES = _BY_KIND["aggregate"]
WINDOWS = _BY_KIND["window"]
EXPECTATIONS = _BY_KIND["expectation"]

# `mod(a, b)` and `div(a, b)` are `a % b` and `a div b`. The rest of the operators are not called by their name.
CALLED_OPERATORS = ("mod", "div")
# What is written in a form of its own and not called by its name.
NOT_CALLED = frozenset(spec.name for spec in SPECS if spec.written and spec.name not in CALLED_OPERATORS)

CALLABLE: frozenset[str] = frozenset(spec.name for spec in SPECS) - NOT_CALLED - {"cast", "try_cast"}


def plan_names() -> frozenset[str]:
    """The functions that a checked plan applies: what an engine has to know."""
    return frozenset(spec.plan_name for spec in SPECS if spec.plan_name and spec.supported)


__all__ = [
    "AGGREGATES", "CALLABLE", "CALLED_OPERATORS", "EXPECTATIONS", "NOT_CALLED", "OPERATORS", "SCALARS", "SECTIONS",
    "SPECS", "WINDOWS", "Example", "Match", "Parameter", "Shape", "Spec", "plan_names",
]  # fmt: skip
