"""A flow's text → its checked plan, or the reason why there is none."""

from collections.abc import Callable
from dataclasses import dataclass

from apps.engine.errors import FlowRefused
from apps.language.checking.schemas import SchemaReader
from apps.language.diagnostics import Diagnostic
from apps.language.plan import Plan


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan, and what the language has to say about it beside."""

    plan: Plan
    warnings: tuple[str, ...] = ()


Planner = Callable[[SchemaReader], Planned]


def plan_of(text: str, path: str, read_schema: SchemaReader) -> Planned:
    """Parse and check. Raises FlowRefused with the first error, its code and place, and the number of the others."""
    # A run whose plan is made elsewhere does without the whole language.
    from apps.language.checker import check
    from apps.language.parser import parse

    parsed = parse(text, path)
    diagnostics = list(parsed.diagnostics)
    plan = None
    if parsed.tree is not None and not any(each.is_error for each in diagnostics):
        result = check(parsed.tree, read_schema)
        plan, diagnostics = result.plan, diagnostics + list(result.diagnostics)
    if plan is None:
        raise refusal(diagnostics)
    warnings = (f"Line {each.span.line}: {each.message} {each.hint}".strip() for each in diagnostics)
    return Planned(plan, tuple(warnings))


def refusal(diagnostics: list[Diagnostic]) -> FlowRefused:
    """The error of a text that has errors."""
    errors = [each for each in diagnostics if each.is_error]
    first = errors[0]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    refused = FlowRefused(f"{first.message}{more}", hint=first.hint, line=first.span.line, column=first.span.column)
    refused.code = first.code
    return refused
