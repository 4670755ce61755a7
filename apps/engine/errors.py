# ruff: noqa: N818 (the names are what happened, read in `except`)
"""What may go wrong when a flow runs. Each code has a paragraph in docs/reference/errors.md."""

from typing import Any

from apps.common.errors import FlowControlError


class EngineError(FlowControlError):
    """The flow failed in a way that has no sentence of its own."""

    code = "E599"

    def __init__(
        self, message: str = "", *, hint: str = "", line: int | None = None, column: int | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.line = line  # of the flow's text, from 1; None where no line is to blame
        self.column = column

    def to_json(self) -> dict[str, Any]:
        """The form in which a run's outcome keeps it."""
        return {
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            "line": self.line,
            "column": self.column,
        }


class FlowRefused(EngineError):
    """The flow's text has errors."""

    code = "E500"


class ParameterRefused(EngineError):
    """A parameter's value is not one that the flow allows."""

    code = "E503"


class PathRefused(EngineError):
    """A path leads out of the workspace."""

    code = "E510"


class SourceMissing(EngineError):
    """A source has no file."""

    code = "E511"


class SourceUnreadable(EngineError):
    """A source's file cannot be read in its format."""

    code = "E512"


class BadValue(EngineError):
    """A source holds a value that does not fit its column's type."""

    code = "E513"


class TargetRefused(EngineError):
    """A sink's target cannot be replaced safely."""

    code = "E514"


class NotWritable(EngineError):
    """A folder cannot be written."""

    code = "E515"


class DiskFull(EngineError):
    """The disk is full."""

    code = "E516"


class TemporarySpaceFull(EngineError):
    """The flow needed more temporary disk than it may use."""

    code = "E517"


class OutOfMemory(EngineError):
    """The flow needed more memory than it may use."""

    code = "E520"


class TimedOut(EngineError):
    """The flow took longer than its timeout."""

    code = "E521"


class ProcessDied(EngineError):
    """The flow's process died."""

    code = "E522"


class Superseded(EngineError):
    """A later attempt of the same run has taken over."""

    code = "E523"


class CheckFailed(EngineError):
    """An expectation does not hold."""

    code = "E530"


class LookupAmbiguous(EngineError):
    """A lookup found more than one match."""

    code = "E531"


class ComputeFailed(EngineError):
    """A value could not be computed."""

    code = "E532"
