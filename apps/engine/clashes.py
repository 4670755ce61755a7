"""Names that the language tells apart and the engine does not: DuckDB and Spark know no case in columns' names.

Read as one, a step would silently compute with the wrong column, so such a flow is refused.
"""

from collections.abc import Iterator
from string import ascii_lowercase, ascii_uppercase

from apps.language.diagnostics import Diagnostic
from apps.language.plan import Plan, Schema

CLASH = "E392"

_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)  # as DuckDB does: `Ü` and `ü` are two names


def clashes(plan: Plan) -> Iterator[Diagnostic]:
    """A diagnostic for each step or source in which two columns differ only in case."""
    for source in plan.sources:
        if pair := _pair(source.columns):
            yield Diagnostic(CLASH, _message("source", source.name, pair), source.span, _HINT)
    for step in plan.steps:
        for operation, schema in zip(step.operations, step.schemas, strict=True):
            if pair := _pair(schema):
                yield Diagnostic(CLASH, _message("step", step.name, pair), operation.span, _HINT)
                break


_HINT = "rename one of them: engines, and readers of files, take them for the same"


def _message(kind: str, name: str, pair: tuple[str, str]) -> str:
    return f"the columns '{pair[0]}' and '{pair[1]}' of {kind} '{name}' differ only in capital letters"


def _pair(columns: Schema) -> tuple[str, str] | None:
    seen: dict[str, str] = {}
    for column in columns:
        first = seen.setdefault(column.name.translate(_LOWER), column.name)
        if first != column.name:
            return first, column.name
    return None
