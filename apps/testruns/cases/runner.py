"""Runs the cases of one layer, some at once, and says what came of them.

Threads take cases from a queue; none is made for a case, but for Python checks, which have to be left alone when they
are late. What comes of a case goes through another queue to the thread that called, which alone calls `on_result` and
`should_stop`: so these may use a database connection.
"""

import itertools
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from apps.testruns.cases.checks import run_check
from apps.testruns.cases.executables import run_executable
from apps.testruns.cases.model import WHOLE, Case, Place, Result, result_of
from apps.testruns.cases.process import Stopped
from apps.testruns.cases.pytests import run_pytest
from apps.testruns.cases.sweep import Sweep

LOOK_SECONDS = 0.2  # how often `should_stop` is asked
MOST_WAITING = 1_000  # results that wait for `on_result`; then the cases wait

LayerStatus = Literal["passed", "failed", "skipped", "cancelled"]


@dataclass(frozen=True, slots=True)
class LayerOutcome:
    """What came of a layer. `results` are in the order of its cases, whatever came first."""

    layer: str
    results: tuple[Result, ...]
    seconds: float
    unfinished: tuple[Case, ...] = ()  # cancelled before they had ended, or had begun

    @property
    def status(self) -> LayerStatus:
        """A layer in which everything was skipped has proven nothing: it is skipped, not passed."""
        if self.unfinished:
            return "cancelled"
        if self.failed:
            return "failed"
        return "passed" if self.passed else "skipped"

    @property
    def passed(self) -> int:
        return self._count("passed")

    @property
    def failed(self) -> int:
        return self._count("failed")

    @property
    def skipped(self) -> int:
        return self._count("skipped")

    @property
    def flaky(self) -> int:
        """Those of the passed that needed a retry."""
        return sum(each.flaky for each in self.results)

    def _count(self, status: str) -> int:
        return sum(each.status == status for each in self.results)


