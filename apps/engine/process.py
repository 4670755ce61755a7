"""A flow in a process of its own, so that it can take neither its worker nor the machine with it."""

import contextlib
import json
import logging
import os
import re
import signal
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal, Protocol

from apps.engine import manifest, paths
from apps.engine.errors import EngineError, OutOfMemory, ProcessDied
from apps.engine.fork import Forked, Pipes
from apps.engine.limits import MIB, Limits
from apps.engine.spec import RunOutcome, RunSpec

if TYPE_CHECKING:
    from apps.language.plan import Schema

TAIL = 4_000  # bytes of standard error that are kept

log = logging.getLogger(__name__)

_MEMORY = re.compile(r"bad_alloc|MemoryError|[Oo]ut of [Mm]emory|Cannot allocate memory|failed to map segment")


class _ChildEndedError(Exception):
    """The child ended while this process made the plan."""


class FlowProcess:
    """One run in a child process: `start()`, read `events()` to their end, then `outcome`.

    The child is forked from a nursery (the default, for workers, which have threads) or by the caller, which then must
    have one thread (the command line). `cancel()` and `kill()` may be called from any thread, at any time, more than
    once.
    """

    def __init__(self, spec: RunSpec) -> None:
        self.spec = spec
        self._outcome: RunOutcome | None = None
        self._child: _Child | None = None
        self._lock = threading.Lock()
        self._orders = -1
        self._untold: dict[str, Any] | None = None  # an event that was read and not yet given

    @property
    def pid(self) -> int:
        """The child's process id, for people; it may have ended."""
        assert self._child is not None, "start() comes first"
        return self._child.pid

    def start(self, forked: Forked | None = None, *, plan: Literal["here", "there"] = "here") -> None:
        """Hand the spec to a child: a new one of the nursery, or `forked`. Raises ProcessDied if there can be none.

        `plan` is as the child sees it: "there" means that this process makes the plan and gives it by `make_plan`.
        """
        self._child = child = forked or _Nursed()
        self._orders = child.pipes.orders
        self._told = os.fdopen(child.pipes.events, encoding="utf-8", errors="replace")
        self._errors = os.fdopen(child.pipes.errors, "rb")
        self._send({"spec": self.spec.to_json(), "plan": plan})

    def events(self) -> Iterator[dict[str, Any]]:
        """The events as they come. Ends when the child has ended; then `outcome` is there."""
        assert self._child is not None, "start() comes first"
        with self._told:
            while (event := self._next_event()) is not None:
                if event["kind"] == "done":
                    self._outcome = RunOutcome.from_json(event["outcome"])
                yield event
        status = self._child.wait()
        self._close_orders()
        said = self._last_words()
        if said:
            log.warning("The process of run %s said: %s", self.spec.run_key, said)
        if self._outcome is None:
            self._outcome = self._death(status, said)
            if self._outcome.error:
                yield {"kind": "log", "level": "error", "step": "", "message": self._outcome.error["message"]}
            yield {"kind": "done", "outcome": self._outcome.to_json()}

    def make_plan(self) -> None:
        """Make the plan in this process, with what the child finds out about columns, and give it to the child.

        Both work at once then: one imports the language, the other the engine. Raises FlowRefused if there is no
        plan; then `abandon` the child.
        """
        import base64
        import pickle

        from apps.engine.planning import plan_of

        try:
            planned = plan_of(self.spec.text, self.spec.path, self._ask_schema)
        except _ChildEndedError:
            return  # its events say how
        self._send({"plan": base64.b64encode(pickle.dumps(planned)).decode()})

    def _ask_schema(self, kind: str, path: str, options: dict[str, Any]) -> "Schema":
        from apps.engine.wire import from_json
        from apps.language.checking.schemas import SchemaUnavailable

        self._send({"sniff": [kind, path, options]})
        answer = self._next_event()
        if answer is None or answer["kind"] != "schema":
            self._untold = answer
            raise _ChildEndedError
        if "columns" in answer:
            return from_json(answer["columns"])
        raise SchemaUnavailable(answer["message"], answer["hint"])

    def abandon(self) -> None:
        """Nobody wants the run any more: end the child and wait until it has gone."""
        assert self._child is not None, "start() comes first"
        self._child.kill()
        self._child.wait()
        self._told.close()
        self._errors.close()
        self._close_orders()

    @property
    def outcome(self) -> RunOutcome:
        """How the run ended; reads the events that are left."""
        if self._outcome is None:
            for _ in self.events():
                pass
        assert self._outcome is not None
        return self._outcome

    def cancel(self) -> None:
        """Ask the run to stop: it does within two seconds. Nothing happens if it has ended."""
        self._send({"cancel": True})

    def kill(self) -> None:
        """End it now, by SIGKILL. What it had not yet published is not published."""
        if self._child is not None:
            self._child.kill()

    def _next_event(self) -> dict[str, Any] | None:
        """The next event that the child told, None when it tells no more."""
        if self._untold is not None:
            untold, self._untold = self._untold, None
            return untold
        for line in self._told:
            event = _parsed(line)
            if event is not None:
                return event
        return None

    def _send(self, order: dict[str, Any]) -> None:
        data = json.dumps(order).encode() + b"\n"
        with self._lock, contextlib.suppress(BrokenPipeError):  # it has ended; its events say how
            while data and self._orders >= 0:
                data = data[os.write(self._orders, data) :]

    def _close_orders(self) -> None:
        with self._lock:
            if self._orders >= 0:
                os.close(self._orders)
            self._orders = -1

    def _last_words(self) -> str:
        """The end of the child's standard error, without the workspace's place on the disk."""
        with self._errors as errors:
            errors.seek(0, os.SEEK_END)
            errors.seek(max(0, errors.tell() - TAIL))
            return paths.relative(errors.read().decode(errors="replace").strip(), self.spec.workspace)

    def _death(self, status: int | None, said: str) -> RunOutcome:
        """The outcome of a child that ended without telling one. If it had published, it succeeded."""
        published = manifest.recover(self.spec.workspace, self.spec.run_key)
        if published is not None:
            return published
        return RunOutcome("failed", 0.0, cause_of_death(status, said, self.spec.limits).to_json())


