"""`manage.py flow …`: all commands on flows. Those on files are dispatched before Django (manage.py) and only listed here."""

from __future__ import annotations

import json
import signal
import sys
import threading
from argparse import REMAINDER, RawDescriptionHelpFormatter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import connection

from apps.accounts.actors import for_command
from apps.common.errors import FlowControlError
from apps.engine import cli, cli_commands, cli_text
from apps.engine.spec import RunOutcome
from apps.environments.models import Environment
from apps.flows.actions import FlowInvalid, save_version
from apps.flows.checked import check_text
from apps.flows.models import Flow, FlowVersion
from apps.jobs import workers
from apps.jobs.states import State
from apps.runs.actions import FlowArchived, ParamsInvalid, cancel_run, start_run
from apps.runs.document import document, error_of, refused
from apps.runs.models import Run
from apps.runs.queries import version_in
from apps.runs.waiting import wait

RUN = """Run a saved flow in an environment, by its workers.

  manage.py flow run daily_revenue --env dev --wait
  manage.py flow run daily_revenue --param since=2026-01-01 --json

With --wait it is done here where no worker is alive. A FILE with --workspace runs without the portal instead.
Exit status: 0 it succeeded (or, without --wait, is in line), 1 it failed or was cancelled, 2 wrong use."""

PUSH = """Save flow files as versions. A text that is current already changes nothing.

  manage.py flow push flows/
  manage.py flow push daily.flow --note "Count refunds" --json

Each file is saved on top of the version that is current now. Exit status: 0 all are saved, 1 one was refused, 2 wrong use."""


class UsageError(FlowControlError):
    """The command was used wrongly."""


class Command(BaseCommand):
    help = "Check, run, test, format, draw and save flows."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="COMMAND")
        for name, text in (("check", cli_text.CHECK), ("test", cli_text.TEST), ("format", cli_text.FORMAT)):
            _verb(verbs, name, text).add_argument("rest", nargs=REMAINDER, metavar="FILE …")
        _verb(verbs, "graph", cli_text.GRAPH).add_argument("rest", nargs=REMAINDER, metavar="FILE")
        run = _verb(verbs, "run", RUN)
        run.add_argument("name", metavar="NAME", help="the flow, as its text names it")
        run.add_argument("--env", default="dev", metavar="SLUG", help="the environment; default: dev")
        run.add_argument("--wait", action="store_true", help="stay until it has ended")
        run.add_argument("--param", action="append", default=[], metavar="NAME=VALUE", help="may be repeated")
        push = _verb(verbs, "push", PUSH)
        push.add_argument("files", nargs="+", metavar="FILE|DIR")
        push.add_argument("--note", default="", help="what changed, in a few words")
        for each in (run, push):
            each.add_argument("--as", dest="account", metavar="USER", help="the account that acts")
            each.add_argument("--json", action="store_true", help="print one JSON document, and nothing else")

    def handle(self, *args: Any, **options: Any) -> None:
        verb = options["verb"]
        if verb not in ("run", "push"):
            sys.exit(cli.main([verb, *options["rest"]]))
        try:
            sys.exit(run_flow(options) if verb == "run" else push_files(options))
        except FlowControlError as error:
            if options["json"] and isinstance(error, ParamsInvalid | FlowArchived):
                _print_json(refused(error))
            cli_text.say_error(error.message, error.hint)
            sys.exit(cli.WRONG_USE)


def _verb(verbs: Any, name: str, text: str) -> CommandParser:
    summary, _, epilog = text.partition("\n\n")
    parser: CommandParser = verbs.add_parser(
        name, help=summary, description=summary, epilog=epilog, formatter_class=RawDescriptionHelpFormatter
    )
    return parser


def _print_json(found: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(found, ensure_ascii=False, indent=2) + "\n")
    sys.stdout.flush()


# --- run -------------------------------------------------------------------------------------


def run_flow(options: dict[str, Any]) -> int:
    by = for_command(options["account"])
    environment = _environment(options["env"])
    current = _current(options["name"])
    version = version_in(current.flow, environment) or current
    run = start_run(by=by, version=version, environment=environment, params=_params(options["param"]))
    if options["wait"]:
        run = _wait(run, by, quiet=options["json"])
    elif not workers.alive(environment.queue):
        cli_text.say(workers.no_worker_for(run))
    if options["json"]:
        _print_json(document(run))
    _say(run, version, quiet=options["json"])
    if not run.is_final:
        return cli.BAD if options["wait"] else cli.WELL
    return cli.WELL if run.state == State.SUCCEEDED else cli.BAD


