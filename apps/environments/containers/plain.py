"""Text that came from a container or a command, made harmless for whoever shows it. Plain Python, without Docker's client."""

from __future__ import annotations

import re

# Sequences that move a terminal's cursor, colour it or name its window; then what is left of controls, also of eight bits.
_CONTROLS = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b\n]*(?:\x07|\x1b\\)|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)


def plain(text: str) -> str:
    """The text without control characters but tab and line feed: a terminal does nothing on it but write."""
    return _CONTROLS.sub("", text)
