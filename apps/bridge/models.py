"""The state database as Django sees it: to look at, and nothing else.

Whoever changes it is the protocol. The tables are not Django's: no migration makes them, and the connection `bridge` is
opened read-only, so that it neither writes the file nor makes one. Imported by Django alone; the rest of this room is
plain Python.
"""

from typing import Any

from django.db import models

LABEL = ALIAS = "bridge"  # of this room, and of its connection


class Router:
    """These models are read over their own connection, and no migration touches it."""

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return ALIAS if model._meta.app_label == LABEL else None

    db_for_write = db_for_read  # where SQLite refuses: the connection is read-only

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        return False if db == ALIAS or app_label == LABEL else None


class BridgeSession(models.Model):
    """One passage from the shell framework to the application framework."""

    number = models.IntegerField(primary_key=True)
    id = models.CharField(max_length=32, unique=True)
    environment = models.TextField()
    state = models.TextField()
    created_at = models.TextField()  # ISO 8601, UTC, as every time in this file

    class Meta:
        managed = False
        db_table = "sessions"
        verbose_name = "bridge session"

    def __str__(self) -> str:
        return self.id


class BridgeTransition(models.Model):
    """One change of a session's state."""

    row = models.IntegerField(primary_key=True, db_column="rowid")  # SQLite's own: its key is of two columns
    session = models.ForeignKey(
        BridgeSession, on_delete=models.DO_NOTHING, to_field="id", db_column="session", related_name="transitions"
    )
    seq = models.IntegerField()
    from_state = models.TextField(null=True)
    to_state = models.TextField()
    actor = models.TextField()
    at = models.TextField()
    reason = models.TextField()
    digest = models.TextField()

    class Meta:
        managed = False
        db_table = "transitions"
        verbose_name = "bridge transition"

    def __str__(self) -> str:
        return f"{self.seq}: {self.from_state or 'nothing'} → {self.to_state}"


class BridgeCase(models.Model):
    """One result in a layer of a session."""

    number = models.IntegerField(primary_key=True)
    session = models.ForeignKey(
        BridgeSession, on_delete=models.DO_NOTHING, to_field="id", db_column="session", related_name="cases"
    )
    layer = models.TextField()
    source = models.TextField()
    title = models.TextField()
    status = models.TextField()
    seconds = models.FloatField()
    attempts = models.IntegerField()
    flaky = models.BooleanField()
    message = models.TextField()
    at = models.TextField()

    class Meta:
        managed = False
        db_table = "cases"
        verbose_name = "bridge case"

    def __str__(self) -> str:
        return f"{self.layer} {self.title}"
