"""What can be wrong with a snapshot, or with saving and restoring one."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from apps.common.errors import FlowControlError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class SnapshotFailed(FlowControlError):  # noqa: N818  it is what the person reads
    """The state could not be saved or restored."""

    code = "snapshot_failed"


class SnapshotDiskFull(SnapshotFailed):
    """There is no room for it."""

    code = "snapshot_disk_full"

    def __init__(self, place: Path | str) -> None:
        super().__init__(
            f"The disk of {place} is full; nothing half is kept.",
            hint="Make room: `manage.py snapshot prune ENV` removes old snapshots, or move data/snapshots to a larger disk.",
        )


class SnapshotUnknown(FlowControlError):  # noqa: N818
    """There is no such snapshot."""

    code = "snapshot_unknown"


class SnapshotDamaged(FlowControlError):  # noqa: N818
    """A byte of the snapshot is not as it was saved."""

    code = "snapshot_damaged"

    def __init__(self, name: str, member: str, what: str) -> None:
        self.member = member  # the name of what is damaged: a member, or manifest.json
        super().__init__(
            f"{name} is damaged: {member} {what}.",
            hint="Nothing was changed. Restore another one: `manage.py snapshot list ENV`.",
        )


class SnapshotBusy(FlowControlError):  # noqa: N818
    """Another process saves or restores this environment's state."""

    code = "snapshot_busy"


class RestoreUnfinished(FlowControlError):  # noqa: N818
    """A restore was begun and has not ended."""

    code = "restore_unfinished"


@contextmanager
def telling_of_a_full_disk(place: Path) -> Iterator[None]:
    """What the system refuses, in words."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise SnapshotDiskFull(place) from error
        raise SnapshotFailed(
            f"{error.filename or place}: {error.strerror or error}.",
            hint="Let the portal's account read and write there.",
        ) from error
