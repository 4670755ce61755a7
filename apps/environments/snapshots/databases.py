"""PostgreSQL databases of a stack: dumped from inside their container, restored beside themselves, then renamed.

The programs are those of the container, so they fit the server. Nothing is said in arguments but names; the server lets its
own container in by its socket, as the official image does.
"""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

from apps.environments.containers import commands
from apps.environments.containers.commands import Command
from apps.environments.snapshots.errors import SnapshotFailed
from apps.environments.snapshots.hand import COPY_SECONDS, Container, Hand

MARK = "__fc_"  # in the names of databases that a restore has made or kept: they are no state
LONGEST_NAME = 63
RENAME_TRIES = 20
RENAME_LOOK_SECONDS = 0.5
MAGIC = b"PGDMP"


def user_of(container: Container) -> str:
    return container.variables.get("POSTGRES_USER") or "postgres"


def psql(container: Container) -> Command:
    """Reads statements from stdin, and ends at the first that fails. In template1: any other may be renamed."""
    words = (
        "psql",
        "--username",
        user_of(container),
        "--dbname",
        "template1",
        "--no-psqlrc",
        "--quiet",
        "--tuples-only",
    )
    return commands.in_container(
        container.name, *words, "--no-align", "--set", "ON_ERROR_STOP=1", "--file", "-", reads=True
    )


def dump_command(container: Container, database: str) -> Command:
    words = ("pg_dump", "--username", user_of(container), "--format", "custom", "--dbname", _quoted(database))
    return commands.in_container(container.name, *words)


def load_command(container: Container, database: str) -> Command:
    words = ("pg_restore", "--username", user_of(container), "--exit-on-error", "--single-transaction")
    return commands.in_container(container.name, *words, "--dbname", _quoted(database), reads=True)


def _quoted(database: str) -> str:
    """As a connection string: a name with an = in it would be taken for one."""
    escaped = database.replace("\\", "\\\\").replace("'", "\\'")
    return f"dbname='{escaped}'"


def ask(hand: Hand, container: Container, statements: str) -> str:
    return hand.run(psql(container), stdin=statements).strip()


def version(hand: Hand, container: Container) -> str:
    return ask(hand, container, "show server_version;")


def names(hand: Hand, container: Container) -> list[str]:
    """The databases of a server that hold state."""
    said = ask(
        hand,
        container,
        "select coalesce(json_agg(datname order by datname), '[]') from pg_database where not datistemplate and datallowconn;",
    )
    return [each for each in json.loads(said) if MARK not in each]


def dump(hand: Hand, container: Container, database: str, target: Path) -> None:
    """All of one database as it is at one moment; others go on writing."""
    hand.run(dump_command(container, database), timeout=COPY_SECONDS, sink=target)


def list_of(hand: Hand, archive: Path, image: str) -> str:
    """What is wrong with an archive as pg_restore sees it; "" for nothing. That of the server's image, else of PATH; where
    there is neither, only its head is looked at."""
    with archive.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            return "is no archive of pg_dump"
    tries: list[tuple[Command, Path | None]] = []
    if image:  # as new as the program that wrote it
        tries.append((commands.once(image, hand.environment.slug, "pg_restore", "--list"), archive))
    if shutil.which("pg_restore"):
        tries.append((("pg_restore", "--list", str(archive)), None))
    for command, source in tries:
        try:
            hand.run(command, timeout=COPY_SECONDS, source=source)
        except SnapshotFailed as failure:
            if "pg_restore: error" in failure.message and "unsupported version" not in failure.message:
                return f"cannot be read: {failure.message}"
            continue  # there is no such image on the engine, or the program is older than the archive
        return ""
    return ""


# --- restore ---------------------------------------------------------------------------------------------


def beside(database: str, what: str, token: str) -> str:
    tail = f"{MARK}{what}_{token}"
    return database.encode()[: LONGEST_NAME - len(tail)].decode("utf-8", "ignore") + tail


def load_beside(hand: Hand, container: Container, database: str, archive: Path, token: str) -> None:
    """Load an archive into a database beside the one it is of, with the same owner, encoding and sorting. Whoever uses that
    one goes on. What a killed one has left is dropped first."""
    scratch = beside(database, "new", token)
    ask(hand, container, drop(scratch))
    made = ask(hand, container, create(scratch, database))
    if not made:
        raise SnapshotFailed(
            f"{container.service} has no database {database}.", hint="Create it with its owner, then restore again."
        )
    ask(hand, container, f"{made};")
    hand.run(load_command(container, scratch), timeout=COPY_SECONDS, source=archive)


def drop(database: str) -> str:
    return f"drop database if exists {_name(database)} with (force);"


def create(scratch: str, like: str) -> str:
    """Answers the statement that makes `scratch` like another one; nothing where that is not there."""
    return (
        "select format('create database %I owner %I template template0 encoding %L lc_collate %L lc_ctype %L', "  # noqa: S608  quoted
        f"{_text(scratch)}::text, r.rolname, pg_encoding_to_char(d.encoding), d.datcollate, d.datctype) "
        f"from pg_database d join pg_roles r on r.oid = d.datdba where d.datname = {_text(like)};"
    )


def swap_statements(database: str, token: str) -> str:
    """Both are renamed or none is; where it was done already nothing happens."""
    scratch, old = beside(database, "new", token), beside(database, "before", token)
    return (
        "select pg_terminate_backend(pid) from pg_stat_activity "  # noqa: S608  quoted
        f"where datname in ({_text(database)}, {_text(scratch)}) and pid <> pg_backend_pid();\n"
        "begin;\n"
        f"alter database {_name(database)} rename to {_name(old)};\n"
        f"alter database {_name(scratch)} rename to {_name(database)};\n"
        "commit;\n"
    )


def is_swapped(hand: Hand, container: Container, database: str, token: str) -> bool:
    return beside(database, "before", token) in _all_names(hand, container)


def swap(hand: Hand, container: Container, database: str, token: str) -> str:
    """Put the loaded one in the place of the old, which is kept under another name: returns that."""
    old = beside(database, "before", token)
    for number in range(RENAME_TRIES):
        if is_swapped(hand, container, database, token):
            return old
        try:
            ask(hand, container, swap_statements(database, token))
        except SnapshotFailed as failure:
            # Somebody who is not of the stack has come back between the two statements.
            if number + 1 == RENAME_TRIES or "being accessed by other users" not in failure.message:
                raise
            time.sleep(RENAME_LOOK_SECONDS)
    return old


def drop_older(hand: Hand, container: Container, database: str, token: str) -> None:
    """Of those that were kept, keep the newest alone."""
    kept = beside(database, "before", token)
    for each in _all_names(hand, container):
        older = each.rpartition(f"{MARK}before_")[2]
        if each != kept and each == beside(database, "before", older):
            ask(hand, container, drop(each))


def _all_names(hand: Hand, container: Container) -> list[str]:
    said = ask(hand, container, "select coalesce(json_agg(datname), '[]') from pg_database;")
    return list(json.loads(said))


def _name(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
