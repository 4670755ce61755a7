"""Checks a flow's tree: names and types by the language's own rules. What is right comes out as a plan.

All errors of a tree are found at once, without echoes of one another: what is in error gets an unknown type, which
fits everything, and a step in error still gives the columns that are known.
"""

from dataclasses import dataclass

from apps.language.checking.flow import FlowChecker
from apps.language.checking.schemas import SchemaReader, SchemaUnavailable, no_schemas
from apps.language.diagnostics import Diagnostic, has_errors
from apps.language.plan import Plan
from apps.language.tree import FlowFile


@dataclass(frozen=True, slots=True)
class CheckResult:
    """`plan` is None if one of the diagnostics is an error, or the tree is not whole. They stand in the order of the
    text."""

    plan: Plan | None
    diagnostics: list[Diagnostic]


def check(tree: FlowFile, read_schema: SchemaReader) -> CheckResult:
    """Checks a tree. `read_schema` is called once for each source whose columns are not written out; what it raises
    as SchemaUnavailable becomes a diagnostic at the source. Nothing else is read, and nothing is raised."""
    checker = FlowChecker(tree, read_schema)
    plan = checker.check()
    diagnostics = list(checker.findings.in_order())
    return CheckResult(None if tree.broken or has_errors(diagnostics) else plan, diagnostics)


__all__ = ["CheckResult", "SchemaReader", "SchemaUnavailable", "check", "no_schemas"]
