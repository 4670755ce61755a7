"""What time the rows go by: the database server's clock, so that workers on several machines agree.

SQLite has no server: there it is this machine's clock, and every process that can open the file is on it.
A database clock that is set back does no harm. A lease that then lies further ahead than a lease can is shortened by
the reconciler, a job in a final state has no arrow out of it, and a worker judges its own lease by the monotonic
clock (`leases.Lease`), which cannot be set.
"""

from datetime import datetime, timedelta

from django.db import connection
from django.db.models import DateTimeField, Value
from django.db.models.expressions import Combinable
from django.db.models.functions import Now

from apps.common import clock


def moment(seconds: float = 0.0) -> Combinable:
    """An SQL expression: `seconds` from now by the database's clock (before now when negative)."""
    offset = timedelta(seconds=seconds)
    if connection.vendor == "sqlite":
        return Value(clock.now() + offset, output_field=DateTimeField())
    return Now() + offset if seconds else Now()


def read() -> datetime:
    """The present moment by the database's clock, aware. One query where the database is a server."""
    if connection.vendor == "sqlite":
        return clock.now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement_timestamp()")
        at: datetime = cursor.fetchone()[0]
    return at
