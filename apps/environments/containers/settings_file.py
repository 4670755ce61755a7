"""Files of variables, such as `.env.staging`: NAME=value a line, `#` begins a comment."""

from __future__ import annotations

import re
from pathlib import Path

from apps.common.errors import FlowControlError

_LINE = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)=(?P<value>[^#]*?)\s*(?:\s#.*)?$")


class SettingsFileError(FlowControlError):
    """The file of settings cannot be read."""

    code = "settings_file"


def read_settings(path: Path) -> dict[str, str]:
    """The variables of a file, in its order. Raises SettingsFileError with the line."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise SettingsFileError(
            f"{path.name} cannot be read: {error.strerror}.",
            hint="It stands beside the compose files; restore it from git.",
        ) from error
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        match = _LINE.match(text)
        if match is None or match["name"] in found:
            what = f"names {match['name']} a second time" if match else f"is no NAME=value: {text[:60]}"
            raise SettingsFileError(f"{path.name}, line {number}, {what}.", hint="Mend that line and try again.")
        found[match["name"]] = match["value"].strip("\"'")
    return found
