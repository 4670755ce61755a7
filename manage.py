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

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
