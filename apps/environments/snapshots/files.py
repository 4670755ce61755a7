"""Folders and SQLite databases of this machine, into a snapshot and out of it."""

from __future__ import annotations

import os
import sqlite3
import stat
import tarfile
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

TRIES = 3  # for a file that changes while it is read
CHUNK = 1024 * 1024


@dataclass
class Packed:
    """What came of packing a folder."""

    entries: int = 0
    grew: list[str] = field(default_factory=list)  # in it as they were when they were opened, and written to meanwhile
    unsteady: list[str] = field(default_factory=list)  # left out: they changed at each try


class _Changed(Exception):  # noqa: N818
    """The file is another than when it was opened."""


def pack(folder: Path, target: Path, *, check: Callable[[], None] = lambda: None) -> Packed:
    """Write a folder as a tar, each file whole as it was at one moment: one that changes while it is read is read again,
    one that only grows is cut where it ended. What disappears meanwhile is left out. Links are kept and not followed."""
    packed = Packed()
    with target.open("xb") as raw, tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in _walk(folder):
            check()
            with suppress(FileNotFoundError):
                _add(archive, raw, path, path.relative_to(folder).as_posix(), packed)
    sync(target)
    return packed


def pack_some(
    folder: Path, names: tuple[str, ...], target: Path, *, check: Callable[[], None] = lambda: None
) -> Packed:
    """The same for some files and folders of a folder; one that is not there is left out."""
    packed = Packed()
    with target.open("xb") as raw, tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in names:
            top = folder / name
            for path in (top, *(_walk(top) if top.is_dir() else ())):
                check()
                with suppress(FileNotFoundError):
                    _add(archive, raw, path, path.relative_to(folder).as_posix(), packed)
    sync(target)
    return packed


def _walk(folder: Path) -> Iterator[Path]:
    """What is in a folder, parents first, each folder by name."""
    try:
        entries = sorted(os.scandir(folder), key=lambda each: each.name)
    except FileNotFoundError:
        return
    for entry in entries:
        yield Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path))


def _add(archive: tarfile.TarFile, raw: IO[bytes], path: Path, name: str, packed: Packed) -> None:
    kind = path.lstat().st_mode
    if not stat.S_ISREG(kind):
        if stat.S_ISDIR(kind) or stat.S_ISLNK(kind):  # sockets and pipes are no state
            archive.addfile(archive.gettarinfo(path, name))
            packed.entries += 1
        return
    for _ in range(TRIES):
        start, archive_start = raw.tell(), archive.offset
        try:
            grew = _add_file(archive, path, name)
        except _Changed:
            raw.seek(start)
            raw.truncate()
            archive.offset = archive_start
            continue
        packed.entries += 1
        if grew:
            packed.grew.append(name)
        return
    packed.unsteady.append(name)


def _add_file(archive: tarfile.TarFile, path: Path, name: str) -> bool:
    """Whether it grew. Raises _Changed."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as file:
        before = os.fstat(file.fileno())
        info = archive.gettarinfo(arcname=name, fileobj=file)
        info.type, info.linkname, info.size = tarfile.REGTYPE, "", before.st_size  # hard links are files of their own
        try:
            archive.addfile(info, file)
        except OSError as error:
            if error.errno is None:  # "unexpected end of data": it was cut meanwhile
                raise _Changed from error
            raise
        after = os.fstat(file.fileno())
    if after.st_mtime_ns == before.st_mtime_ns and after.st_size == before.st_size:
        return False
    if after.st_size > before.st_size:
        return True
    raise _Changed


def unpack(archive_path: Path, folder: Path, check: Callable[[], None] = lambda: None) -> int:
    """Unpack one of our tars into a new folder; returns how many entries it has. Raises tarfile.TarError.

    The snapshot was verified: its names are nobody else's. One that leads out of the folder is refused all the same.
    """
    folder.mkdir(parents=True)
    count = 0
    folders = []
    with tarfile.open(archive_path, "r:") as archive:
        for each in archive:
            check()
            if each.name.startswith("/") or ".." in each.name.split("/"):
                raise tarfile.TarError(f"{each.name} leads out of the folder")
            archive.extract(each, folder, filter="fully_trusted", set_attrs=not each.isdir())
            folders += [each] if each.isdir() else []
            count += 1
        for each in reversed(folders):  # afterwards: a folder that may not be written is filled by then
            archive.extract(each, folder, filter="fully_trusted")
    return count


def read_through(archive_path: Path, check: Callable[[], None] = lambda: None) -> int:
    """Read each entry of a tar to its end; returns how many there are. Raises tarfile.TarError."""
    count = 0
    with tarfile.open(archive_path, "r:") as archive:
        for each in archive:
            check()
            count += 1
            if content := archive.extractfile(each) if each.isfile() else None:
                while content.read(CHUNK):
                    pass
    return count


def back_up(database: Path, target: Path) -> int:
    """A consistent copy of a SQLite database while others write to it; returns its user_version. Raises sqlite3.Error."""
    with (
        closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=20)) as source,
        closing(sqlite3.connect(target)) as copy,
    ):
        source.backup(copy, pages=4096)
        copy.execute("PRAGMA journal_mode=DELETE")  # one file, with nothing beside it
        (version,) = copy.execute("PRAGMA user_version").fetchone()
    sync(target)
    return int(version)


def integrity(database: Path) -> str:
    """What SQLite says of a database that nobody uses: "ok", or what is wrong."""
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro&immutable=1", uri=True)) as connection:
            return str(connection.execute("PRAGMA integrity_check(1)").fetchone()[0])
    except sqlite3.Error as error:
        return str(error)


def sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
