"""`manage.py deployment …`: plan, deploy, approve, watch, take back."""

from __future__ import annotations

import getpass
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from rich.table import Table
from rich.text import Text

from apps.accounts.actors import by_password, for_command
from apps.deployments import actions, executor, gate, plans, queries, showing
from apps.deployments.management.commands import _speaking as speaking
from apps.deployments.models import Deployment, Release
from apps.environments.management.commands import _following as following
from apps.environments.models import Environment
from apps.environments.stages import stack
from apps.jobs.states import State

PLAN = """Say what deploying a release would change, and whether its gate is open. Nothing is changed.

  manage.py deployment plan shop --release r4

Exit status: 0 it may be deployed, 1 the gate is shut, 2 wrong use."""

START = """Deploy a release into an environment: the one that serves in the environment before it, or a named one.

  manage.py deployment start shop
  manage.py deployment start shop --release r4 --wait --json

With --wait the command stays until it has ended, and does the work itself where no worker with Docker is alive. What turns
out bad is taken back. Exit status: 0 it serves (or is in line), 1 it does not, 2 wrong use or refused."""

STATUS = """Say what serves in an environment, and how its last deployment went.

  manage.py deployment status shop --json

Exit status: 0 well, 1 the last one failed, 2 wrong use."""

ROLLBACK = """Deploy the release that served before, or a named one that has served. It needs no gate, and pins the environment.

  manage.py deployment rollback shop
  manage.py deployment rollback shop --to r3 --wait

Exit status: 0 it serves (or is in line), 1 it does not, 2 wrong use."""

APPROVE = """Approve a deployment that waits, with your own name and password. Never your own deployment.

  manage.py deployment approve 12 --user bob

The password is asked for, or read from standard input. Exit status: 0 approved, 2 refused."""

CANCEL = """Cancel a deployment: one that waits ends at once, a running one is taken back.

  manage.py deployment cancel 12

Exit status: 0 asked for, 2 wrong use."""

UNPIN = """Let releases come in by themselves again after a rollback.

  manage.py deployment unpin shop

Exit status: 0 well, 2 wrong use."""


class Command(BaseCommand):
    help = "Plan, deploy, approve, watch and take back releases."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="COMMAND")
        texts = (("plan", PLAN), ("start", START), ("status", STATUS), ("rollback", ROLLBACK), ("unpin", UNPIN))
        for name, text in texts:
            speaking.verb(verbs, name, text).add_argument("environment", metavar="ENV", help="such as staging")
        for name, text in (("approve", APPROVE), ("cancel", CANCEL)):
            speaking.verb(verbs, name, text).add_argument("deployment", type=int, metavar="NUMBER", help="such as 12")
        for name in ("plan", "start"):
            verbs.choices[name].add_argument("--release", default="", metavar="RELEASE", help="such as r4")
        verbs.choices["rollback"].add_argument("--to", default="", metavar="RELEASE", help="one that has served there")
        for name in ("start", "rollback"):
            verbs.choices[name].add_argument("--wait", action="store_true", help="stay until it has ended")
        verbs.choices["approve"].add_argument("--user", required=True, help="your account")
        verbs.choices["approve"].add_argument("--note", default="", help="for the record")
        speaking.add_common(verbs)

    def handle(self, *args: Any, **options: Any) -> None:
        speaking.answer(VERBS[options["verb"]], options)


def _release_for(environment: Environment, name: str) -> Release:
    """The named one, else the one that serves in the environment before; for the first the newest that was made of it."""
    if name:
        return speaking.release(name)
    if environment.after is not None:
        found = queries.in_force(environment.after)
        where = f"serves in {environment.after.slug}"
    else:
        found = Release.objects.filter(origin=environment).order_by("-id").first()
        where = f"was made of {environment.slug}"
    if found is None:
        raise speaking.Unknown(
            f"No release {where}.", hint="Name one: --release RELEASE; see `manage.py release list`."
        )
    return found


def plan(options: dict[str, Any]) -> int:
    environment = speaking.environment(options["environment"])
    release = _release_for(environment, options["release"])
    made, evidence = plans.make(release, environment), gate.evidence(release, environment)
    is_open = all(each.ok for each in evidence)
    if options["json"]:
        shown = [{"name": each.name, "ok": each.ok, "words": each.words, "hint": each.hint} for each in evidence]
        speaking.print_json({**made, "gate": {"open": is_open, "evidence": shown}})
        return speaking.WELL if is_open else speaking.BAD
    _tell_plan(made, evidence)
    return speaking.WELL if is_open else speaking.BAD


