"""One process leads in a role, others stand by. The lease of a leader that died is free after LEASE_SECONDS."""

from __future__ import annotations

import os
import secrets
import socket

from django.conf import settings
from django.db.models import F, Q, QuerySet

from apps.jobs.models import Leader
from apps.jobs.moment import moment

CONTROLLER = "controller"  # the role of the supervisor loop


class Leadership:
    """A candidate for `role`. Two that both believe to lead for a moment do no harm: what they do is guarded by rows."""

    def __init__(self, role: str) -> None:
        self.role = role
        self.name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self.fence = 0  # the number under which we lead; 0 while we stand by

    def lead(self) -> bool:
        """Renew our lease, or take it when it is free. True while we lead. Raises django.db.Error."""
        seconds = float(settings.LEASE_SECONDS)
        if self.fence and self._ours().update(expires_at=moment(seconds)):
            return True
        self.fence = 0
        Leader.objects.get_or_create(role=self.role, defaults={"expires_at": moment()})
        # The second half: made before the clock was set back, see `moment`.
        free = Q(expires_at__lte=moment()) | Q(expires_at__gt=moment(2 * seconds))
        rows = Leader.objects.filter(free, role=self.role)
        if rows.update(holder=self.name, fence=F("fence") + 1, expires_at=moment(seconds)):
            held = Leader.objects.filter(role=self.role, holder=self.name).values_list("fence", flat=True).first()
            self.fence = held or 0
        return bool(self.fence)

    def ticked(self, seconds: float) -> bool:
        """Record that a complete pass has just ended, after `seconds`. False when we no longer lead."""
        return bool(self.fence and self._ours().update(ticked_at=moment(), tick_seconds=seconds))

    def resign(self) -> None:
        """Free the lease, so that who stands by need not wait for it to run out."""
        if self.fence:
            self._ours().update(holder="", expires_at=moment())
            self.fence = 0

    def _ours(self) -> QuerySet[Leader]:
        return Leader.objects.filter(role=self.role, holder=self.name, fence=self.fence)
