"""`manage.py snapshot …`: save the state of an environment, verify and restore it."""

from __future__ import annotations

import json
import sys
from argparse import RawDescriptionHelpFormatter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from rich.table import Table

from apps.accounts import policy
from apps.accounts.actors import for_command
from apps.common.errors import FlowControlError
from apps.environments.management.commands import _following as following
from apps.environments.models import Environment, Snapshot
from apps.environments.snapshots import manifest, places, pruning, restoring, saving, verifying
from apps.environments.snapshots.errors import SnapshotDamaged, SnapshotUnknown

WELL, BAD, WRONG_USE = 0, 1, 2  # exit statuses

SAVE = """Save the state of an environment: workspace, bridge, volumes and databases of its stack.

  manage.py snapshot save staging --reason "before the move" --json

It may be in use meanwhile; a service with a volume stands still while that is copied. Exit status: 0 saved, 2 not saved:
then nothing is left of it."""

LIST = """List the snapshots of an environment, the newest first.

  manage.py snapshot list staging

Exit status: 0 well, 2 wrong use."""

VERIFY = """Read all of a snapshot, and open each member.

  manage.py snapshot verify staging-20261126-021500-3fa9c1

It is named, or the path of its folder is. Exit status: 0 every byte is as it was saved, 1 one is not, and which member it
is in is said, 2 there is no such snapshot."""

RESTORE = """Bring the state of an environment back to a snapshot.

  manage.py snapshot restore staging-20261126-021500-3fa9c1
  manage.py snapshot restore staging-20261126-021500-3fa9c1 --to /tmp/look

What is there now is kept, and is said where. Jobs, audit and accounts are not rewound. Killed, it goes on where it was when
it is called again. Exit status: 0 restored, 1 the snapshot is damaged and nothing was changed, 2 not restored."""

PRUNE = """Remove old snapshots of an environment: kept is the newest of each hour, day and week.

  manage.py snapshot prune staging --daily 14 --dry-run

What a deployment names is kept, too. Exit status: 0 well, 2 wrong use."""


class Command(BaseCommand):
    help = "Save the state of an environment, verify and restore it."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="COMMAND")
        for name, text in (("save", SAVE), ("list", LIST), ("prune", PRUNE)):
            _verb(verbs, name, text).add_argument("environment", metavar="ENV", help="the environment, such as staging")
        for name, text in (("verify", VERIFY), ("restore", RESTORE)):
            _verb(verbs, name, text).add_argument("snapshot", metavar="ID", help="its name, or the path of its folder")
        verbs.choices["save"].add_argument("--reason", default="", help="why, for people")
        restore = verbs.choices["restore"]
        restore.add_argument("--to", default="", metavar="DIR", help="only unpack it into this new folder")
        restore.add_argument("--yes", action="store_true", help="do not ask first")
        restore.add_argument("--anew", action="store_true", help="forget a restore that was begun and has not ended")
        prune = verbs.choices["prune"]
        usual = pruning.Keep()
        for period, kept in asdict(usual).items():
            prune.add_argument(f"--{period}", type=_count, default=kept, metavar="N", help=f"default: {kept}")
        prune.add_argument("--dry-run", action="store_true", help="only say which")
        for each in verbs.choices.values():
            each.add_argument("--as", dest="account", metavar="USER", help="the account that acts")
            each.add_argument("--json", action="store_true", help="print one JSON document, and nothing else")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            sys.exit(VERBS[options["verb"]](options))
        except FlowControlError as error:
            if options["json"]:
                _print_json({"version": 1, "error": _error(error)})
            following.complain(error)
            sys.exit(BAD if isinstance(error, SnapshotDamaged) else WRONG_USE)


def _error(error: FlowControlError) -> dict[str, str]:
    told = {"code": error.code, "message": error.message, "hint": error.hint}
    return {**told, "member": error.member} if isinstance(error, SnapshotDamaged) else told


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError(text)
    return number


def _verb(verbs: Any, name: str, text: str) -> CommandParser:
    summary, _, epilog = text.partition("\n\n")
    parser: CommandParser = verbs.add_parser(
        name, help=summary, description=summary, epilog=epilog, formatter_class=RawDescriptionHelpFormatter
    )
    return parser


def _print_json(document: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=2) + "\n")


def _teller(options: dict[str, Any]) -> Callable[[str], None]:
    shown = following.console()
    return (lambda words: None) if options["json"] else (lambda words: shown.print(f"  {words}", style="dim"))


def save(options: dict[str, Any]) -> int:
    by, environment = for_command(options["account"]), _environment(options["environment"])
    made = saving.save(by=by, environment=environment, reason=options["reason"], progress=_teller(options))
    folder = places.folder() / made.name
    left_out = list(manifest.read(folder).left_out)
    if options["json"]:
        document = {"path": str(folder), "bytes": made.bytes, "members": made.members, "seconds": made.seconds}
        _print_json({"version": 1, "snapshot": made.name, **document, "left_out": left_out})
        return WELL
    shown = following.console()
    shown.print(f"{made.name}: {made.members} members, {_size(made.bytes)}, {made.seconds:.1f} s")
    for each in left_out:
        shown.print(f"  left out: {each}", style="yellow")
    return WELL


