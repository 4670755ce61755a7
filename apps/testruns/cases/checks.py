"""Python checks: functions in a registry, many of them run in one process.

    @check("L2", title="The data folder is writable", environments=("dev", "staging"))
    def data_is_writable(place):
        ...

A check that returns has passed; one that raises Skip is skipped, and one that raises anything else has failed. It is
given the Place when it takes a parameter. What it returns, if anything, is a text for people: what it measured.
"""

import inspect
import linecache
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any, TypeVar

from apps.testruns.cases.model import LAYERS, Case, Place, Result, Status, result_of
from apps.testruns.cases.process import LOOK_SECONDS, Stopped

DEFAULT_CHECK_SECONDS = 10.0

Function = TypeVar("Function", bound=Callable[..., Any])


class Skip(Exception):  # noqa: N818  not an error: what the check is about is not there
    """What the check is about is absent; the text says what."""


class Registry:
    """The checks that are known. Rooms add theirs when they are made ready; a source is not given twice."""

    def __init__(self) -> None:
        self._cases: dict[str, Case] = {}

    def check(
        self,
        layer: str,
        *,
        title: str,
        environments: tuple[str, ...] = (),
        timeout: float = DEFAULT_CHECK_SECONDS,
        retries: int = 0,
    ) -> Callable[[Function], Function]:
        """Register a function as a case. `environments` are slugs, () is all; `timeout` is in seconds.

        Registered again, as when its module is loaded again, it takes its own place. Raises ValueError for a layer
        that there is not, and for a second check of the same source.
        """
        if layer not in LAYERS:
            raise ValueError(f"There is no layer {layer!r}: it is one of {', '.join(LAYERS)}.")

        def register(function: Function) -> Function:
            source = f"{function.__module__}:{function.__qualname__}"
            known = self._cases.get(source)
            if known is not None and known.title != title:
                raise ValueError(f"Two checks are called {source}: give one of the functions another name.")
            about = (inspect.getdoc(function) or "").partition("\n\n")[0].replace("\n", " ")
            self._cases[source] = Case(
                layer,
                source,
                title,
                "check",
                environments=environments,
                timeout_seconds=timeout,
                retries=retries,
                run=function,
                about=about,
            )
            return function

        return register

    def cases(self, environment: str | None = None, layer: str | None = None) -> list[Case]:
        """Those of an environment and a layer, or of all; by layer, then as they were registered."""
        found = [
            case
            for case in self._cases.values()
            if (environment is None or case.is_for(environment)) and layer in (None, case.layer)
        ]
        return sorted(found, key=lambda case: LAYERS.index(case.layer))


registry = Registry()
check = registry.check


def run_check(case: Case, place: Place, stopping: Event) -> Iterator[Result]:
    """Run it once, in a thread of its own, and wait as long as it may take. Raises Stopped soon after `stopping` is set.

    Python cannot end a thread: one that is late goes on in the background, and what it then says is not heard. It ends
    with the process, so a check that may hang should ask for timeouts of its own.
    """
    call = _Call(case, place)
    started = time.monotonic()
    threading.Thread(target=call.make, name=f"check {case.source}", daemon=True).start()
    deadline = started + case.timeout_seconds
    while not call.done.wait(min(LOOK_SECONDS, max(0.0, deadline - time.monotonic()))):
        if stopping.is_set():
            raise Stopped
        if time.monotonic() >= deadline:
            message = f"It did not end within {case.timeout_seconds:g} s: make it quicker, or give it more time."
            yield result_of(case, "failed", message, seconds=case.timeout_seconds)
            return
    status, message, output = call.answer
    yield result_of(case, status, message, seconds=time.monotonic() - started, output=output)


class _Call:
    """One call of a check, made in its thread."""

    __slots__ = ("_case", "_place", "answer", "done")

    def __init__(self, case: Case, place: Place) -> None:
        self._case, self._place = case, place
        self.done = Event()
        self.answer: tuple[Status, str, str] = ("failed", "It gave no answer.", "")

    def make(self) -> None:
        try:
            self.answer = self._outcome()
        finally:
            self.done.set()

    def _outcome(self) -> tuple[Status, str, str]:
        assert self._case.run is not None, "a check has a function"
        try:
            takes_place = bool(inspect.signature(self._case.run).parameters)
            said = self._case.run(self._place) if takes_place else self._case.run()
        except Skip as skipped:
            return "skipped", str(skipped) or "it gave no reason", ""
        except BaseException as error:  # noqa: BLE001  whatever a check raises is its result
            return "failed", _why(error), "".join(traceback.format_exception(error))
        if said is not None and not isinstance(said, str):
            return (
                "failed",
                f"It returned {said!r:.200}: a check returns nothing or a text, and raises when it fails.",
                "",
            )
        return "passed", "", said or ""


def _why(error: BaseException) -> str:
    """What was raised, and where. A bare assert says nothing, so its line does."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    said = _text_of(error)
    if isinstance(error, AssertionError):
        line = linecache.getline(frames[-1].filename, frames[-1].lineno or 0).strip() if frames else ""
        return f"{said or line.removeprefix('assert ') + ' is not so'}{where}"
    return f"{type(error).__name__}: {said}{where}" if said else f"{type(error).__name__}{where}"


def _text_of(error: BaseException) -> str:
    try:
        return str(error).strip()
    except Exception:  # noqa: BLE001  an error that cannot say what it is, is one all the same
        return ""
