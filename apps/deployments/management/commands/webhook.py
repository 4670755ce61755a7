"""`manage.py webhook …`: hooks that come in, notices that go out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from rich.table import Table

from apps.accounts import policy
from apps.accounts.actors import for_command
from apps.deployments.hooks import actions, fetching, notices, showing
from apps.deployments.hooks.models import Delivery, Fetch, HookSource, HookTarget, Notice
from apps.deployments.management.commands import _speaking as speaking
from apps.environments.management.commands import _following as following
from apps.jobs import waiting

LIST = """Say which hooks are taken, who is told of deployments, and how the last of each went.

  manage.py webhook list --json

Exit status: 0 well, 2 wrong use or refused."""

ADD = """Take the hooks of a repository, or tell an address of deployments.

  manage.py webhook add in shop-main --environment staging --provider github --repository https://github.com/acme/shop.git --branch staging
  manage.py webhook add out chat --environment staging --url https://chat.example.org/hooks/1

The secret is one of the environment's, by its name. Where there is none of that name it is made, and printed once. Exit
status: 0 added, 2 wrong use or refused."""

CHANGE = """Switch a hook on or off, or sign with another secret of the environment.

  manage.py webhook change in shop-main --off
  manage.py webhook change out chat --secret HOOK_NEW --also HOOK_CHAT

With --also both secrets count, until it is changed again. Exit status: 0 changed, 2 wrong use or refused."""

DELIVERIES = """List what came in, or with `out` what went out, the newest first.

  manage.py webhook deliveries in shop-main
  manage.py webhook deliveries out --limit 5 --json

Exit status: 0 well, 2 wrong use or refused."""

REDELIVER = """Do what a hook asked for once more, or send a notice once more.

  manage.py webhook redeliver in 12 --wait
  manage.py webhook redeliver out 7

With --wait the command stays until the fetch, or the first try to send, has ended; it does the work itself where no worker
is alive. Exit status: 0 well (or in line), 1 it failed, 2 wrong use or refused."""

TEST = """Send a message of the type `test` to a target, and wait for its first answer.

  manage.py webhook test chat