def run_layer(
    layer: str,
    cases: Sequence[Case],
    place: Place,
    *,
    parallel: int = 2,
    on_result: Callable[[Result], None] | None = None,
    on_done: Callable[[Case, Sequence[Result]], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> LayerOutcome:
    """Run them, at most `parallel` at once. A layer without a case is a failed one.

    `on_result` gets each result when it is final: at once for a case without retries, else when no retry is left.
    `on_done` gets all results of a case when it has ended.
    When `should_stop` says so, running processes are ended and the outcome comes within a second; results that were
    told stay. What either raises ends the layer too, and is raised when nothing runs any more. Killed at any point, the
    processes of its cases are killed by the keeper of sweep.py. Run twice, the cases run twice.
    """
    started = time.monotonic()
    if not cases:
        nothing = _empty(layer)
        if on_result:
            on_result(nothing)
        return LayerOutcome(layer, (nothing,), 0.0)
    if all(case.kind in ("check", "broken") for case in cases):
        found, unfinished = _Layer(cases, place, None).run(parallel, _Ears(on_result, on_done, should_stop))
    else:
        with Sweep() as sweep:
            found, unfinished = _Layer(cases, place, sweep).run(parallel, _Ears(on_result, on_done, should_stop))
    return LayerOutcome(layer, found, time.monotonic() - started, unfinished)


def _empty(layer: str) -> Result:
    return Result(
        layer,
        "layer",
        "The layer has cases",
        "failed",
        message=f"There is no case in {layer} for this environment, so nothing was tested: add one, or leave the layer out.",
    )


@dataclass(frozen=True, slots=True)
class _Ears:
    """Who is told and asked, in the thread that called."""

    on_result: Callable[[Result], None] | None
    on_done: Callable[[Case, Sequence[Result]], None] | None
    should_stop: Callable[[], bool] | None


class _Layer:
    """The threads of a layer and the two queues."""

    def __init__(self, cases: Sequence[Case], place: Place, sweep: Sweep | None) -> None:
        self._cases, self._place, self._sweep = cases, place, sweep
        self._next = iter(range(len(cases)))
        self._lock = threading.Lock()
        self._told: queue.Queue[tuple[int, Result | None]] = queue.Queue(MOST_WAITING)  # None: the case is done
        self._stopping = threading.Event()
        self._results: dict[int, list[Result]] = {number: [] for number in range(len(cases))}
        self._left = set(self._results)
        self._error: BaseException | None = None

    def run(self, parallel: int, ears: _Ears) -> tuple[tuple[Result, ...], tuple[Case, ...]]:
        count = max(1, min(parallel, len(self._cases)))
        threads = [threading.Thread(target=self._work, name=f"cases {number}", daemon=True) for number in range(count)]
        for thread in threads:
            thread.start()
        try:
            self._listen(ears)
        finally:
            self._stopping.set()
            self._wait_for(threads)
        if self._error is not None:
            raise self._error
        results = itertools.chain.from_iterable(self._results.values())
        return tuple(results), tuple(self._cases[number] for number in sorted(self._left))

    def _listen(self, ears: _Ears) -> None:
        """Until all cases are done or it is to stop."""
        ask_at = 0.0
        while self._left and self._error is None:
            if ears.should_stop and time.monotonic() >= ask_at:
                if ears.should_stop():
                    return
                ask_at = time.monotonic() + LOOK_SECONDS
            try:
                number, result = self._told.get(timeout=LOOK_SECONDS)
            except queue.Empty:
                continue
            self._take(number, result, ears)

    def _take(self, number: int, result: Result | None, ears: _Ears) -> None:
        if result is None:
            self._left.discard(number)
            if ears.on_done:
                ears.on_done(self._cases[number], self._results[number])
            return
        self._results[number].append(result)
        if ears.on_result:
            ears.on_result(result)

    def _wait_for(self, threads: list[threading.Thread]) -> None:
        """Nothing of the layer runs afterwards. What is still told is heard, or a full queue would hold its thread;
        it counts for nothing any more, since nobody was told."""
        while any(thread.is_alive() for thread in threads):
            try:
                self._told.get(timeout=0.01)
            except queue.Empty:
                continue

    def _work(self) -> None:
        """One thread: a case after another."""
        try:
            while not self._stopping.is_set():
                with self._lock:
                    number = next(self._next, None)
                if number is None:
                    return
                for result in final_results(self._cases[number], self._once):
                    self._told.put((number, result))
                self._told.put((number, None))
        except Stopped:
            return
        except BaseException as error:  # noqa: BLE001  the caller gets it
            self._error = error

    def _once(self, case: Case) -> Iterator[Result]:
        """One attempt."""
        if case.kind == "broken":
            return iter([result_of(case, "failed", case.problem)])
        if case.kind == "check":
            return run_check(case, self._place, self._stopping)
        assert self._sweep is not None, "a process needs a sweep"
        run = run_executable if case.kind == "executable" else run_pytest
        return run(case, self._place, self._sweep.folder, self._sweep.mark, self._stopping)


def final_results(case: Case, once: Callable[[Case], Iterator[Result]]) -> Iterator[Result]:
    """The results of a case after its retries: those of its last attempt. One that failed before and passed now is
    flaky; so is all that passed, when what failed before was the file as a whole."""
    failed_before: set[str] = set()
    for attempt in range(1, case.retries + 2):
        if attempt == case.retries + 1:
            for result in once(case):
                yield _judged(result, attempt, failed_before)
            return
        results = list(once(case))
        failed = {each.title for each in results if each.status == "failed"}
        if not failed:
            yield from (_judged(each, attempt, failed_before) for each in results)
            return
        failed_before |= failed


def _judged(result: Result, attempt: int, failed_before: set[str]) -> Result:
    if attempt == 1:
        return result
    is_flaky = result.status == "passed" and (result.title in failed_before or WHOLE in failed_before)
    return replace(result, attempts=attempt, flaky=is_flaky)
