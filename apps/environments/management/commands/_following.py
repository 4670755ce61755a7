"""A job of stages at the terminal: each stage with its progress, Ctrl-C cancels it, the cause where one fails."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from django.db import connection
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from apps.common.errors import FlowControlError
from apps.environments.models import StackJob, StageRow
from apps.environments.stages import own, stack
from apps.jobs.states import State
from apps.jobs.waiting import LOOK_SECONDS, wait

Status = StageRow.Status
SIGNS = {Status.SUCCEEDED: ("✓", "green"), Status.FAILED: ("✗", "bold red"), Status.SKIPPED: ("-", "dim")}
PLAIN_SIGNS = {Status.SUCCEEDED: "ok", Status.FAILED: "FAILED", Status.SKIPPED: "skipped"}


def console(*, stderr: bool = True) -> Console:
    return Console(stderr=stderr, highlight=False, soft_wrap=True)


def complain(error: FlowControlError) -> None:
    shown = console()
    shown.print(Text("error: ", style="bold red").append(error.message, style="not bold default"))
    if error.hint:
        shown.print(Text(f"  {error.hint}"))


def follow[Job: Any](
    job: Job, *, title: str, cancel: Callable[[], Any], work: Callable[[int], Any], quiet: bool
) -> Job:
    """Wait for the end of a job that is made of stages, doing it here where no worker with Docker is alive, and tell of it.
    Ctrl-C cancels it."""
    teller = _Quiet() if quiet else _Teller(title, job)
    with _interrupts() as interrupted, teller:
        threading.Thread(target=_cancel_when, args=(interrupted, cancel), daemon=True).start()

        def do(pk: int) -> None:
            """In a thread of its own, so that this one can tell how far it is."""
            thread = threading.Thread(target=_in_thread, args=(work, pk))
            thread.start()
            while thread.is_alive():
                thread.join(LOOK_SECONDS)
                job.refresh_from_db()
                teller.tell(job)

        job = wait(job, work=do, tell=teller.tell, given_up=bool)
    teller.end(job)
    return job


def _in_thread(work: Callable[[int], Any], pk: int) -> None:
    try:
        work(pk)
    finally:
        connection.close()


@contextmanager
def _interrupts() -> Iterator[threading.Event]:
    """The first Ctrl-C is noted; the second ends the command as usual."""
    noted = threading.Event()

    def note(number: int, frame: FrameType | None) -> None:
        if noted.is_set():
            raise KeyboardInterrupt
        noted.set()

    before = signal.signal(signal.SIGINT, note)
    try:
        yield noted
    finally:
        signal.signal(signal.SIGINT, before)


def _cancel_when(interrupted: threading.Event, cancel: Callable[[], Any]) -> None:
    interrupted.wait()
    console().print("cancelling …")
    try:
        cancel()
    finally:
        connection.close()


def greet(job: StackJob) -> None:
    """Where to go now, for a stack of our own that is up."""
    environment = job.environment
    if not environment.runs_ourselves or environment.engine_url:
        return
    shown = console()
    values = stack.settings_of(job)
    shown.print(
        Text("  open ").append(f"http://localhost:{values['APP_PORT']}", style="bold").append("  log in as admin")
    )
    shown.print(Text(f"  its first password is in {own.password_file(environment.slug, values)}", style="dim"))
    verb = f"manage.py environment down {environment.slug}"
    shown.print(Text(f"  `make verify-{environment.slug}` proves it; `{verb}` stops it", style="dim"))


class _Quiet:
    """Says nothing: the document says it all."""

    def __enter__(self) -> _Quiet:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def tell(self, job: Any) -> None:
        return None

    def end(self, job: Any) -> None:
        return None


class _Teller(_Quiet):
    """A line for each stage: with a bar while it runs on a terminal, once it has ended on a pipe."""

    def __init__(self, title: str, job: Any) -> None:
        self._console = console()
        self._ended: set[int] = set()
        self._bars: dict[int, Any] = {}
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.fields[title]:18}"),
            BarColumn(bar_width=20),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[message]}"),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._console.print(Text(title, style="bold").append(f"  job {job.pk}", style="dim"))

    def __enter__(self) -> _Teller:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def tell(self, job: Any) -> None:
        for row in job.stages.all():
            if row.pk in self._ended or row.status == Status.QUEUED:
                continue
            if row.status == Status.RUNNING:
                self._bar(row)
            else:
                self._ended.add(row.pk)
                self._end_bar(row)
                self._stage(row)

    def _bar(self, row: StageRow) -> None:
        if row.pk not in self._bars:
            self._bars[row.pk] = self._progress.add_task("", total=1.0, title=row.title, message=row.message)
        self._progress.update(self._bars[row.pk], completed=row.progress, message=_line(row.message))

    def _end_bar(self, row: StageRow) -> None:
        if row.pk in self._bars:
            self._progress.remove_task(self._bars.pop(row.pk))

    def _stage(self, row: StageRow) -> None:
        sign, style = SIGNS[Status(row.status)]
        if not self._speaks_unicode():
            sign = PLAIN_SIGNS[Status(row.status)]
        took = f"{row.seconds:5.1f} s" if row.seconds is not None else " " * 7
        line = Text(f"{sign} ", style=style).append(f"{row.title:22} {took}  ", style="default not bold not dim")
        self._console.print(line.append(row.message, style="red" if row.status == Status.FAILED else "default"))
        if row.status != Status.FAILED:
            return
        for each in row.tail.splitlines():
            self._console.print(Text(f"    {each}", style="dim"))
        if row.hint:
            self._console.print(Text(f"  → {row.hint}" if self._speaks_unicode() else f"  -> {row.hint}"))

    def _speaks_unicode(self) -> bool:
        return self._console.encoding.lower().startswith("utf")

    def end(self, job: Any) -> None:
        self.tell(job)
        style = "bold green" if job.state == State.SUCCEEDED else "bold red"
        self._console.print(Text(f"{job.state}: ", style=style).append(job.message, style="not bold default"))


def _line(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:59]}…"
