"""`manage.py audit …`: check the record, look at it, take it out."""

import json
import re
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from apps.accounts import actors, policy
from apps.accounts.console import BAD, WELL, WRONG_USE, add_account, add_json, print_json, print_rows, run, say
from apps.audit import queries
from apps.audit.verify import Known, verify


class Command(BaseCommand):
    help = "The record of who did what: is it as it was written? What is in it?"

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="COMMAND")
        check = verbs.add_parser("verify", help="walk the whole chain; exit status 1 when it was changed")
        check.add_argument("--known", metavar="SEQ:DIGEST", help="an event that `audit head` printed before")
        check.set_defaults(act=verify_chain)
        head = verbs.add_parser("head", help="the newest event's number and digest, to be kept elsewhere")
        head.set_defaults(act=show_head)
        show = verbs.add_parser("list", help="events, the newest first")
        show.add_argument("--limit", type=int, default=50, metavar="N", help="at most so many; default: 50")
        show.set_defaults(act=list_events)
        export = verbs.add_parser("export", help="all events as JSON Lines, the oldest first")
        export.add_argument("--after", type=int, default=0, metavar="SEQ", help="only those after this number")
        export.set_defaults(act=export_events)
        for each in (show, export):
            each.add_argument("--kind", default="", help="such as run.start; `run.` is all that begins so")
            each.add_argument("--actor", default="")
            each.add_argument("--target", default="", help="such as run:12")
            each.add_argument("--env", default="", metavar="SLUG")
            add_account(each)
        for each in (check, head, show):
            add_json(each)

    def handle(self, *args: Any, **options: Any) -> None:
        run(options["act"], options)


def verify_chain(options: dict[str, Any]) -> int:
    """Anybody who may start commands here may ask: the answer holds nothing of what the events tell."""
    known = None
    if options["known"]:
        parts = re.fullmatch(r"([1-9][0-9]{0,17}):([0-9a-f]{64})", options["known"])
        if parts is None:
            say("--known takes the number and the digest of an event.", "Write them as `audit head` prints them.")
            return WRONG_USE
        known = Known(int(parts[1]), parts[2])
    found = verify(known)
    if options["json"]:
        print_json({"ok": found.ok, "events": found.events, "first_bad": found.first_bad, "message": found.message})
    else:
        say(found.message, "" if found.ok else "docs/explanation/audit.md says what to do now.")
    return WELL if found.ok else BAD


def show_head(options: dict[str, Any]) -> int:
    head = queries.head()
    if head is None:
        say("The head row is gone.", "Run `manage.py audit verify`.")
        return BAD
    if options["json"]:
        print_json({"seq": head.seq, "digest": head.digest})
    elif head.seq:
        sys.stdout.write(f"{head.seq}:{head.digest}\n")
    else:
        say("No event has been written yet.")
    return WELL


def list_events(options: dict[str, Any]) -> int:
    events = _asked(options)[: max(0, options["limit"])]
    if options["json"]:
        print_json({"events": [queries.exported(each) for each in events]})
        return WELL
    rows = [
        (str(each.seq), f"{each.at:%Y-%m-%d %H:%M:%S}", each.actor, each.kind, each.target, each.environment)
        for each in events
    ]
    print_rows(("SEQ", "AT (UTC)", "ACTOR", "KIND", "TARGET", "ENVIRONMENT"), rows)
    return WELL


def export_events(options: dict[str, Any]) -> int:
    for event in queries.oldest_first(_asked(options)):
        sys.stdout.write(json.dumps(queries.exported(event), ensure_ascii=False) + "\n")
    return WELL


def _asked(options: dict[str, Any]) -> Any:
    policy.check(actors.for_command(options["account"]), "audit.view")
    return queries.events(
        kind=options["kind"],
        actor=options["actor"],
        target=options["target"],
        environment=options["env"],
        after=options.get("after", 0),
    )
