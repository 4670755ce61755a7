"""What a flow's process does: it works under limits on one run, and tells its parent.

Its parent talks to it by pipes. `orders` carries one JSON object a line:

    {"spec": RunSpec, "plan": "here" | "there"}   first, and once
    {"cancel": true}
    {"sniff": [kind, path, options]}              only where the plan is made "there", by the parent
    {"plan": Planned, pickled}                    likewise

Its end means that nobody wants the run any more, and the child ends too. `events` carries one JSON object a line to
the parent, the last of them `done`; a `sniff` is answered with {"kind": "schema", "columns"} or {"kind": "schema",
"message", "hint"}. Standard output and error go to a file that the parent reads when the child has ended.
"""

import base64
import gc
import json
import os
import pickle
import queue
import resource
import sys
import threading
from collections.abc import Callable
from typing import IO, Any, NoReturn

from apps.engine.fork import KEPT_VARIABLES, UNWANTED, isolate
from apps.engine.limits import Limits
from apps.engine.planning import Planned, Planner
from apps.engine.spec import RunSpec

__all__ = ["KEPT_VARIABLES", "isolate", "limit", "live"]


def live(orders: int, events: int) -> NoReturn:
    """From the first order to the end of the process: with status 0, whatever the outcome is, for that is an event."""
    gc.disable()  # nothing of what is imported becomes garbage
    from apps.engine import run  # before the first order is there: the parent reads its arguments meanwhile

    gc.freeze()
    gc.enable()
    with os.fdopen(orders, encoding="utf-8") as lines, os.fdopen(events, "w", encoding="utf-8") as told:

        def emit(event: dict[str, Any]) -> None:
            told.write(json.dumps(event, ensure_ascii=False) + "\n")
            told.flush()

        first = lines.readline()
        if not first:
            os._exit(UNWANTED)
        order = json.loads(first)
        spec = RunSpec.from_json(order["spec"])
        limit(spec.limits)
        heard = Orders(lines)
        planner = remote_planner(heard, emit) if order["plan"] == "there" else None
        run.execute(spec, emit, heard.cancelled.is_set, planner=planner)
        os._exit(0)  # not by the interpreter's end, which would wait for the thread that reads the orders


class Orders:
    """What the parent says, read by a thread of its own from the first moment on."""

    def __init__(self, lines: IO[str]) -> None:
        self.cancelled = threading.Event()
        self.plans: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._lines = lines
        threading.Thread(target=self._read, daemon=True, name="flow-orders").start()

    def _read(self) -> None:
        for line in self._lines:
            order = json.loads(line)
            if "cancel" in order:
                self.cancelled.set()
            self.plans.put(order)  # a cancel too: it wakes who waits for a plan
        os._exit(UNWANTED)  # the parent keeps its end open for as long as it lives and wants the run


def remote_planner(orders: Orders, emit: Callable[[dict[str, Any]], None]) -> Planner:
    """A planner that waits for the parent's plan, and looks up columns for it meanwhile."""
    from apps.engine.watch import Interrupted
    from apps.engine.wire import to_json
    from apps.language.checking.schemas import SchemaReader, SchemaUnavailable

    def plan(read_schema: SchemaReader) -> Planned:
        while True:
            order = orders.plans.get()
            if "cancel" in order:
                raise Interrupted("cancelled")
            if "plan" in order:
                planned: Planned = pickle.loads(base64.b64decode(order["plan"]))  # noqa: S301  of our own parent
                return planned
            try:
                emit({"kind": "schema", "columns": to_json(read_schema(*order["sniff"]))})
            except SchemaUnavailable as error:
                emit({"kind": "schema", "message": error.message, "hint": error.hint})

    return plan


def limit(limits: Limits) -> None:
    """The kernel's limits: memory, no core file, few open files. Hard, so that nothing in here can raise them."""
    if sys.platform == "linux":  # macOS has RLIMIT_AS and does not keep to it
        resource.setrlimit(resource.RLIMIT_AS, (limits.address_space_bytes, limits.address_space_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    files = 4096 if hard == resource.RLIM_INFINITY else min(4096, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
