#!/usr/bin/env python
"""The command line. Commands on flow files and of the bridge skip Django: they need neither settings nor its database."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "flowcontrol.settings")
    if sys.argv[1:2] == ["flow"]:
        from apps.engine import cli

        if cli.is_file_command(sys.argv[2:]):
            cli.leave(cli.main(sys.argv[2:]))
    if sys.argv[1:2] == ["bridge"]:
        from apps.bridge import cli as bridge

        sys.exit(bridge.main(sys.argv[2:]))
    from django.core.management import execute_from_command_line
    from django.db.utils import OperationalError, ProgrammingError

    try:
        execute_from_command_line(sys.argv)
    except (OperationalError, ProgrammingError) as error:
        if "--traceback" in sys.argv or not _lacks_tables(error):
            raise
        sys.exit(
            f"error: the tables of the database are not up to date ({error}).\n  Run `manage.py migrate`, then this again."
        )


def _lacks_tables(error: Exception) -> bool:
    """As SQLite and PostgreSQL say it."""
    return any(words in str(error) for words in ("no such table", "no such column", "does not exist"))


if __name__ == "__main__":
    main()
