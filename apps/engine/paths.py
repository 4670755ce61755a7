"""Paths of a flow: always relative to its workspace, never out of it, never into what the engine keeps there."""

import glob
import os
import re
from fnmatch import fnmatchcase
from pathlib import Path

from apps.engine.errors import PathRefused

STATE_FOLDER = ".flowcontrol"  # the engine's own folder in a workspace: staging, manifests, previews

_GLOB = re.compile(r"[*?\[]")
_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*:")


def root(workspace: Path) -> Path:
    """The workspace with every symlink resolved: what all paths are held against."""
    return Path(os.path.realpath(workspace))


def inside(workspace: Path, path: str) -> Path:
    """The absolute path of a flow's `path`. Raises PathRefused if it leads, or could lead, anywhere else.

    Symlinks are followed: one that stays in the workspace is fine. The file need not exist. A hard link cannot
    be told from the file itself, so one that somebody put into the workspace is read like any other file.
    """
    _check_words(path)
    home = root(workspace)
    full = home / path
    real = Path(os.path.realpath(full))
    if not real.is_relative_to(home):
        raise PathRefused(
            f"'{path}' leads out of the workspace through a symlink.",
            hint="Copy the file into the workspace: a flow reads and writes nothing else.",
        )
    if STATE_FOLDER in real.relative_to(home).parts[:1]:
        raise PathRefused(
            f"'{path}' leads into {STATE_FOLDER}, which belongs to the engine.", hint="Choose another path."
        )
    return full


def expand(workspace: Path, pattern: str) -> list[Path]:
    """The files that a flow's pattern (`*`, `?`, `[a-z]`, `**`) names, sorted; a plain path gives itself.

    Hidden files are not matched, and `**` does not go through symlinks, which may lead in circles. Raises PathRefused
    if the pattern or any match leaves the workspace: a file that must not be read is an error, not a gap in the data.
    """
    full = inside(workspace, pattern)
    if full.is_file() or not has_glob(pattern):
        return [full] if full.is_file() else []
    home = root(workspace)
    names = sorted(_below(home, pattern) if "**" in pattern.split("/") else glob.glob(pattern, root_dir=home))
    return [found for name in names if (found := inside(workspace, name)).is_file()]


def _below(home: Path, pattern: str) -> list[str]:
    """The files that a pattern with `**` names."""
    before, _, after = pattern.partition("**")
    starts = [Path(name) for name in glob.glob(before.rstrip("/"), root_dir=home)] if before else [Path()]
    found = []
    for start in starts:
        for folder, folders, files in os.walk(home / start):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in files:
                path = Path(folder, name).relative_to(home)
                if not name.startswith(".") and _ends_with(path.relative_to(start).parts, after.strip("/")):
                    found.append(path.as_posix())
    return found


def _ends_with(parts: tuple[str, ...], rest: str) -> bool:
    """Whether the last parts of a path are what stands behind the `**`; a second one in there is as good as none."""
    wanted = [part for part in rest.split("/") if part not in ("", "**")]
    return len(wanted) <= len(parts) and all(map(fnmatchcase, parts[len(parts) - len(wanted) :], wanted))


def has_glob(path: str) -> bool:
    return _GLOB.search(path) is not None


def relative(text: str, workspace: Path) -> str:
    """An engine's message with the workspace's absolute path cut out."""
    for prefix in {str(root(workspace)), str(Path(workspace).absolute())}:
        text = text.replace(prefix + os.sep, "").replace(prefix, ".")
    return text


def _check_words(path: str) -> None:
    """What can be said of a path without looking at the disk."""
    hint = 'Write a path relative to the workspace, such as "in/orders.csv".'
    if not path.strip():
        raise PathRefused("The path is empty.", hint=hint)
    if "\0" in path or "\n" in path:
        raise PathRefused("The path holds a character that no file name has.", hint=hint)
    if _SCHEME.match(path):
        raise PathRefused(f"'{path}' is an address, not a file of the workspace.", hint=hint)
    if path.startswith(("/", "~", "\\")):
        raise PathRefused(f"'{path}' is not a path inside the workspace.", hint=hint)
    if ".." in re.split(r"[/\\]", path):
        raise PathRefused(f"'{path}' leads out of the workspace.", hint=hint)
