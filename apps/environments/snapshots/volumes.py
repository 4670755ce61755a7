"""Volumes with a name: copied through a helper container that has nothing else, while whoever uses them stands still.

No container of the stack is reached into, and no program of an image is run for a copy. A volume cannot be renamed, so a
restore fills one beside it first, keeps a copy of the old, and then changes what is in it.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from apps.environments.containers import commands
from apps.environments.snapshots import places
from apps.environments.snapshots.errors import SnapshotFailed
from apps.environments.snapshots.hand import COPY_SECONDS, Container, Hand
from apps.environments.snapshots.pausing import paused

if TYPE_CHECKING:
    from collections.abc import Iterator


def of_stack(hand: Hand, containers: Sequence[Container]) -> list[str]:
    """The named volumes of a stack whose state is what is in them: databases are dumped instead, and where traffic goes is
    no state. Of Flow Control's own stack none: what its Redis and Prometheus hold is hints and figures."""
    if hand.environment.runs_ourselves:
        return []
    others = {name for each in containers if each.is_postgres or each.is_proxy for name in each.volumes}
    used = {name for each in containers for name in each.volumes}
    return sorted((used | set(hand.volumes())) - others)


def image_for(volume: str, containers: Sequence[Container]) -> str:
    """An image for a helper: one that is on the engine for certain. "" where there is none."""
    by_use = sorted(containers, key=lambda each: volume not in each.volumes)
    return by_use[0].image if by_use else ""


def copy(hand: Hand, volume: str, target: Path, containers: Sequence[Container]) -> list[str]:
    """Write a volume as a tar, with its users paused for as long as that takes; Redis writes out what it has first. Returns
    the names of the containers that were paused."""
    users = hand.run(commands.running_users_of(volume)).split()
    for each in containers:
        if each.is_redis and each.name in users:
            hand.succeeds(commands.in_container(each.name, "redis-cli", "SAVE"))
    with helper(hand, volume, image_for(volume, containers)) as name, paused(hand, users):
        hand.run(commands.copy_out(name), timeout=COPY_SECONDS, sink=target)
    return users


@contextmanager
def helper(hand: Hand, volume: str, image: str, program: Sequence[str] = ("true",)) -> Iterator[str]:
    """A container with the volume, removed at the end."""
    slug = hand.environment.slug
    name = f"flowcontrol-helper-{slug}-{hashlib.sha256(volume.encode()).hexdigest()[:8]}"
    hand.succeeds(commands.remove([name]))  # of one that was killed
    hand.run(commands.helper(name, volume, image, slug, program=program))
    with ExitStack() as at_end:
        at_end.callback(hand.succeeds, commands.remove([name]))
        yield name


def sweep(hand: Hand) -> None:
    """Remove helpers of dead savers; the caller holds the environment."""
    if left := hand.run(commands.helpers(hand.environment.slug)).split():
        hand.run(commands.remove(left))


# --- restore ---------------------------------------------------------------------------------------------


def scratch_name(volume: str, token: str) -> str:
    return f"{volume}.fc-new-{token}"


def aside_name(volume: str, token: str) -> str:
    return f"{volume}.fc-before-{token}"


def try_out(hand: Hand, volume: str, archive: Path, token: str, image: str) -> None:
    """Fill a volume of its own from the archive, and see that it holds what the archive holds; the volume goes again.
    Raises SnapshotFailed."""
    scratch, back = scratch_name(volume, token), archive_beside(archive, token)
    back.parent.mkdir(exist_ok=True, mode=0o700)
    try:
        _fill(hand, scratch, archive, image)
        with helper(hand, scratch, image) as name:
            hand.run(commands.copy_out(name), timeout=COPY_SECONDS, sink=back)
        if contents(back) != contents(archive):
            raise SnapshotFailed(f"A volume that is filled from {archive.name} holds something else than that.")
    finally:
        back.unlink(missing_ok=True)
        hand.succeeds(commands.remove_volumes([scratch]))


def archive_beside(archive: Path, token: str) -> Path:
    """A file for what is passed from one volume to another, on the disk of the snapshots, where the next save sweeps."""
    return places.folder() / f".part-{archive.parent.name}" / f"{token}-{archive.name}"


def keep_aside(hand: Hand, volume: str, archive: Path, token: str, image: str) -> str:
    """Copy what the volume holds into one beside it, from which it can be had back. Begun anew where it was killed: the
    caller writes down when it is whole, and does not call again then."""
    aside, passing = aside_name(volume, token), archive_beside(archive, token)
    hand.run(commands.remove_volumes([aside]))
    passing.parent.mkdir(exist_ok=True, mode=0o700)
    try:
        with helper(hand, volume, image) as name:
            hand.run(commands.copy_out(name), timeout=COPY_SECONDS, sink=passing)
        _fill(hand, aside, passing, image)
    finally:
        passing.unlink(missing_ok=True)
    return aside


def change(hand: Hand, volume: str, archive: Path, image: str) -> None:
    """Empty the volume and fill it from the archive; nobody uses it. Killed in between it holds a part: done again it holds
    all."""
    with helper(hand, volume, image, commands.EMPTY) as name:
        hand.run(commands.start_and_wait(name), timeout=COPY_SECONDS)
        hand.run(commands.copy_in(name), timeout=COPY_SECONDS, source=archive)


def _fill(hand: Hand, volume: str, archive: Path, image: str) -> None:
    hand.run(commands.make_volume(volume, hand.environment.slug))
    with helper(hand, volume, image) as name:
        hand.run(commands.copy_in(name), timeout=COPY_SECONDS, source=archive)


def contents(archive: Path) -> dict[str, tuple[object, ...]]:
    """Name → what it is, of each entry: to compare two archives whose order and times may differ."""
    found: dict[str, tuple[object, ...]] = {}
    with tarfile.open(archive, "r:") as opened:
        for each in opened:
            digest = hashlib.sha256()
            if content := opened.extractfile(each) if each.isfile() else None:
                while chunk := content.read(1024 * 1024):
                    digest.update(chunk)
            found[each.name.rstrip("/")] = (each.type, each.mode, each.uid, each.gid, each.linkname, digest.hexdigest())
    return found
