"""Django's own command would change accounts without a word in the audit: this one stands in its place."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser


class Command(BaseCommand):
    help = "Not here: see `manage.py accounts --help`."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("rest", nargs="*")

    def handle(self, *args: Any, **options: Any) -> None:
        raise CommandError("Use `manage.py accounts set-password NAME`: it writes the audit.", returncode=2)
