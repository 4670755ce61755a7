"""What the commands of this room share: their arguments, errors, documents."""

from __future__ import annotations

import json
import sys
from argparse import RawDescriptionHelpFormatter
from collections.abc import Callable
from typing import Any

from django.core.management.base import CommandParser

from apps.common.errors import FlowControlError
from apps.deployments.models import Release
from apps.environments.management.commands import _following as following
from apps.environments.models import Environment

WELL, BAD, WRONG_USE = 0, 1, 2  # exit statuses


class Unknown(FlowControlError):  # noqa: N818  it is what the person reads
    """There is nothing of that name."""

    code = "unknown"


def verb(verbs: Any, name: str, text: str) -> CommandParser:
    summary, _, epilog = text.partition("\n\n")
    parser: CommandParser = verbs.add_parser(
        name, help=summary, description=summary, epilog=epilog, formatter_class=RawDescriptionHelpFormatter
    )
    return parser


def add_common(verbs: Any) -> None:
    for each in verbs.choices.values():
        each.add_argument("--as", dest="account", metavar="USER", help="the account that acts")
        each.add_argument("--json", action="store_true", help="print one JSON document, and nothing else")


def answer(perform: Callable[[dict[str, Any]], int], options: dict[str, Any]) -> None:
    """Do it and exit with its status; an error is told on stderr, and as a document where one was asked for."""
    try:
        sys.exit(perform(options))
    except FlowControlError as error:
        if options["json"]:
            print_json({"version": 1, "error": {"code": error.code, "message": error.message, "hint": error.hint}})
        following.complain(error)
        sys.exit(WRONG_USE)


def print_json(document: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=2) + "\n")


def environment(slug: str) -> Environment:
    found = Environment.objects.select_related("after").filter(slug=slug).first()
    if found is None:
        known = ", ".join(Environment.objects.values_list("slug", flat=True))
        raise Unknown(f"There is no environment '{slug}'.", hint=f"There are: {known}.")
    return found


def release(name: str) -> Release:
    found = Release.objects.select_related("origin").filter(name=name).first()
    if found is None:
        known = ", ".join(Release.objects.order_by("-id").values_list("name", flat=True)[:8])
        raise Unknown(f"There is no release '{name}'.", hint=f"The newest are: {known or 'none'}.")
    return found
