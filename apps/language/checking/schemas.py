"""What the checker asks of the world: the columns of a file that were not written out."""

from collections.abc import Callable
from typing import Any

from apps.language.plan import Schema


class SchemaUnavailable(Exception):  # noqa: N818  # a name of the contract
    """The columns of a file cannot be read. `message` says why, for people."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


SchemaReader = Callable[[str, str, dict[str, Any]], Schema]  # kind, path, options


def no_schemas(kind: str, path: str, options: dict[str, Any]) -> Schema:
    """A reader for places where there are no files: each source has to write its columns out."""
    raise SchemaUnavailable("no file can be read here", "write the columns out: columns: { id: int, name: text }")