def cause_of_death(status: int | None, said: str, limits: Limits) -> EngineError:
    """Why a child ended without an outcome, in words. `status`: negative is a signal, None is not known; `said` is
    the end of its standard error."""
    if _MEMORY.search(said):
        return OutOfMemory(
            f"The flow needed more than {limits.memory_bytes // MIB} MB of memory, and its process died of it.",
            hint="Give it more memory, or let it hold less at once: filter before joins, group before sorts.",
        )
    if status is None or status == -signal.SIGKILL:
        return ProcessDied(
            "The flow's process was killed (SIGKILL).",
            hint="Somebody killed it, or the machine ran out of memory and the system chose it: see the system's "
            "log, and run again. No output was replaced.",
        )
    last = next((line.strip() for line in reversed(said.splitlines()) if line.strip()), "it said nothing")
    how = f"died of {signal.Signals(-status).name}" if status < 0 else f"ended with status {status} and no result"
    return ProcessDied(
        f"The flow's process {how}; its last words: {last}",
        hint="A defect of the engine, not of the flow: run again, and report it if it comes back. "
        "No output was replaced.",
    )


def _parsed(line: str) -> dict[str, Any] | None:
    """The event in a line; None for half a line, which a killed child may leave."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "kind" in event else None


# --- where a child comes from --------------------------------------------------------------------


class _Child(Protocol):
    @property
    def pid(self) -> int: ...

    @property
    def pipes(self) -> Pipes: ...

    def wait(self) -> int | None:
        """The exit status, negative for a signal; None if nobody knows it any more."""

    def kill(self) -> None: ...


class _Nursed:
    """A child of the nursery, known by its link."""

    def __init__(self) -> None:
        from apps.engine import nursery  # the command line never needs it

        self.pipes = Pipes()
        try:
            self._link = nursery.spawn(self.pipes)
        finally:
            self.pipes.close_ends()
        self._lines = self._link.makefile("rb")
        said = self._lines.readline()
        if not said:
            raise ProcessDied(
                "The process from which flows are started ended before it could start this one.",
                hint="See the worker's log for what it said; a missing library or too little memory are usual causes.",
            )
        self.pid = int(said)

    def wait(self) -> int | None:
        status = self._lines.readline()
        self._link.close()
        return int(status) if status else None

    def kill(self) -> None:
        with contextlib.suppress(OSError):
            self._link.send(b"k")