def _tell_plan(made: dict[str, Any], evidence: list[gate.Evidence]) -> None:
    shown = following.console(stderr=False)
    shown.print(f"{made['release']} into {made['environment']}, over {made['over'] or 'nothing'}")
    table = Table("service", "change", "how", "from", "to", "because of", box=None, pad_edge=False)
    for each in made["services"]:
        table.add_row(each["name"], each["change"], each["how"], each["from"], each["to"], ", ".join(each["because"]))
    shown.print(table)
    for name in ("added", "removed", "changed", "missing"):
        if names := made["configuration"][name]:
            shown.print(f"variables {name}: {', '.join(names)}")
    for flow in made["flows"]:
        lost = f", loses {', '.join(flow['lost'])}" if flow["lost"] else ""
        shown.print(f"flow {flow['name']}: {flow['change']}, v{flow['from'] or '-'} to v{flow['to'] or '-'}{lost}")
    for kind, what in (
        ("services", "does its work once more"),
        ("flows", "runs in its new version from its next run on"),
    ):
        for name in made["again"][kind]:
            shown.print(f"{name} {what}")
    shown.print(made["undo"]["words"])
    for each in evidence:
        shown.print(
            Text("✓ " if each.ok else "✗ ", style="green" if each.ok else "bold red").append(each.words, "default")
        )
        if not each.ok and each.hint:
            shown.print(f"  → {each.hint}")


def start(options: dict[str, Any]) -> int:
    by = for_command(options["account"])
    environment = speaking.environment(options["environment"])
    release = _release_for(environment, options["release"])
    settings = stack.from_terminal(environment)
    job = actions.start(by=by, environment=environment, release=release, settings=settings)
    return _go_on(job, by, options)


def rollback(options: dict[str, Any]) -> int:
    by = for_command(options["account"])
    environment = speaking.environment(options["environment"])
    to = speaking.release(options["to"]) if options["to"] else None
    settings = stack.from_terminal(environment)
    return _go_on(actions.rollback(by=by, environment=environment, to=to, settings=settings), by, options)


def _go_on(job: Deployment, by: Any, options: dict[str, Any]) -> int:
    """Wait for its end, or say that it is in line."""
    if not options["wait"] or job.status == "waiting":
        if options["json"]:
            speaking.print_json(showing.deployment(job))
        elif job.status == "waiting":
            following.console().print(
                f"Deployment {job.pk} waits for a second person: `manage.py deployment approve {job.pk} --user NAME`"
            )
        else:
            following.console().print(f"Deployment {job.pk} of {job.release} is in line.")
        return speaking.WELL
    done = following.follow(
        job,
        title=f"{job.release} into {job.environment.slug}",
        cancel=lambda: actions.cancel(by=by, deployment=_deployment(job.pk)),
        work=executor.execute_deployment,
        quiet=options["json"],
    )
    if options["json"]:
        speaking.print_json(showing.deployment(_deployment(done.pk)))
    return speaking.WELL if done.state == State.SUCCEEDED else speaking.BAD


def status(options: dict[str, Any]) -> int:
    environment = speaking.environment(options["environment"])
    serves, pin = queries.newest_good(environment), queries.pin(environment)
    last = environment.deployments.select_related("environment", "release", "previous").order_by("-pk").first()
    if options["json"]:
        speaking.print_json(
            {
                "version": 1,
                "environment": environment.slug,
                "release": serves.release.name if serves else None,
                "pinned": pin is not None,
                "last": showing.deployment(last) if last else None,
            }
        )
    else:
        shown = following.console(stderr=False)
        first = f"Make a release and deploy it: `manage.py release create {environment.slug}`"
        shown.print(
            f"{serves.release} serves in {environment.slug}{', pinned by a rollback' if pin else ''}."
            if serves
            else f"No release serves in {environment.slug}. {first}"
        )
        if last:
            shown.print(f"The last deployment, {last.pk} of {last.release}: {last.status}. {last.message}")
    return speaking.BAD if last and last.state == State.FAILED else speaking.WELL


def approve(options: dict[str, Any]) -> int:
    word = getpass.getpass("Password: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    user = by_password(options["user"], word)
    if user is None:
        raise actions.ApprovalRefused("That name and password belong to no account.", hint="See that both are right.")
    job = actions.approve(by=user, deployment=_deployment(options["deployment"]), note=options["note"])
    if options["json"]:
        speaking.print_json(showing.deployment(_deployment(job.pk)))
    else:
        following.console().print(f"approved: deployment {job.pk} of {job.release} is in line.")
    return speaking.WELL


def cancel(options: dict[str, Any]) -> int:
    job = _deployment(options["deployment"])
    state = actions.cancel(by=for_command(options["account"]), deployment=job)
    if options["json"]:
        speaking.print_json(showing.deployment(_deployment(job.pk)))
    else:
        following.console().print(f"asked for: deployment {job.pk} is {state}.")
    return speaking.WELL


def unpin(options: dict[str, Any]) -> int:
    environment = speaking.environment(options["environment"])
    was = actions.unpin(by=for_command(options["account"]), environment=environment)
    if options["json"]:
        speaking.print_json({"version": 1, "environment": environment.slug, "was_pinned": was})
    else:
        following.console().print("free." if was else "It was not pinned.")
    return speaking.WELL


def _deployment(pk: int) -> Deployment:
    rows = Deployment.objects.select_related("environment", "release", "previous")
    found = rows.filter(pk=pk).first()
    if found is None:
        raise speaking.Unknown(f"There is no deployment {pk}.", hint="See `manage.py deployment status ENV`.")
    return found


VERBS = {
    "plan": plan,
    "start": start,
    "status": status,
    "rollback": rollback,
    "approve": approve,
    "cancel": cancel,
    "unpin": unpin,
}
