"""Warnings of what is written and never used."""

from collections.abc import Mapping
from typing import Any

from apps.language import tree as t
from apps.language.checking.expressions import Names
from apps.language.checking.findings import Findings
from apps.language.checking.gathering import inputs
from apps.language.checking.walking import walk


def warn_of_idle(
    tree: t.FlowFile,
    findings: Findings,
    names: Names,
    sources: Mapping[str, t.Source],
    steps: Mapping[str, t.Step],
    functions: Mapping[str, t.Function],
) -> None:
    """Warns of idle sources, steps, parameters and fns. What only tests use is idle: a run would not."""
    used = _used_tables(tree, steps)
    for name, source in sources.items():
        if name not in used:
            findings.warning("W602", f"source '{name}' is never read", _span(source), "read it in a step, or remove it")
    for name, step in steps.items():
        if name not in used:
            hint = "give it a `sink`, read it in another step, or remove it"
            findings.warning("W601", f"step '{name}' leads nowhere", _span(step), hint)
    for name in names.params:
        if name not in names.used_params:
            param = next(each for each in tree.statements if isinstance(each, t.Param) and each.name == name)
            findings.warning("W603", f"parameter '{name}' is never used", param.span, f"use @{name}, or remove it")
    for name, function in functions.items():
        if name not in names.used_functions:
            findings.warning("W604", f"fn '{name}' is never called", _span(function), "call it, or remove it")


def _used_tables(tree: t.FlowFile, steps: Mapping[str, t.Step]) -> set[str]:
    """What a run reads: what sinks and expectations need, and what steps need that are needed. A step that leads
    nowhere still counts as a reader, so that a chain is told of once, at its end."""
    used: set[str] = set()
    for statement in tree.statements:
        match statement:
            case t.Sink(step=name):
                used.add(name.name)
            case t.Expect(step=name, rules=rules):
                used.add(name.name)
                used |= {table for rule in rules for table in _referenced(rule.test)}
    for step in steps.values():
        used.add(step.input.name)
        used |= {name.name for name in inputs(step.operations)}
    return used


def _referenced(test: t.Expr) -> set[str]:
    return {
        node.base.name
        for node in walk(test)
        if isinstance(node, t.Field) and isinstance(node.base, t.Name)
    }  # fmt: skip


def _span(statement: Any) -> Any:
    return statement.name_span if statement.name_span.end else statement.span