def show_list(options: dict[str, Any]) -> int:
    by, environment = for_command(options["account"]), _environment(options["environment"])
    policy.check(by, "environments.view", environment.slug)
    saving.adopt(environment)
    there = set(places.names(environment.slug))
    rows = list(Snapshot.objects.filter(environment=environment))
    if options["json"]:
        _print_json({"version": 1, "snapshots": [_described(row, row.name in there) for row in rows]})
        return WELL
    if not rows:
        following.console().print(f"There is none. Save one: `manage.py snapshot save {environment.slug}`")
        return WELL
    table = Table("snapshot", "saved", "by", "members", "size", "verified", "reason", box=None, pad_edge=False)
    for row in rows:
        numbers = (str(row.members), _size(row.bytes))
        words = _verified(row) if row.name in there else "its folder is gone"
        table.add_row(row.name, f"{row.created_at:%Y-%m-%d %H:%M}", row.created_by, *numbers, words, row.reason)
    following.console(stderr=False).print(table)
    return WELL


def _described(row: Snapshot, is_there: bool) -> dict[str, Any]:
    return {
        "snapshot": row.name,
        "path": str(places.folder() / row.name),
        "is_there": is_there,
        "saved_at": row.created_at.isoformat(),
        "saved_by": row.created_by,
        "reason": row.reason,
        "release": row.release,
        "deployment": row.deployment,
        "bytes": row.bytes,
        "members": row.members,
        "seconds": row.seconds,
        "verified_at": row.checked_at.isoformat() if row.checked_at else None,
        "damage": row.damage,
    }


def _verified(row: Snapshot) -> str:
    if row.checked_at is None:
        return "not yet"
    return row.damage or f"{row.checked_at:%Y-%m-%d %H:%M}"


def verify(options: dict[str, Any]) -> int:
    by = for_command(options["account"])
    folder, environment = _of_snapshot(options["snapshot"])
    policy.check(by, "environments.snapshot", environment.slug if environment else "")
    made = verifying.verify(folder, progress=_teller(options))
    if options["json"]:
        members = [{"name": each.name, "kind": each.kind, "bytes": each.bytes} for each in made.members]
        _print_json({"version": 1, "snapshot": made.snapshot, "ok": True, "bytes": made.bytes, "members": members})
    following.console().print(f"{made.snapshot}: all {len(made.members)} members are as they were saved.")
    return WELL


def restore(options: dict[str, Any]) -> int:
    by = for_command(options["account"])
    folder, environment = _of_snapshot(options["snapshot"])
    if environment is None:
        raise FlowControlError(
            f"There is no environment of {folder.name} here.", hint="Make it first: `manage.py environment add`."
        )
    if options["to"]:
        to = Path(options["to"]).expanduser().absolute()
        found = restoring.unpack(by=by, environment=environment, snapshot=options["snapshot"], to=to)
        if options["json"]:
            _print_json({"version": 1, "snapshot": folder.name, "to": str(to), "files": [each.name for each in found]})
        following.console().print(f"Unpacked into {to}; nothing else was touched.")
        return WELL
    if not options["yes"] and not _agrees(environment, folder.name):
        following.console().print("Nothing was changed.")
        return WRONG_USE
    done = restoring.restore(
        by=by,
        environment=environment,
        snapshot=options["snapshot"],
        anew=options["anew"],
        progress=_teller(options),
    )
    if options["json"]:
        _print_json({"version": 1, **asdict(done)})
        return WELL
    shown = following.console()
    shown.print(f"{environment.slug} is as it was in {done.snapshot}: {', '.join(done.members)}.")
    if done.stopped:
        shown.print(f"  stopped in this order, and started backwards: {', '.join(done.stopped)}")
    for member, kept in done.kept.items():
        shown.print(f"  kept until the next restore: {kept} (before {member})")
    if done.not_restored:
        shown.print(f"  not restored: {', '.join(done.not_restored)}", style="dim")
    return WELL


def _agrees(environment: Environment, name: str) -> bool:
    if not sys.stdin.isatty():
        raise FlowControlError("This has to be agreed to.", hint="Add --yes where nobody can be asked.")
    sys.stderr.write(f"The state of {environment.slug} goes back to {name}. Write its name to go on: ")
    sys.stderr.flush()
    return sys.stdin.readline().strip() == environment.slug


def prune(options: dict[str, Any]) -> int:
    by, environment = for_command(options["account"]), _environment(options["environment"])
    keep = pruning.Keep(options["hourly"], options["daily"], options["weekly"])
    gone = pruning.prune(by=by, environment=environment, keep=keep, dry_run=options["dry_run"])
    if options["json"]:
        _print_json({"version": 1, "environment": environment.slug, "removed": gone, "dry_run": options["dry_run"]})
        return WELL
    verb = "would go" if options["dry_run"] else "removed"
    following.console().print(f"{verb}: {', '.join(gone) or 'none'}")
    return WELL


VERBS = {"save": save, "list": show_list, "verify": verify, "restore": restore, "prune": prune}


def _of_snapshot(name: str) -> tuple[Path, Environment | None]:
    """The folder of a snapshot, and whose it is as its name says; what its manifest says is asked when it is verified."""
    folder = verifying.locate(name)
    slug = places.slug_of(folder.resolve().name)
    if not slug:
        raise SnapshotUnknown(
            f"{folder} is no folder of a snapshot.", hint="A snapshot keeps the name that it was given."
        )
    return folder, Environment.objects.filter(slug=slug).first()


def _environment(slug: str) -> Environment:
    found = Environment.objects.filter(slug=slug).first()
    if found is None:
        known = ", ".join(Environment.objects.values_list("slug", flat=True))
        raise FlowControlError(f"There is no environment '{slug}'.", hint=f"There are: {known}.")
    return found


def _size(count: int) -> str:
    number = float(count)
    for unit in ("bytes", "KiB", "MiB"):
        if number < 1024:
            return f"{number:.0f} {unit}" if unit == "bytes" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} GiB"
