"""How far a restore is, written down: whoever goes on after a `kill -9` reads it, and whoever changes the environment sees it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

from apps.common.files import write_atomic
from apps.environments.models import Environment
from apps.environments.snapshots import places
from apps.environments.snapshots.errors import SnapshotFailed


@dataclass
class Progress:
    """How far a restore is: kept in a file, so that whoever goes on knows."""

    snapshot: str
    token: str  # in the names of what it keeps and makes
    stopped: list[str] = field(default_factory=list)  # containers, in the order in which they were stopped
    aside: dict[str, str] = field(default_factory=dict)  # member → where the old is kept
    swapped: list[str] = field(default_factory=list)  # members that are in their place
    ended: bool = False  # all is done, and only has to be told


def unfinished(slug: str) -> str:
    """The snapshot from which a restore was begun that has not ended; "" for none."""
    found = read(slug)
    return found.snapshot if found else ""


def under_way(environment: Environment) -> str:
    """What a restore does with the environment now, in words; "" for nothing."""
    snapshot = unfinished(environment.slug)
    if not snapshot or not places.is_held(environment.slug):
        return ""
    return f"its state is being restored from {snapshot}"


def read(slug: str) -> Progress | None:
    try:
        return Progress(**json.loads(places.restore_file(slug).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise SnapshotFailed(
            f"{places.restore_file(slug)} cannot be read: {error}.",
            hint="Remove it, start the services that are stopped, and restore again.",
        ) from error


def write(slug: str, state: Progress) -> None:
    write_atomic(places.restore_file(slug), json.dumps(asdict(state)), mode=0o600)
