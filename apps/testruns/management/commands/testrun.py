"""`manage.py testrun …`: run the layered tests of an environment, and export what they said."""

from __future__ import annotations

import json
import signal
import sys
import threading
from argparse import RawDescriptionHelpFormatter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from rich.console import Console
from rich.text import Text

from apps.accounts.actors import for_command
from apps.common.errors import FlowControlError
from apps.common.files import write_atomic
from apps.environments.models import Environment
from apps.jobs.waiting import wait
from apps.testruns import executor, exporting, reference
from apps.testruns.actions import cancel_testrun, start_testrun
from apps.testruns.cases.model import layer_name
from apps.testruns.document import document
from apps.testruns.models import LayerResult, Status, TestRun
from apps.testruns.showing import state_word

WELL, BAD, WRONG_USE = 0, 1, 2  # exit statuses

START = """Run the layered tests of an environment and wait for their end.

  manage.py testrun start dev
  manage.py testrun start dev --layers L0,L1 --junit results.xml
  manage.py testrun start staging --json

A worker does it; where none is alive it is done here. Ctrl-C cancels it.
Exit status: 0 every layer passed, 1 one did not, 2 wrong use."""

EXPORT = """Print the results of a test run in a form that other tools read.

  manage.py testrun export 12 --format ctrf

Exit status: 0 well, 2 wrong use."""
PAGE = Path("docs/reference/layers.md")
STYLES = {Status.PASSED: "green", Status.FAILED: "bold red", Status.SKIPPED: "dim"}


class Command(BaseCommand):
    help = "Run the layered tests of an environment, and export what they said."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="COMMAND")
        start = _verb(verbs, "start", START)
        start.add_argument("environment", metavar="ENV", help="the environment, such as dev")
        start.add_argument("--layers", default="", metavar="L0,L1", help="only these; default: all")
        start.add_argument("--keep-going", action="store_true", help="go on above a layer that failed")
        start.add_argument("--junit", metavar="FILE", help="write the results as JUnit XML")
        start.add_argument("--as", dest="account", metavar="USER", help="the account that acts")
        start.add_argument("--json", action="store_true", help="print one JSON document, and nothing else")
        catalogue = _verb(verbs, "catalogue", "Print the page of the built-in cases.")
        catalogue.add_argument("--write", action="store_true", help=f"write it to {PAGE} instead")
        export = _verb(verbs, "export", EXPORT)
        export.add_argument("number", type=int, metavar="NUMBER", help="the test run")
        export.add_argument("--format", dest="form", choices=list(exporting.FORMS), default="junit")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            sys.exit(VERBS[options["verb"]](options))
        except FlowControlError as error:
            _say(f"[bold red]error:[/] {error.message}\n  {error.hint}")
            sys.exit(WRONG_USE)


def _verb(verbs: Any, name: str, text: str) -> CommandParser:
    summary, _, epilog = text.partition("\n\n")
    parser: CommandParser = verbs.add_parser(
        name, help=summary, description=summary, epilog=epilog, formatter_class=RawDescriptionHelpFormatter
    )
    return parser


def start_and_wait(options: dict[str, Any]) -> int:
    by = for_command(options["account"])
    environment = _environment(options["environment"])
    layers = options["layers"].split(",")
    run = start_testrun(by=by, environment=environment, layers=layers, keep_going=options["keep_going"])
    with _interrupts() as interrupted:
        told = _Teller(environment.slug, quiet=options["json"])
        cancel = threading.Thread(target=_cancel_when, args=(interrupted, run, by), daemon=True)
        cancel.start()
        run = wait(run, work=executor.execute, tell=told.tell, given_up=bool)
    if options["junit"]:
        write_atomic(Path(options["junit"]), exporting.export(run, "junit").text)
    if options["json"]:
        sys.stdout.write(json.dumps(document(run), ensure_ascii=False, indent=2) + "\n")
    told.end(run)
    return WELL if state_word(run) == Status.PASSED else BAD


def show_catalogue(options: dict[str, Any]) -> int:
    if options["write"]:
        (settings.BASE_DIR / PAGE).write_text(reference.render_page(), encoding="utf-8")
    else:
        sys.stdout.write(reference.render_page())
    return WELL


def print_export(options: dict[str, Any]) -> int:
    run = TestRun.objects.select_related("environment").filter(pk=options["number"]).first()
    if run is None:
        raise FlowControlError(f"There is no test run {options['number']}.", hint="The page Tests lists them.")
    sys.stdout.write(exporting.export(run, options["form"]).text)
    return WELL


VERBS = {"start": start_and_wait, "catalogue": show_catalogue, "export": print_export}


def _environment(slug: str) -> Environment:
    environment = Environment.objects.filter(slug=slug).first()
    if environment is None:
        known = ", ".join(Environment.objects.values_list("slug", flat=True))
        raise FlowControlError(f"There is no environment '{slug}'.", hint=f"There are: {known}.")
    return environment


# --- Ctrl-C ------------------------------------------------------------------------------------------


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


def _cancel_when(interrupted: threading.Event, run: TestRun, by: Any) -> None:
    from django.db import connection

    interrupted.wait()
    _say("cancelling …")
    try:
        cancel_testrun(by=by, run=TestRun.objects.select_related("environment").get(pk=run.pk))
    finally:
        connection.close()


# --- words -------------------------------------------------------------------------------------------


def _say(text: str) -> None:
    Console(stderr=True, highlight=False).print(text)


class _Teller:
    """Says each layer when it begins and when it has ended, with its failed cases."""

    def __init__(self, slug: str, *, quiet: bool) -> None:
        self._slug, self._quiet = slug, quiet
        self._told: set[tuple[str, str]] = set()
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)

    def tell(self, run: TestRun) -> None:
        for row in run.layer_results.all() if not self._quiet else ():
            if row.status == Status.QUEUED or (row.layer, row.status) in self._told:
                continue
            self._told.add((row.layer, row.status))
            self._layer(run, row)

    def _layer(self, run: TestRun, row: LayerResult) -> None:
        name = f"{row.layer} {layer_name(row.layer, self._slug)}"
        if row.status == Status.RUNNING:
            self._console.print(f"{name:16} {row.planned} case{'s'[: row.planned != 1]} …", style="dim")
            return
        counts = ", ".join(
            f"{number} {word}"
            for word in ("passed", "failed", "skipped", "flaky", "quarantined")
            if (number := getattr(row, word))
        )
        line = Text(f"{name:16} ").append(str(row.status), style=STYLES.get(Status(row.status), ""))
        self._console.print(line.append(f"  {counts or row.message}"))
        for case in run.case_results.filter(layer=row.layer, status=Status.FAILED).defer("output"):
            message = case.message.replace("\n", "\n      ")
            self._console.print(Text(f"    {case.title}: {message}", style="" if case.is_quarantined else "red"))

    def end(self, run: TestRun) -> None:
        self.tell(run)
        if not self._quiet:
            style = "bold green" if state_word(run) == Status.PASSED else "bold red"
            self._console.print(Text(f"{state_word(run)}: ", style=style).append(run.message, style=""))
