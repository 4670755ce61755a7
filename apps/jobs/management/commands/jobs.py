"""`manage.py jobs states`: how a job may change its state."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from apps.jobs import states

PAGE = Path("docs/explanation/states.md")


class Command(BaseCommand):
    help = "Show the states of jobs and the arrows between them."
    requires_system_checks: list[str] = []  # it reads neither database nor addresses

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        show = verbs.add_parser("states", help="print the page about the states of jobs")
        show.add_argument("--write", action="store_true", help=f"write it to {PAGE} instead")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["write"]:
            (settings.BASE_DIR / PAGE).write_text(states.render_page(), encoding="utf-8")
        else:
            self.stdout.write(states.render_page(), ending="")
