"""Which snapshots are kept: the newest of each of the last hours, days and weeks, and those that somebody names."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction

from apps.accounts import policy
from apps.audit.actions import record
from apps.common.files import sync_folder
from apps.environments.models import Environment, Snapshot
from apps.environments.snapshots import places
from apps.environments.snapshots.hand import Hand
from apps.environments.snapshots.saving import adopt, clear

# Rooms above say which snapshots they need: the names of those of an environment.
Holder = Callable[[Environment], Iterable[str]]
_holders: dict[str, Holder] = {}


def hold_by(name: str, holder: Holder) -> None:
    """Keep what `holder` names. Registering the same name again replaces it."""
    _holders[name] = holder


@dataclass(frozen=True)
class Keep:
    """The newest snapshot of each of so many hours, days and weeks in which there is one."""

    hourly: int = 24
    daily: int = 7
    weekly: int = 4


def chosen(moments: Iterable[tuple[str, datetime]], keep: Keep) -> set[str]:
    """The names to keep of (name, moment in UTC): always the newest of all, then as `keep` says."""
    newest_first = sorted(moments, key=lambda each: (each[1], each[0]), reverse=True)
    kept = {name for name, _ in newest_first[:1]}
    for count, form in ((keep.hourly, "%Y-%m-%d %H"), (keep.daily, "%Y-%m-%d"), (keep.weekly, "%G %V")):
        periods: dict[str, str] = {}
        for name, moment in newest_first:
            periods.setdefault(moment.strftime(form), name)
        kept |= set(list(periods.values())[:count])
    return kept


def prune(*, by: Any, environment: Environment, keep: Keep | None = None, dry_run: bool = False) -> list[str]:
    """Remove the snapshots that neither the policy nor anybody keeps; returns their names. `dry_run` only says them.

    Killed anywhere, a snapshot is whole or is no snapshot any more. Raises Denied, SnapshotBusy.
    """
    policy.check(by, "environments.snapshot", environment.slug)
    with places.held(environment):
        clear(Hand(environment))
        adopt(environment)
        rows = list(Snapshot.objects.filter(environment=environment))
        kept = chosen(((row.name, row.created_at) for row in rows), keep or Keep())
        kept |= {name for holder in _holders.values() for name in holder(environment)}
        gone = sorted(row.name for row in rows if row.name not in kept)
        for name in gone if not dry_run else ():
            _remove(environment, name, by)
    return gone


def _remove(environment: Environment, name: str, by: Any) -> None:
    """First it is no snapshot any more, then its row goes, then what is left on disk."""
    folder = places.folder() / name
    if folder.exists():
        os.rename(folder, folder.with_name(f".gone-{name}"))
        sync_folder(folder.parent)
    with transaction.atomic():
        Snapshot.objects.filter(name=name).delete()
        record("snapshot.remove", by=by, target=f"snapshot:{name}", environment=environment.slug)
    shutil.rmtree(folder.with_name(f".gone-{name}"), ignore_errors=True)
