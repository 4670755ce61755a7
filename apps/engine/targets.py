"""What a sink may replace. Asked before a run begins, and again, under the lock, before it publishes."""

import os
from pathlib import Path

from apps.engine import paths
from apps.engine.errors import NotWritable, TargetRefused


def prepare(workspace: Path, staged: Path, target: Path) -> None:
    """Make the target's folder and see that a rename from `staged` onto it will work."""
    check(workspace, target, is_folder=staged.is_dir())
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _not_writable(workspace, target.parent) from error
    check_disk(workspace, target, staged)


def check(workspace: Path, target: Path, *, is_folder: bool) -> None:
    """Raises TargetRefused or NotWritable if `target` cannot become a file, or a folder, without harm."""
    name = paths.relative(str(target), workspace)
    paths.inside(workspace, name)  # a symlink may have come since
    if is_folder:
        _check_folder(target, name)
    elif target.is_dir():
        raise TargetRefused(
            f"The sink writes the file '{name}', but a folder is there.",
            hint="Give the sink another path, or remove the folder if nobody needs it.",
        )
    parent = _nearest(target.parent)
    if not parent.is_dir():
        raise TargetRefused(
            f"The sink writes '{name}', but '{paths.relative(str(parent), workspace)}' is a file, not a folder.",
            hint="Give the sink another path, or remove that file if nobody needs it.",
        )
    if not os.access(parent, os.W_OK | os.X_OK):
        raise _not_writable(workspace, parent)


def check_disk(workspace: Path, target: Path, staged: Path) -> None:
    """A rename works on one disk only."""
    if _nearest(target.parent).stat().st_dev != _nearest(staged).stat().st_dev:
        raise TargetRefused(
            f"'{paths.relative(str(target), workspace)}' is on another disk than the workspace, where outputs are staged.",
            hint="A finished output is renamed into place, which works on one disk only: choose a path on the workspace's.",
        )


def check_append(workspace: Path, folder: Path) -> None:
    """An append sink writes a file a run into a folder of its name."""
    if folder.is_file():
        name = paths.relative(str(folder), workspace)
        raise TargetRefused(
            f"The sink appends files to the folder '{name}', but a file is there.",
            hint="Give the sink another path, or move the file into a folder of that name.",
        )


def _check_folder(target: Path, name: str) -> None:
    """A folder is replaced as a whole, so it may hold only what such a sink has written: `key=value/part-….ext`."""
    if target.is_file():
        raise TargetRefused(
            f"The sink writes the folder '{name}', but a file is there.",
            hint="Give the sink another path, or remove the file if nobody needs it.",
        )
    for entry in target.rglob("*") if target.is_dir() else ():
        ours = "=" in entry.name if entry.is_dir() else entry.name.startswith("part-")
        if not ours:
            raise TargetRefused(
                f"The sink would replace the whole folder '{name}', in which '{entry.relative_to(target)}' is not its own.",
                hint="Give the sink a folder of its own, or move that file away.",
            )


def _nearest(path: Path) -> Path:
    """The path itself, or its closest parent that exists."""
    return path if path.exists() else _nearest(path.parent)


def _not_writable(workspace: Path, folder: Path) -> NotWritable:
    name = paths.relative(str(folder), workspace)
    return NotWritable(
        f"The folder '{name}' cannot be written.",
        hint="Give the account that runs flows the right to write there, or choose another path for the sink.",
    )
