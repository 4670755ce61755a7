"""What must be true before the processes start: tables, the first admin, the example flows.

Run as a program by the supervisor. Each part can be run again and changes nothing then. Prints one JSON line.
"""

import json
import os
import sys

import django
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor


def main() -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "flowcontrol.settings")
    django.setup()
    said: dict[str, object] = {"migrated": migrate()}

    from apps.accounts.actions import ensure_first_admin
    from apps.audit.actors import SYSTEM
    from apps.flows.actions import load_examples

    name, password = ensure_first_admin(settings.ADMIN_PASSWORD or None)
    said |= {"admin": name, "password": password}
    said["examples"] = load_examples(by=SYSTEM)
    sys.stdout.write(json.dumps(said) + "\n")
    return 0


def migrate() -> bool:
    """Bring the tables up to date; False when they were. Looking first costs a tenth of migrating."""
    executor = MigrationExecutor(connection)
    if not executor.migration_plan(executor.loader.graph.leaf_nodes()):
        return False
    call_command("migrate", interactive=False, verbosity=0)
    return True


if __name__ == "__main__":
    sys.exit(main())
