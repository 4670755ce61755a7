"""What happens beside DuckDB while it computes: progress, cancelling, the timeout."""

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

if TYPE_CHECKING:
    from apps.engine.duck import DuckDBPyConnection

TICK_SECONDS = 0.1

Reason = Literal["cancelled", "timeout"]


class Interrupted(Exception):  # noqa: N818
    """The run was told to stop. `reason` says by what."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


class Watch:
    """A thread that looks at a connection ten times a second. A context manager: it ends with the block.

    `progress` is given the share (0..1) of the statement that is running. When `cancelled` answers yes or the
    deadline (a monotonic second) has passed, the statement is interrupted, which takes some tens of milliseconds,
    and `reason` says why; `check` raises it between statements.
    """

    def __init__(
        self,
        connection: "DuckDBPyConnection",
        *,
        cancelled: Callable[[], bool],
        deadline: float | None,
        progress: Callable[[float], None],
    ) -> None:
        self.reason: Reason | None = None
        self._connection, self._cancelled, self._deadline, self._progress = connection, cancelled, deadline, progress
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="flow-watch", daemon=True)

    def check(self) -> None:
        """Raises Interrupted if the run is to stop."""
        self._ask()
        if self.reason is not None:
            raise Interrupted(self.reason)

    def _ask(self) -> None:
        if self.reason is None and self._cancelled():
            self.reason = "cancelled"
        if self.reason is None and self._deadline is not None and time.monotonic() > self._deadline:
            self.reason = "timeout"

    def _look(self) -> None:
        while not self._over.wait(TICK_SECONDS):
            self._ask()
            if self.reason is not None:
                # Again at each tick: an interrupt that falls between two statements is lost.
                self._connection.interrupt()
                continue
            percent = self._connection.query_progress()
            if percent >= 0:
                self._progress(min(1.0, percent / 100))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
