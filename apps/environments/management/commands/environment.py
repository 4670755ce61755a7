"""`manage.py environment …`: make environments, bring their stacks up and down, see how they are."""

from __future__ import annotations

import json
import sys
from argparse import RawDescriptionHelpFormatter
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from rich.table import Table
from rich.text import Text

from apps.accounts.actors import for_command
from apps.common.errors import FlowControlError
from apps.environments import actions, executor, handover, looking, queries, showing
from apps.environments.management.commands import _following as following
from apps.environments.management.commands import _variables
from apps.environments.models import Environment, StackJob
from apps.environments.stages import stack
from apps.jobs.states import State

WELL, BAD, WRONG_USE = 0, 1, 2  # exit statuses
LOG_LINES = 100

ADD = """Make an environment.

  manage.py environment add staging
  manage.py environment add shop --compose shop/compose.yaml --after staging
  manage.py environment add eu --compose shop/compose.yaml --engine ssh://deploy@eu.example.org

Without --compose it deploys Flow Control's own stack. Exit status: 0 made, 2 it cannot be made so."""

UP = """Bring the stack of an environment to what its files say, stage by stage.

  manage.py environment up dev
  manage.py environment up staging --json

It can be run again at any time: what is up to date is left alone, and one that was killed halfway goes on. A worker with
Docker does it; where none is alive it is done here. Ctrl-C cancels it. Exit status: 0 every stage succeeded, 1 one did
not, 2 wrong use."""

DOWN = """Stop and remove the containers of an environment. Its volumes stay, and are named.

  manage.py environment down dev

Exit status: 0 nothing is left running, 1 something is, 2 wrong use."""

STATUS = """Say how the stack of an environment is, as the engine has it now.

  manage.py environment status dev --json

Exit status: 0 every service is well, 1 one is not or none is there, 2 wrong use."""

LOGS = """Print the last lines of the containers of an environment.

  manage.py environment logs staging worker --lines 200

Exit status: 0 well, 2 wrong use."""


CHANGE = """Say how releases come into an environment.

  manage.py environment change production --watch-seconds 300 --approval yes

Exit status: 0 changed, 2 it cannot be."""


ADOPT = """Keep the record of a change that was done from outside of this stack; it comes on standard input.

`environment up` calls it in the stack that it has brought up, and names who asked for the change: whoever may start a
program in the portal's container is trusted to say so. Exit status: 0 kept, 2 it is no such record."""


class Command(BaseCommand):
    help = "Make environments, bring their stacks up and down, see how they are."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="COMMAND")
        add = _verb(verbs, "add", ADD)
        add.add_argument("environment", metavar="NAME", help="small letters, digits and dashes")
        add.add_argument("--name", default="", help="as people call it")
        add.add_argument("--compose", default="", metavar="FILE", help="the compose file that it deploys")
        add.add_argument(
            "--engine", default="", metavar="URL", help="ssh://user@host or tcp://host:2376; default: here"
        )
        add.add_argument("--certificates", default="", metavar="DIR", help="of an engine over tcp: ca, cert, key")
        add.add_argument("--project", default="", metavar="NAME", help="of compose; default: flow-control-NAME")
        add.add_argument("--after", default="", metavar="ENV", help="releases come from there")
        change = _verb(verbs, "change", CHANGE)
        change.add_argument("environment", metavar="ENV", help="the environment, such as production")
        change.add_argument("--watch-seconds", type=int, metavar="N", help="how long a new release is watched")
        change.add_argument("--approval", choices=("yes", "no"), help="whether a second person has to agree")
        _verb(verbs, "list", "List the environments.")
        _verb(verbs, "adopt", ADOPT)
        for name, text in (("up", UP), ("down", DOWN), ("status", STATUS), ("logs", LOGS)):
            _verb(verbs, name, text).add_argument("environment", metavar="ENV", help="the environment, such as dev")
        logs = verbs.choices["logs"]
        logs.add_argument("services", nargs="*", metavar="SERVICE", help="only of these")
        logs.add_argument("--lines", type=int, default=LOG_LINES, help=f"of each; default: {LOG_LINES}")
        for each in verbs.choices.values():
            each.add_argument("--as", dest="account", metavar="USER", help="the account that acts")
            each.add_argument("--json", action="store_true", help="print one JSON document, and nothing else")
        _variables.add_arguments(verbs)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            sys.exit(VERBS[options["verb"]](options))
        except FlowControlError as error:
            if options["json"]:
                _print_json({"version": 1, "error": {"code": error.code, "message": error.message, "hint": error.hint}})
            following.complain(error)
            sys.exit(WRONG_USE)


def _verb(verbs: Any, name: str, text: str) -> CommandParser:
    summary, _, epilog = text.partition("\n\n")
    parser: CommandParser = verbs.add_parser(
        name, help=summary, description=summary, epilog=epilog, formatter_class=RawDescriptionHelpFormatter
    )
    return parser


def _print_json(document: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=2) + "\n")


# --- environments ------------------------------------------------------------------------------------


