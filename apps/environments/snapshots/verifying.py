"""Verifying a snapshot: its seal, each byte of each member, and whether each can be opened for what it is."""

from __future__ import annotations

import json
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

from apps.common import clock
from apps.environments.models import Environment, Snapshot
from apps.environments.snapshots import databases, files, manifest, places
from apps.environments.snapshots.errors import SnapshotDamaged, SnapshotUnknown
from apps.environments.snapshots.hand import Hand
from apps.environments.snapshots.manifest import Manifest, Member


def locate(name: str) -> Path:
    """The folder of a snapshot, by its name or its path. Raises SnapshotUnknown."""
    found = places.folder() / name if places.slug_of(name) else Path(name).expanduser()
    if not (found / manifest.FILE).exists() and not (found.is_dir() and places.slug_of(name)):
        raise SnapshotUnknown(f"There is no snapshot '{name}'.", hint="See `manage.py snapshot list ENV`.")
    return found


def verify(
    folder: Path,
    *,
    check: Callable[[], None] = lambda: None,
    progress: Callable[[str], None] = lambda words: None,
) -> Manifest:
    """Read all of a snapshot and open each member. What was found is kept with its row.

    Raises SnapshotDamaged with the name of the first member that is not as it was saved.
    """
    try:
        made = _verified(folder, check, progress)
    except SnapshotDamaged as damage:
        _keep(folder, damage.message[:300])
        raise
    _keep(folder, "")
    return made


def _verified(folder: Path, check: Callable[[], None], progress: Callable[[str], None]) -> Manifest:
    made = manifest.read(folder)
    names = {each.name for each in made.members} | {manifest.FILE}
    for path in sorted(folder.iterdir()):
        if path.name not in names:
            raise SnapshotDamaged(folder.name, path.name, "does not belong to it")
    for member in made.members:
        check()
        progress(f"checking {member.name}")
        _check_bytes(folder, member)
    environment = Environment.objects.filter(slug=made.environment).first()
    hand = Hand(environment, check=check) if environment else None
    for member in made.members:
        progress(f"opening {member.name}")
        if wrong := _opened(folder / member.name, member, hand, check):
            raise SnapshotDamaged(folder.name, member.name, wrong)
    return made


def _check_bytes(folder: Path, member: Member) -> None:
    path = folder / member.name
    try:
        is_file = stat.S_ISREG(path.lstat().st_mode)
        found = manifest.hash_file(path) if is_file else (-1, "")
    except FileNotFoundError:
        raise SnapshotDamaged(folder.name, member.name, "is missing") from None
    except OSError as error:
        raise SnapshotDamaged(folder.name, member.name, f"cannot be read: {error.strerror}") from error
    if found[0] != member.bytes:
        raise SnapshotDamaged(folder.name, member.name, f"has {found[0]:,} bytes, not {member.bytes:,}")
    if found[1] != member.sha256:
        raise SnapshotDamaged(folder.name, member.name, "is not as it was saved: its SHA-256 is another one")


def _opened(path: Path, member: Member, hand: Hand | None, check: Callable[[], None]) -> str:
    """What is wrong with it; "" for nothing."""
    try:
        if path.suffix == ".tar":
            count = files.read_through(path, check)
            wanted = member.detail.get("entries", count)
            return "" if count == wanted else f"has {count} entries, not {wanted}"
        if path.suffix == ".json":
            json.loads(path.read_bytes())
            return ""
    except (tarfile.TarError, ValueError, OSError) as error:
        return f"cannot be opened: {error}"
    if path.suffix == ".sqlite3":
        said = files.integrity(path)
        return "" if said == "ok" else f"is a database that is damaged: {said}"
    return databases.list_of(hand, path, member.detail.get("image", "")) if hand else ""


def _keep(folder: Path, damage: str) -> None:
    if folder.parent == places.folder():
        Snapshot.objects.filter(name=folder.name).update(checked_at=clock.now(), damage=damage)