def _current(name: str) -> FlowVersion:
    flow = Flow.objects.select_related("current__flow").filter(name=name).first()
    if flow is None or flow.current is None:
        known = ", ".join(
            Flow.objects.filter(archived_at__isnull=True).order_by("name").values_list("name", flat=True)[:20]
        )
        hint = f"There are: {known}." if known else "Save one first: manage.py flow push FILE."
        raise UsageError(f"There is no flow '{name}'.", hint=hint)
    return flow.current


def _environment(slug: str) -> Environment:
    environment = Environment.objects.filter(slug=slug).first()
    if environment is None:
        known = ", ".join(Environment.objects.values_list("slug", flat=True))
        raise UsageError(f"There is no environment '{slug}'.", hint=f"There are: {known}.")
    return environment


def _params(given: list[str]) -> dict[str, str]:
    values = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"--param {each}: a name, '=' and a value are expected.", hint="Like --param region=EU")
        values[name.strip()] = value
    return values


def _wait(run: Run, by: Any, *, quiet: bool) -> Run:
    def tell(changed: Run) -> None:
        if not quiet:
            cli_text.say(f"run {changed.pk}: {changed.display_state} {changed.message}".rstrip())

    with _interruptible(run, by) as given_up:
        if not workers.alive(run.queue) and not quiet:
            cli_text.say("No worker is alive, so the run is done here.")
        return wait(run, tell=tell, given_up=given_up.is_set)


@contextmanager
def _interruptible(run: Run, by: Any) -> Iterator[threading.Event]:
    """Ctrl-C cancels the run; a second one stops waiting for that."""
    given_up = threading.Event()
    asked: list[threading.Thread] = []

    def cancel() -> None:
        try:
            cancel_run(by=by, run=Run.objects.select_related("environment").get(pk=run.pk))
        except FlowControlError as error:
            cli_text.say_error(error.message, error.hint)
            given_up.set()
        finally:
            connection.close()

    def stop(_number: int, _frame: FrameType | None) -> None:
        if asked:
            given_up.set()
            raise KeyboardInterrupt
        cli_text.say("Cancelling … (press again to stop waiting)")
        asked.append(threading.Thread(target=cancel, name="cancel"))
        asked[0].start()

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield given_up
    finally:
        signal.signal(signal.SIGINT, before)


def _say(run: Run, version: FlowVersion, *, quiet: bool) -> None:
    if not run.is_final:
        if not quiet:
            sys.stdout.write(f"run {run.pk} is {run.display_state}\n")
        return
    found = document(run)
    steps = [{**each, "kind": "step"} for each in found["steps"]]
    error = None if run.state == State.CANCELLED else error_of(run)
    outcome = RunOutcome(found["status"], run.seconds or 0.0, error, steps, found["outputs"], found["checks"])
    cli_text.show_outcome(outcome, Path(f"{version.flow.name}.flow"), version.text, quiet=quiet)
    if run.state == State.CANCELLED:
        cli_text.say(run.message)


# --- push --------------------------------------------------------------------------------------


def push_files(options: dict[str, Any]) -> int:
    """Save each file; one that is refused does not keep the others from being saved."""
    by = for_command(options["account"])
    found = [
        _push(by, path, options["note"], quiet=options["json"]) for path in cli_commands.flow_files(options["files"])
    ]
    if options["json"]:
        _print_json({"version": 1, "files": found})
    return cli.WELL if all(each["ok"] for each in found) else cli.BAD


def _push(by: Any, path: Path, note: str, *, quiet: bool) -> dict[str, Any]:
    entry: dict[str, Any] = {"path": str(path), "ok": False, "flow": None, "number": None, "saved": False}
    data = _read(path)
    try:
        checked = check_text(data)
        head = Flow.objects.filter(name=checked.plan.name).values_list("current__sha256", flat=True).first()
        version = save_version(by=by, text=checked.text, base_sha256=head, note=note)
    except FlowInvalid as error:
        if not quiet:
            cli_text.show_diagnostics(path, data.decode("utf-8", "replace"), error.diagnostics)
        return {**entry, "diagnostics": [each.to_json() for each in error.diagnostics]}
    saved = version.sha256 != head
    if not quiet:
        word = "saved" if saved else "unchanged"
        sys.stdout.write(f"{word}  {version.flow.name} v{version.number}  {path}\n")
    return {
        **entry,
        "ok": True,
        "flow": version.flow.name,
        "number": version.number,
        "sha256": version.sha256,
        "saved": saved,
        "diagnostics": [each.to_json() for each in checked.warnings],
    }


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(cli_commands.FILE_LIMIT)
    except OSError as error:
        raise UsageError(
            f"'{path}' cannot be read: {error.strerror}.", hint="See its rights and what it is."
        ) from error
