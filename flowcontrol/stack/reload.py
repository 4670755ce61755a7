"""HOT_RELOAD: which files of ours have changed, so that what runs them is started again."""

import queue
import threading
from collections.abc import Iterator
from pathlib import Path

# What is read at the start of a process. Templates and static files are read anew at each request instead.
SUFFIXES = (".py", ".lark")
FOLDERS = ("apps", "flowcontrol")


class Changes:
    """Watches from a thread of its own until the process ends. Ask `take` now and then."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._found: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._watch, name="changes", daemon=True).start()

    def take(self) -> list[str]:
        """The files that have changed since it was asked last, relative to the project, each once."""
        return sorted(set(self._waiting()))

    def _waiting(self) -> Iterator[str]:
        while True:
            try:
                yield self._found.get_nowait()
            except queue.Empty:
                return

    def _watch(self) -> None:
        import watchfiles  # a package of development: only who sets HOT_RELOAD needs it

        folders = [self.root / name for name in FOLDERS]
        for changes in watchfiles.watch(*folders, watch_filter=lambda _, path: path.endswith(SUFFIXES), debounce=200):
            for _, path in changes:
                self._found.put(str(Path(path).relative_to(self.root)))