def add(options: dict[str, Any]) -> int:
    after = _environment(options["after"]) if options["after"] else None
    made = actions.add_environment(
        by=for_command(options["account"]),
        slug=options["environment"],
        name=options["name"],
        compose_file=options["compose"],
        engine_url=options["engine"],
        engine_certificates=options["certificates"],
        project=options["project"],
        after=after,
    )
    if options["json"]:
        _print_json({"version": 1, **showing.described(made)})
    following.console().print(f"made. Next: `manage.py environment up {made.slug}`", highlight=False)
    return WELL


def change(options: dict[str, Any]) -> int:
    changed = actions.change_environment(
        by=for_command(options["account"]),
        environment=_environment(options["environment"]),
        watch_seconds=options["watch_seconds"],
        needs_approval=None if options["approval"] is None else options["approval"] == "yes",
    )
    if options["json"]:
        _print_json({"version": 1, **showing.described(changed)})
    agree = "a second person has to agree" if changed.needs_approval else "nobody else has to agree"
    said = f"A release into {changed.slug} is watched for {changed.watch_seconds} s; {agree}."
    following.console().print(said, highlight=False)
    return WELL


def show_list(options: dict[str, Any]) -> int:
    found = list(Environment.objects.select_related("after"))
    if options["json"]:
        _print_json({"version": 1, "environments": [showing.described(each) for each in found]})
        return WELL
    table = Table("environment", "after", "deploys", "engine", "last change", box=None, pad_edge=False)
    jobs = queries.last_jobs(found)
    for each in found:
        job = jobs.get(each.pk)
        last = f"{job.action} {job.display_state}" if job else "none"
        after, own = each.after.slug if each.after else "", each.compose_file or "Flow Control"
        table.add_row(each.slug, after, own, each.engine_url or "this machine", last)
    following.console(stderr=False).print(table)
    return WELL


# --- stacks ------------------------------------------------------------------------------------------


def up(options: dict[str, Any]) -> int:
    return _change(options, StackJob.Action.UP)


def down(options: dict[str, Any]) -> int:
    return _change(options, StackJob.Action.DOWN)


def _change(options: dict[str, Any], action: str) -> int:
    by = for_command(options["account"])
    environment = actions.ensure_environment(by=by, slug=options["environment"])
    try:
        terminal = stack.from_terminal(environment)
        job = actions.change_stack(by=by, environment=environment, action=action, settings=terminal)
    except actions.StackBusy as busy:
        if busy.job.action != action:
            raise
        job = busy.job  # one that was begun before, here or elsewhere: go on with it
    job = following.follow(
        job,
        title=f"{environment.slug} {action}",
        cancel=lambda: actions.cancel(by=by, job=StackJob.objects.select_related("environment").get(pk=job.pk)),
        work=executor.execute,
        quiet=options["json"],
    )
    if options["json"]:
        _print_json(showing.document(job))
    elif job.state == State.SUCCEEDED and action == StackJob.Action.UP:
        following.greet(job)
    return WELL if job.state == State.SUCCEEDED else BAD


def status(options: dict[str, Any]) -> int:
    environment = _environment(options["environment"])
    found = looking.services(environment)
    well = bool(found) and all(showing.is_well(each) for each in found)
    if options["json"]:
        _print_json(showing.services(environment, found))
        return WELL if well else BAD
    if not found:
        start = f"Start it: `manage.py environment up {environment.slug}`"
        following.console().print(f"Nothing of {environment.slug} is there. {start}")
        return BAD
    table = Table("service", "state", "published", "container", box=None, pad_edge=False)
    for each in found:
        words = Text(showing.words(each), style="green" if showing.is_well(each) else "bold red")
        ports = ", ".join(sorted({str(port.host_port) for port in each.published}))
        table.add_row(each.service, words, ports, each.name)
    following.console(stderr=False).print(table)
    return WELL if well else BAD


def logs(options: dict[str, Any]) -> int:
    environment = _environment(options["environment"])
    by = for_command(options["account"])
    text = looking.logs(by=by, environment=environment, services=options["services"], lines=max(1, options["lines"]))
    if options["json"]:
        _print_json({"version": 1, "environment": environment.slug, "lines": text.splitlines()})
    else:
        sys.stdout.write(text)
    return WELL


def adopt(options: dict[str, Any]) -> int:
    try:
        told = json.load(sys.stdin)
    except ValueError as error:
        raise handover.RecordInvalid(f"Standard input is no JSON document: {error}.") from error
    job = handover.adopt(told)
    if options["json"]:
        _print_json({"version": 1, "job": job.pk, "origin": job.origin})
    return WELL


VERBS = {
    "add": add,
    "change": change,
    "adopt": adopt,
    "list": show_list,
    "up": up,
    "down": down,
    "status": status,
    "logs": logs,
    **_variables.VERBS,
}


def _environment(slug: str) -> Environment:
    environment = Environment.objects.select_related("after").filter(slug=slug).first()
    if environment is None:
        known = ", ".join(Environment.objects.values_list("slug", flat=True))
        raise FlowControlError(f"There is no environment '{slug}'.", hint=f"There are: {known}.")
    return environment
