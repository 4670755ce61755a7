"""What somebody with a shell on the database can do, once the triggers are out of the way."""

from contextlib import contextmanager

from django.db import connection, transaction

from apps.audit.actions import record
from apps.audit.actors import Actor

TABLES = ("audit_auditevent", "audit_audithead")


def written(count):
    with transaction.atomic():
        return [
            record("flow.save", by=Actor("ada"), target=f"flow:{each}", detail={"number": each})
            for each in range(1, count + 1)
        ]


def sql(statement, *values):
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


@contextmanager
def triggers_lifted():
    """SQLite's triggers are dropped and made again; PostgreSQL's are switched off meanwhile."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name LIKE 'audit_%'")
            found = cursor.fetchall()
            lift, put_back = [f"DROP TRIGGER {name}" for name, _ in found], [made for _, made in found]
        else:
            lift = [f"ALTER TABLE {table} DISABLE TRIGGER USER" for table in TABLES]
            put_back = [f"ALTER TABLE {table} ENABLE TRIGGER USER" for table in TABLES]
        for statement in lift:
            cursor.execute(statement)
        yield
        for statement in put_back:
            cursor.execute(statement)


def tamper(*statements):
    """Run SQL with the triggers lifted. A statement is text, or a tuple of text and values."""
    with triggers_lifted():
        for statement in statements:
            sql(*((statement,) if isinstance(statement, str) else statement))
