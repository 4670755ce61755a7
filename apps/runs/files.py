"""An output's file, opened so that nothing outside its workspace can be read, whatever stands there now."""

import asyncio
import contextlib
import os
import stat
import tempfile
import zipfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from apps.common.errors import FlowControlError

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # a pipe put in its place must not hang us
_MOST_DEPTH = 20
_PIECE_BYTES = 256 * 1024


class OutputMissingError(FlowControlError):
    """The output is no longer there."""

    code = "output-missing"


def open_output(workspace: Path, path: str) -> tuple[IO[bytes], str]:
    """The output's bytes and the name to give them; a folder comes as a zip of its files. Raises OutputMissingError."""
    handle, name = _open(workspace, path)
    if stat.S_ISREG(os.fstat(handle).st_mode):
        return os.fdopen(handle, "rb"), name
    try:
        return _zipped(handle), f"{name}.zip"
    finally:
        os.close(handle)


def check_output(workspace: Path, path: str) -> Path:
    """Where the output stands, once it is certain that no link is on the way. Raises OutputMissingError."""
    os.close(_open(workspace, path)[0])
    return workspace / path


def _open(workspace: Path, path: str) -> tuple[int, str]:
    """A handle on the regular file or folder at `path`, relative to the workspace, and its name.

    Each part is opened beneath the one before without following links, so that a link, a `..` or an absolute path
    never leads out.
    """
    parts = PurePosixPath(path).parts
    if not parts or "\0" in path or path.startswith("/") or any(part in ("..", "", ".") for part in parts):
        raise OutputMissingError(f"'{path}' is not a path inside the workspace.")
    try:
        with _folder(workspace, parts[:-1]) as above:
            handle = os.open(parts[-1], _FILE, dir_fd=above)
    except OSError as error:
        raise OutputMissingError(
            f"{path} is no longer in the workspace ({error.strerror}).",
            hint="It was moved, deleted or replaced by a link since the run. Run the flow again to write it anew.",
        ) from error
    mode = os.fstat(handle).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        os.close(handle)
        raise OutputMissingError(f"{path} is neither a file nor a folder any more.")
    return handle, parts[-1]


async def chunks(file: IO[bytes]) -> AsyncIterator[bytes]:
    """The file piece by piece, read beside the event loop, closed at the end or when nobody listens any more."""
    try:
        while piece := await asyncio.to_thread(file.read, _PIECE_BYTES):
            yield piece
    finally:
        file.close()


@contextlib.contextmanager
def _folder(workspace: Path, parts: tuple[str, ...]) -> Iterator[int]:
    handle = os.open(workspace, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts:
            below = os.open(part, _FOLDER, dir_fd=handle)
            os.close(handle)
            handle = below
        yield handle
    finally:
        os.close(handle)


def _zipped(folder: int) -> IO[bytes]:
    """The folder's regular files in an unnamed temporary file, parquet and the like as they are."""
    spool = tempfile.TemporaryFile()  # noqa: SIM115  who sends it closes it
    with zipfile.ZipFile(spool, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        _add(archive, folder, "", _MOST_DEPTH)
    spool.seek(0)
    return spool


def _add(archive: zipfile.ZipFile, folder: int, prefix: str, depth: int) -> None:
    for name in sorted(os.listdir(folder)):
        with contextlib.suppress(OSError):  # gone since, or a link: left out
            handle = os.open(name, _FILE, dir_fd=folder)
            try:
                mode = os.fstat(handle).st_mode
                if stat.S_ISDIR(mode) and depth:
                    _add(archive, handle, f"{prefix}{name}/", depth - 1)
                elif stat.S_ISREG(mode):
                    with os.fdopen(os.dup(handle), "rb") as file, archive.open(f"{prefix}{name}", "w") as target:
                        while chunk := file.read(1 << 20):
                            target.write(chunk)
            finally:
                os.close(handle)
