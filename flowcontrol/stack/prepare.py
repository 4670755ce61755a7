"""What must be true before the processes start: tables, the first admin, the example flows.

Run as a program by the supervisor. Each part can be run again and changes nothing then. Prints one JSON line.
Two that run at once take turns. With `--wait` it does nothing but wait until another has done it.
"""

import argparse
import fcntl
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import django
from django.conf import settings
from django.core.management import call_command
from django.db import OperationalError, connection
from django.db.migrations.executor import MigrationExecutor

from apps.common.files import read_or_create_secret

# Of the first admin, in the data folder, mode 0600: in a container nobody sees what is printed once.
PASSWORD_FILE = "run/admin_password"  # noqa: S105 - a path
PATIENCE_SECONDS = 120.0
LOOK_SECONDS = 0.5
ADVISORY_LOCK = 7_305_804_402  # any number, the same in every portal on one database


def main() -> int:
    parser = argparse.ArgumentParser(prog="flowcontrol.stack.prepare", description=__doc__)
    parser.add_argument("--wait", action="store_true", help="only wait until the tables are up to date")
    parser.add_argument(
        "--password-file", type=Path, help="make the first admin's password here instead of printing it"
    )
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "flowcontrol.settings")
    django.setup()
    _await_server()
    if options.wait:
        return _await_tables()
    with _alone():
        said = prepare(options.password_file)
    sys.stdout.write(json.dumps(said) + "\n")
    return 0


def prepare(password_file: Path | None) -> dict[str, object]:
    said: dict[str, object] = {"migrated": migrate()}

    from apps.accounts.actions import ensure_first_admin
    from apps.accounts.models import User
    from apps.audit.actors import SYSTEM
    from apps.environments.models import Environment
    from apps.flows.actions import load_examples

    chosen = settings.ADMIN_PASSWORD or None
    if password_file and not chosen and not User.objects.exists():
        chosen = read_or_create_secret(password_file)  # before the account: killed in between, both are still there
        said["password_file"] = str(password_file)
    name, password = ensure_first_admin(chosen)
    said |= {"admin": name, "password": password}
    Environment.objects.get_or_create(slug=settings.ENVIRONMENT, defaults={"name": settings.ENVIRONMENT.capitalize()})
    said["examples"] = load_examples(by=SYSTEM)
    return said


def _await_server() -> None:
    """After a reboot the database may come up after us. Raises OperationalError when it does not in PATIENCE_SECONDS."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            connection.ensure_connection()
            return
        except OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(LOOK_SECONDS)


def _await_tables() -> int:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while _missing():
        if time.monotonic() > deadline:
            sys.stderr.write(
                "The tables are not up to date: the portal's own process (web) has not prepared them. See its log.\n"
            )
            return 1
        time.sleep(LOOK_SECONDS)
    return 0


@contextmanager
def _alone() -> Iterator[None]:
    """Two portals that start on one database take turns. Whoever dies gives its turn back."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [ADVISORY_LOCK])
            try:
                yield
            finally:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [ADVISORY_LOCK])
        return
    path = settings.DATA / "run" / "prepare.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def migrate() -> bool:
    """Bring the tables up to date; False when they were. Looking first costs a tenth of migrating."""
    if not _missing():
        return False
    call_command("migrate", interactive=False, verbosity=0)
    return True


def _missing() -> bool:
    executor = MigrationExecutor(connection)
    return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))


if __name__ == "__main__":
    sys.exit(main())
