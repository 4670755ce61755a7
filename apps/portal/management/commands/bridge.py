"""`manage.py bridge …`: dispatched before Django (manage.py), and only listed here."""

import sys
from argparse import REMAINDER
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from apps.bridge import cli, cli_text


class Command(BaseCommand):
    help = "Sessions of layered tests: from the shell framework to the application framework."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="COMMAND")
        for name, text in cli_text.VERBS.items():
            verbs.add_parser(name, help=text.partition("\n")[0]).add_argument("rest", nargs=REMAINDER, metavar="…")

    def handle(self, *args: Any, **options: Any) -> None:
        sys.exit(cli.main([options["verb"], *options["rest"]]))
