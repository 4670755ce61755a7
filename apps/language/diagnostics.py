"""What the language says about a text: one type for every stage, from the parser to DuckDB's binder."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A piece of text. Lines and columns count from 1 in characters; the end is exclusive.

    `start` and `end` are character offsets into the text (end exclusive).
    """

    line: int = 1
    column: int = 1
    end_line: int = 1
    end_column: int = 1
    start: int = 0
    end: int = 0

    def to(self, other: "Span") -> "Span":
        """The span from the start of this one to the end of the other."""
        return Span(self.line, self.column, other.end_line, other.end_column, self.start, other.end)


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding. `code` is stable and has a paragraph in docs/reference/errors.md."""

    code: str
    message: str
    span: Span = Span()
    hint: str = ""
    severity: Severity = Severity.ERROR
    path: str = ""

    @property
    def is_error(self) -> bool:
        return self.severity is Severity.ERROR

    def at(self, path: str) -> "Diagnostic":
        return replace(self, path=path)

    def to_json(self) -> dict[str, Any]:
        """The documented form: `flow check --json` and the editor read it."""
        return {
            "severity": self.severity.value,
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            "line": self.span.line,
            "column": self.span.column,
            "end_line": self.span.end_line,
            "end_column": self.span.end_column,
        }

    def render(self, text: str = "") -> str:
        """`path:line:column: error[E203]: message`, the line with a caret, and the hint."""
        head = f"{self.path or '<flow>'}:{self.span.line}:{self.span.column}: "
        lines = [f"{head}{self.severity.value}[{self.code}]: {self.message}"]
        source = text.splitlines()
        if 0 < self.span.line <= len(source):
            line = source[self.span.line - 1][:200]
            width = self.span.end_column - self.span.column if self.span.end_line == self.span.line else 1
            width = max(1, min(width, len(line) - self.span.column + 1))
            lines += [f"  {line}", "  " + " " * (self.span.column - 1) + "^" * width]
        if self.hint:
            lines.append(f"  {self.hint}")
        return "\n".join(lines)


def has_errors(diagnostics: "list[Diagnostic] | tuple[Diagnostic, ...]") -> bool:
    return any(item.is_error for item in diagnostics)
