"""An account for a case that looks at the portal as a person does."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.db import connection

from apps.accounts import actions
from apps.audit.actors import Actor

BY = Actor("layered tests", "system")
PREFIX = "layered-tests"


@dataclass(frozen=True, slots=True)
class Visitor:
    username: str
    password: str


@contextmanager
def visitor(role: str, *, seconds: float, environment: str = "") -> Iterator[Visitor]:
    """A temporary account with that role, removed at the end however the case ends. Both is in the audit.

    A case whose process is killed leaves it behind: it is shut out after `seconds` all the same, and the next case that
    needs a visitor removes it. Enter it before a browser: that keeps an event loop in its thread, in which Django refuses
    to speak with the database.
    """
    try:
        actions.remove_expired(by=BY)
        user, password = actions.create_temporary(
            by=BY, prefix=PREFIX, role=role, environment=environment, seconds=seconds
        )
    finally:
        connection.close()
    try:
        yield Visitor(user.username, password)
    finally:
        try:
            actions.remove_temporary(by=BY, user=user)
        finally:
            connection.close()
