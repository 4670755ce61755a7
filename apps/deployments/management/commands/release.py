"""`manage.py release …`: make releases, and look at them."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from rich.table import Table

from apps.accounts.actors import for_command
from apps.deployments import actions, executor, showing
from apps.deployments.management.commands import _speaking as speaking
from apps.deployments.models import Build, Release
from apps.environments.actions import ensure_environment
from apps.environments.management.commands import _following as following
from apps.environments.stages import stack
from apps.jobs.states import State

LISTED = 30

CREATE = """Make a release of an environment's stack, as its files say it now.

  manage.py release create staging
  manage.py release create shop --note "new checkout" --json

Images are built or fetched, and everything is pinned by its content: the same content is the release there is. A worker with
Docker does it; where none is alive it is done here. Exit status: 0 made, 1 not made, 2 wrong use."""

SHOW = """Say what a release is made of.

  manage.py release show r4 --json

Exit status: 0 well, 2 there is none of that name."""


class Command(BaseCommand):
    help = "Make releases, and look at them."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="COMMAND")
        create = speaking.verb(verbs, "create", CREATE)
        create.add_argument("environment", metavar="ENV", help="the environment whose files it is made of")
        create.add_argument("--note", default="", help="what is new, for people")
        speaking.verb(verbs, "list", "List the newest releases.")
        speaking.verb(verbs, "show", SHOW).add_argument("release", metavar="RELEASE", help="its name, such as r4")
        speaking.add_common(verbs)

    def handle(self, *args: Any, **options: Any) -> None:
        speaking.answer(VERBS[options["verb"]], options)


def create(options: dict[str, Any]) -> int:
    by = for_command(options["account"])
    environment = ensure_environment(by=by, slug=options["environment"])
    settings = stack.from_terminal(environment)
    job = actions.build_release(by=by, environment=environment, note=options["note"], settings=settings)
    job = following.follow(
        job,
        title=f"release of {environment.slug}",
        cancel=lambda: actions.cancel_build(by=by, build=Build.objects.select_related("environment").get(pk=job.pk)),
        work=executor.execute_build,
        quiet=options["json"],
    )
    job = Build.objects.select_related("release__origin").get(pk=job.pk)
    if options["json"]:
        speaking.print_json(showing.build(job))
    elif job.release:
        following.console().print(
            f"  `manage.py deployment start {environment.slug} --release {job.release}` deploys it"
        )
    return speaking.WELL if job.state == State.SUCCEEDED else speaking.BAD


def show_list(options: dict[str, Any]) -> int:
    found = list(Release.objects.select_related("origin").order_by("-id")[:LISTED])
    if options["json"]:
        speaking.print_json({"version": 1, "releases": [showing.release(each) for each in found]})
        return speaking.WELL
    if not found:
        following.console().print("There is no release yet. Make one: `manage.py release create ENV`")
        return speaking.WELL
    table = Table("release", "made of", "services", "flows", "made", "by", "note", box=None, pad_edge=False)
    for each in found:
        numbers = (str(len(each.services)), str(len(each.manifest["flows"])))
        table.add_row(
            each.name, each.origin.slug, *numbers, f"{each.created_at:%Y-%m-%d %H:%M}", each.created_by, each.note
        )
    following.console(stderr=False).print(table)
    return speaking.WELL


def show(options: dict[str, Any]) -> int:
    found = speaking.release(options["release"])
    if options["json"]:
        speaking.print_json(showing.release(found))
        return speaking.WELL
    shown = following.console(stderr=False)
    shown.print(f"{found}  {found.digest}")
    made = f"made {found.created_at:%Y-%m-%d %H:%M} UTC of {found.origin.slug} by {found.created_by}"
    shown.print(f"{made}{f', revision {found.revision}' if found.revision else ''}")
    table = Table("service", "image", "content", box=None, pad_edge=False)
    for each in found.services:
        table.add_row(each["name"], each["image"], each["digest"] or each["id"])
    shown.print(table)
    for flow in found.manifest["flows"]:
        shown.print(f"flow {flow['name']} v{flow['version']}  {flow['sha256'][:12]}")
    return speaking.WELL


VERBS = {"create": create, "list": show_list, "show": show}
