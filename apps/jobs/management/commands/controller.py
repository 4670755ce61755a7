"""`manage.py controller`: the supervisor loop, in the foreground, until SIGTERM or SIGINT. Needs no broker."""

import signal
import threading
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand

from apps.jobs import companions
from apps.jobs.supervisor import Supervisor


class Command(BaseCommand):
    help = "Minds the long work: finds lost jobs, settles or requeues them. A second one stands by."

    def handle(self, *args: Any, **options: Any) -> None:
        stop = threading.Event()

        def end(number: int, frame: FrameType | None) -> None:
            stop.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, end)
        Supervisor(companions.Companions(companions.registered())).run(stop)