Exit status: 0 it was taken, 1 it was not, 2 wrong use or refused."""


class Command(BaseCommand):
    help = "Webhooks: take them, tell others, see what came and went."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="COMMAND")
        speaking.verb(verbs, "list", LIST)
        self._add(speaking.verb(verbs, "add", ADD))
        change = speaking.verb(verbs, "change", CHANGE)
        change.add_argument("way", choices=("in", "out"))
        change.add_argument("name", metavar="NAME")
        which = change.add_mutually_exclusive_group(required=True)
        which.add_argument("--on", action="store_true")
        which.add_argument("--off", action="store_true")
        which.add_argument("--secret", default="", metavar="NAME", help="of the environment")
        change.add_argument("--also", default="", metavar="NAME", help="the secret before, which still counts")
        deliveries = speaking.verb(verbs, "deliveries", DELIVERIES)
        deliveries.add_argument("way", choices=("in", "out"))
        deliveries.add_argument("name", nargs="?", default="", metavar="NAME")
        deliveries.add_argument("--limit", type=int, default=20, metavar="NUMBER")
        redeliver = speaking.verb(verbs, "redeliver", REDELIVER)
        redeliver.add_argument("way", choices=("in", "out"))
        redeliver.add_argument("number", type=int, metavar="NUMBER")
        redeliver.add_argument("--wait", action="store_true", help="stay until it has ended")
        speaking.verb(verbs, "test", TEST).add_argument("name", metavar="NAME", help="of a target")
        speaking.add_common(verbs)

    def _add(self, parser: CommandParser) -> None:
        parser.add_argument("way", choices=("in", "out"))
        parser.add_argument("name", metavar="NAME", help="small letters, digits and dashes: shop-main")
        parser.add_argument("--environment", required=True, metavar="ENV")
        parser.add_argument("--secret", default="", metavar="NAME", help="of the environment; when empty HOOK_<NAME>")
        parser.add_argument("--events", default="", metavar="WORDS", help="apart by commas")
        parser.add_argument("--provider", default="github", choices=HookSource.Provider.values, help="in")
        parser.add_argument("--repository", default="", metavar="URL", help="in: what is fetched")
        parser.add_argument("--branch", default="main", help="in")
        parser.add_argument("--compose", default="compose.yaml", metavar="PATH", help="in: the file in the repository")
        parser.add_argument("--credential", default="", metavar="NAME", help="in: a secret that opens the repository")
        parser.add_argument("--url", default="", help="out")
        parser.add_argument("--internal", action="store_true", help="out: its address may be a private one")

    def handle(self, *args: Any, **options: Any) -> None:
        speaking.answer(VERBS[options["verb"]], options)


def show_list(options: dict[str, Any]) -> int:
    _check(options)
    sources = [showing.source(each) for each in HookSource.objects.select_related("environment")]
    targets = [showing.target(each) for each in HookTarget.objects.select_related("environment")]
    if options["json"]:
        speaking.print_json({"version": 1, "port": settings.WEBHOOK_PORT, "sources": sources, "targets": targets})
        return speaking.WELL
    table = Table("", "name", "environment", "what", "state", "last", box=None, pad_edge=False)
    for each in sources:
        what = f"{each['repository']} {each['branch']}"
        last = f"{each['last']['verdict']} {each['last']['received_at'][:19]}" if each["last"] else ""
        table.add_row("in", each["name"], each["environment"], what, _on(each), last)
    for each in targets:
        last = each["last"]["status"] if each["last"] else ""
        table.add_row("out", each["name"], each["environment"], each["url"], _on(each), last)
    following.console(stderr=False).print(table)
    return speaking.WELL


def _on(shown: dict[str, Any]) -> str:
    return "on" if shown["enabled"] else "off"


def add(options: dict[str, Any]) -> int:
    by, environment = for_command(options["account"]), speaking.environment(options["environment"])
    events = [each.strip() for each in options["events"].split(",") if each.strip()]
    common = {"by": by, "name": options["name"], "environment": environment, "secret": options["secret"]}
    common |= {"events": events} if events else {}
    if options["way"] == "in":
        source, value = actions.add_source(
            **common,
            provider=options["provider"],
            repository=options["repository"],
            branch=options["branch"],
            compose_path=options["compose"],
            credential=options["credential"],
        )
        shown, where = showing.source(source), f"Send its hooks to port {settings.WEBHOOK_PORT}, {source.path}."
    else:
        target, value = actions.add_target(**common, url=options["url"], internal=options["internal"])
        shown, where = showing.target(target), f"It is told of deployments into {environment.slug}."
    if options["json"]:
        speaking.print_json({"version": 1, **shown, "secret": value or None})
        return speaking.WELL
    console = following.console(stderr=False)
    console.print(where)
    if value:  # not through the console, which masks: this is the one time that it is shown
        print(f"Its secret, which is not shown again: {value}")  # noqa: T201
    return speaking.WELL


def change(options: dict[str, Any]) -> int:
    by, hook = for_command(options["account"]), _hook(options["way"], options["name"])
    if options["secret"]:
        actions.change_secret(by=by, hook=hook, secret=options["secret"], old_secret=options["also"])
    else:
        actions.switch(by=by, hook=hook, on=options["on"])
    hook.refresh_from_db()
    if options["json"]:
        shown = showing.source(hook) if isinstance(hook, HookSource) else showing.target(hook)
        speaking.print_json({"version": 1, **shown})
    return speaking.WELL


def deliveries(options: dict[str, Any]) -> int:
    _check(options)
    limit = max(1, min(options["limit"], 1000))
    if options["way"] == "in":
        rows = Delivery.objects.select_related("source").order_by("-id")
        rows = rows.filter(source_id=_hook("in", options["name"]).pk) if options["name"] else rows
        shown = [showing.delivery(each) for each in rows[:limit]]
    else:
        sent = Notice.objects.select_related("target").order_by("-id")
        sent = sent.filter(target_id=_hook("out", options["name"]).pk) if options["name"] else sent
        shown = [showing.notice(each) for each in sent[:limit]]
    if options["json"]:
        speaking.print_json({"version": 1, "deliveries": shown})
        return speaking.WELL
    names = (
        ("delivery", "source", "received_at", "event", "verdict", "count", "message")
        if options["way"] == "in"
        else ("notice", "target", "event", "status", "message")
    )
    table = Table(*names, box=None, pad_edge=False)
    for each in shown:
        table.add_row(*(str(each[name]) for name in names))
    following.console(stderr=False).print(table)
    return speaking.WELL


def redeliver(options: dict[str, Any]) -> int:
    by = for_command(options["account"])
    if options["way"] == "in":
        delivery = _found(Delivery.objects.select_related("source__environment"), options["number"], "delivery")
        made = actions.redeliver(by=by, delivery=delivery)
        assert made.fetch is not None
        job = made.fetch
        if options["wait"]:
            job = waiting.wait(job, work=fetching.execute, tell=lambda row: None, given_up=lambda: False)
        job = Fetch.objects.get(pk=job.pk)
        return _said(options, {**showing.delivery(made), "started": showing.fetch(job)}, job)
    notice = _found(Notice.objects.select_related("target__environment"), options["number"], "notice")
    return _send(actions.resend(by=by, notice=notice), options, waits=options["wait"])


def test(options: dict[str, Any]) -> int:
    target = _hook("out", options["name"])
    assert isinstance(target, HookTarget)
    return _send(actions.test(by=for_command(options["account"]), target=target), options, waits=True)


def _send(notice: Notice, options: dict[str, Any], *, waits: bool) -> int:
    if waits:
        waiting.wait(notice, work=notices.execute, tell=lambda row: None, given_up=lambda: bool(notice.tries))
    notice.refresh_from_db()
    return _said(options, showing.notice(notice), notice)


def _said(options: dict[str, Any], shown: dict[str, Any], job: Fetch | Notice) -> int:
    if options["json"]:
        speaking.print_json({"version": 1, **shown})
    else:
        following.console().print(f"{job} is {job.display_state}. {job.message}")
    well = job.state == "succeeded" or (job.state == "queued" and not getattr(job, "tries", None))
    return speaking.WELL if well else speaking.BAD


def _check(options: dict[str, Any]) -> None:
    policy.check(for_command(options["account"]), "hooks.view")


def _hook(way: str, name: str) -> HookSource | HookTarget:
    rows: Any = HookSource.objects if way == "in" else HookTarget.objects
    found: HookSource | HookTarget | None = rows.select_related("environment").filter(name=name).first()
    if found is None:
        known = ", ".join(rows.values_list("name", flat=True))
        raise speaking.Unknown(f"There is no hook '{name}'.", hint=f"There are: {known or 'none'}.")
    return found


def _found(rows: Any, number: int, what: str) -> Any:
    found = rows.filter(pk=number).first()
    if found is None:
        raise speaking.Unknown(f"There is no {what} {number}.", hint="See `manage.py webhook deliveries`.")
    return found


VERBS: dict[str, Callable[[dict[str, Any]], int]] = {
    "list": show_list,
    "add": add,
    "change": change,
    "deliveries": deliveries,
    "redeliver": redeliver,
    "test": test,
}
