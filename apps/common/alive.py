"""Signs of life: a loop touches a file each time it comes round, and a health check looks how old the file is.

Cheap enough for a check every second, and true: a process that hangs is there, but its file grows old.
"""

import contextlib
from pathlib import Path


def leave_sign(folder: str | Path, part: str) -> None:
    """Touch the file of `part`; nothing where no folder is named. Never raises: it is a hint, not work."""
    if not folder:
        return
    path = Path(folder) / part
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
