"""A text held against the language, and against the files that stand in dev, where flows are written."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings

from apps.common.errors import FlowControlError
from apps.engine.schemas import schema_reader
from apps.language import source
from apps.language.checker import check
from apps.language.diagnostics import Diagnostic, has_errors
from apps.language.parser import parse
from apps.language.plan import Plan

HOME = "dev"  # the environment in which flows are written and their tests run


class FlowInvalid(FlowControlError):  # noqa: N818  it is what the person reads
    """The text has errors. `diagnostics` has all of them, and the warnings."""

    code = "flow_invalid"

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        self.diagnostics = list(diagnostics)
        errors = [each for each in diagnostics if each.is_error]
        first = errors[0]
        many = f"The text has {len(errors)} errors; the first, in" if len(errors) > 1 else "The text has an error in"
        message = f"{many} line {first.span.line}: {first.message}"
        super().__init__(message if message.endswith(".") else f"{message}.", hint=first.hint or "Correct it there.")


@dataclass(frozen=True, slots=True)
class Checked:
    """A text without errors and its plan."""

    text: str
    plan: Plan
    warnings: Sequence[Diagnostic]


def check_text(text: str | bytes) -> Checked:
    """Decode, parse and check. Raises FlowInvalid with everything that is wrong.

    Only a source whose columns are not written out is looked for in the workspace; where its file is missing, the error
    says to put it there or to write the columns out.
    """
    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    decoded, found = source.decode(data)
    diagnostics = list(found)
    if not has_errors(diagnostics):
        parsed = parse(decoded)
        diagnostics += parsed.diagnostics
        if parsed.tree is not None and not has_errors(diagnostics):
            result = check(parsed.tree, schema_reader(workspace()))
            diagnostics += result.diagnostics
            if result.plan is not None and not has_errors(diagnostics):
                return Checked(decoded, result.plan, diagnostics)
    raise FlowInvalid(diagnostics)


def workspace() -> Path:
    """The folder of dev, made where it can be; where not, whoever looks for a file in it says so."""
    folder: Path = settings.WORKSPACES / HOME
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def settings_of(plan: Plan) -> dict[str, Any]:
    """What the head of a flow says, as a version keeps it: times in seconds, memory in bytes, None where it is silent."""
    said = plan.settings
    return {
        "description": said.description,
        "owner": said.owner,
        "tags": list(said.tags),
        "schedule": said.schedule,
        "timezone": said.timezone,
        "retries": said.retries,
        "retry_delay_seconds": said.retry_delay.total_seconds(),
        "timeout_seconds": said.timeout.total_seconds() if said.timeout else None,
        "concurrency": said.concurrency,
        "engine": said.engine,
        "memory_bytes": said.memory_bytes,
    }
