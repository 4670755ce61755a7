"""The supervisor loop of the controller: leads or stands by, reconciles, and leaves a tick that others can read."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

from django.conf import settings
from django.db import connection

from apps.common.alive import leave_sign
from apps.jobs.companions import Companions
from apps.jobs.leadership import CONTROLLER, Leadership
from apps.jobs.moment import read
from apps.jobs.reconciler import lost_since, reconcile_once

# How often the lease is renewed, or who stands by looks whether it is free.
LOOK_SECONDS = 1.0

logger = logging.getLogger(__name__)


class Supervisor:
    """Runs until told to stop. Nothing that goes wrong in a pass ends it: it is what mends the rest."""

    def __init__(self, companions: Companions | None = None) -> None:
        self.companions = companions or Companions({})
        self.leadership = Leadership(CONTROLLER)
        self._led = False
        self._pass_at = 0.0  # when the next pass is due, by the monotonic clock
        self._passed_at = datetime.min.replace(tzinfo=UTC)  # when the last one began, by the database's

    def run(self, stop: threading.Event) -> None:
        """Loop until `stop` is set, then free the lease. Killed instead, another takes over after LEASE_SECONDS."""
        while not stop.is_set():
            self._try(self.look)
            leave_sign(settings.ALIVE, "controller")
            stop.wait(LOOK_SECONDS)
        self.companions.stop()
        self._try(self.leadership.resign)
        connection.close()

    def look(self) -> None:
        """Lead if we can; when leading, do a pass if one is due, or if a lease has run out since the last."""
        leads = self.leadership.lead()
        if leads != self._led:
            logger.info("%s %s.", self.leadership.name, "leads" if leads else "stands by")
            self._led = leads
            (self.companions.start if leads else self.companions.stop)()
        if leads and (time.monotonic() >= self._pass_at or lost_since(self._passed_at)):
            began = time.monotonic()
            self._pass_at = began + settings.RECONCILE_SECONDS
            self._passed_at = read()
            summary = reconcile_once()
            self.leadership.ticked(time.monotonic() - began)
            if summary.any():
                logger.info("reconciled: %s", summary)

    def _try(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception:  # the next round may do better; a supervisor that ends helps nobody
            logger.exception("The supervisor's round failed; it goes on.")
            connection.close()
