"""What runs beside the supervisor loop, in the controller that leads: watching that must not hold the loop up.

A room registers a companion in `AppConfig.ready`: a callable that works until its event is set. One that fails begins
anew. Nothing here is awaited by the supervisor, so a companion that hangs harms nobody but itself.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping

from django.db import connection

Companion = Callable[[threading.Event], None]
RESTART_SECONDS = 5.0  # between a failure and the next try
STEADY_SECONDS = 60.0  # one that ran for so long has left its last failure behind
FAREWELL_SECONDS = 2.0  # how long the end of one is waited for

logger = logging.getLogger(__name__)
_registered: dict[str, Companion] = {}


def register(name: str, companion: Companion) -> None:
    """Make a companion known. Registering the same name again replaces it, so that a reload does no harm."""
    _registered[name] = companion


def registered() -> Mapping[str, Companion]:
    return dict(_registered)


class Companions:
    """The companions of one controller, each in a thread of its own: started when it leads, stopped when it no longer does."""

    def __init__(self, companions: Mapping[str, Companion]) -> None:
        self._companions = companions
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start all of them. Started already: nothing."""
        if self._threads:
            return
        self._stop = threading.Event()
        for name, companion in self._companions.items():
            arguments = (name, companion, self._stop)
            self._threads.append(threading.Thread(target=_keep, args=arguments, name=name, daemon=True))
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ask all of them to end, and wait a moment; one that hangs is left to the end of the process."""
        self._stop.set()
        for thread in self._threads:
            thread.join(FAREWELL_SECONDS)
        self._threads = []


def _keep(name: str, companion: Companion, stop: threading.Event) -> None:
    """Run it, and again where it fails, until told to stop. The same failure is told once, not each time."""
    told = ""
    while not stop.is_set():
        began = time.monotonic()
        try:
            companion(stop)
        except Exception as error:  # whatever it is: it begins anew
            failure = f"{type(error).__name__}: {error}"
            if failure != told or time.monotonic() - began > STEADY_SECONDS:
                logger.exception("The %s failed; it begins anew.", name)
            told = failure
        finally:
            connection.close()
        stop.wait(RESTART_SECONDS)
