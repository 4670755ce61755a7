"""Saving the state of an environment.

Everything is written into a folder that does not count, which is renamed when it is whole and on disk. Killed anywhere,
there is no snapshot, the next save removes what is left, and containers that stood still go on (`pausing`).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import sqlite3
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from django.db import transaction

from apps.accounts import policy
from apps.audit.actions import record
from apps.audit.actors import actor_of
from apps.bridge.errors import BridgeRefusal, DiskFull
from apps.bridge.places import Places
from apps.common import clock
from apps.common.files import sync_folder
from apps.environments.models import Environment, Snapshot
from apps.environments.snapshots import databases, files, manifest, origins, pausing, places, volumes
from apps.environments.snapshots.errors import SnapshotDamaged, SnapshotDiskFull, SnapshotFailed, telling_of_a_full_disk
from apps.environments.snapshots.hand import Container, Hand
from apps.environments.snapshots.manifest import Manifest, Member

BRIDGE_SECONDS = 20.0  # that a verb of the bridge may take before it is our turn
BRIDGE_TOPS = ("handoff.json", "results.json", "bridge/records", "bridge/spool")


def save(
    *,
    by: Any,
    environment: Environment,
    reason: str = "",
    release: str = "",
    deployment: int | None = None,
    check: Callable[[], None] = lambda: None,
    progress: Callable[[str], None] = lambda words: None,
) -> Snapshot:
    """Save the state of an environment. `check` is asked a few times a second and may raise to end it; then there is none.

    Raises Denied, SnapshotBusy, SnapshotFailed, SnapshotDiskFull; then nothing is left of it either.
    """
    policy.check(by, "environments.snapshot", environment.slug)
    hand = Hand(environment, check=check, progress=progress)
    with places.held(environment):
        clear(hand)
        adopt(environment)
        name = places.new_name(environment.slug)
        part = places.folder() / f".part-{name}"
        try:
            with telling_of_a_full_disk(places.folder()):
                part.mkdir(mode=0o700)
                made = _Saver(hand, part).save(name, by=actor_of(by).name, **_why(reason, release, deployment))
                os.rename(part, places.folder() / name)
                sync_folder(places.folder())
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
        return _enter(environment, made, by)


def _why(reason: str, release: str, deployment: int | None) -> dict[str, Any]:
    return {"reason": reason[:200], "release": release[:50], "deployment": deployment}


def clear(hand: Hand) -> None:
    """Put right what a dead saver has left; the caller holds the environment."""
    slug = hand.environment.slug
    places.sweep(slug)
    pausing.unpause_left(hand.environment, hand)


def adopt(environment: Environment) -> None:
    """Enter snapshots whose folder is there without a row: of a saver that was killed in between, or of another portal with
    the same AUDIT_KEY. One that is damaged is left out."""
    known = set(Snapshot.objects.filter(environment=environment).values_list("name", flat=True))
    for name in places.names(environment.slug):
        if name not in known:
            with contextlib.suppress(SnapshotDamaged):
                _enter(environment, manifest.read(places.folder() / name), None)


def _enter(environment: Environment, made: Manifest, by: Any) -> Snapshot:
    detail = {"reason": made.reason, "bytes": made.bytes, "members": len(made.members)}
    with transaction.atomic():
        row, is_new = Snapshot.objects.get_or_create(
            name=made.snapshot,
            defaults={
                "environment": environment,
                "reason": made.reason,
                "release": made.release,
                "deployment": made.deployment,
                "bytes": made.bytes,
                "members": len(made.members),
                "seconds": made.seconds,
                "created_at": datetime.fromisoformat(made.saved_at),
                "created_by": made.saved_by,
            },
        )
        if is_new:
            target = f"snapshot:{made.snapshot}"
            record("snapshot.save", by=by, target=target, environment=environment.slug, detail=detail)
    return row


class _Saver:
    """Fills one folder."""

    def __init__(self, hand: Hand, part: Path) -> None:
        self.hand, self.part, self.environment = hand, part, hand.environment
        self.members: list[Member] = []
        self.left_out: list[str] = []
        self.began = time.monotonic()

    def save(self, name: str, *, by: str, reason: str, release: str, deployment: int | None) -> Manifest:
        saved_at = clock.now().isoformat()
        containers = self._containers()
        for container in containers:
            if container.is_postgres:
                self._databases(container)
        for volume in volumes.of_stack(self.hand, containers):
            self._volume(volume, containers)
        self._bridge()
        self._workspace()
        self._ledger()
        self._configuration(containers)
        made = Manifest(
            snapshot=name,
            environment=self.environment.slug,
            project=self.environment.project_name,
            saved_at=saved_at,
            saved_by=by,
            reason=reason,
            release=release,
            deployment=deployment,
            seconds=round(time.monotonic() - self.began, 3),
            members=tuple(self.members),
            schemas=origins.schemas(),
            left_out=tuple(self.left_out),
        )
        manifest.write(self.part, made)
        return made

    def _containers(self) -> list[Container]:
        volumes.sweep(self.hand)
        return self.hand.containers()

    def _add(self, name: str, kind: str, of: str, *, is_ledger: bool = False, **detail: Any) -> None:
        """The file is there: flush it, weigh it, enter it."""
        path = self.part / name
        files.sync(path)
        size, digest = manifest.hash_file(path)
        self.members.append(Member(name, kind, of, size, digest, is_ledger, detail))

    def _databases(self, container: Container) -> None:
        if container.state != "running":
            self.left_out.append(f"{container.service}: its server does not run, so that it cannot be dumped")
            return
        version = databases.version(self.hand, container)
        for database in databases.names(self.hand, container):
            self.hand.progress(f"dumping {database} of {container.service}")
            name = f"postgres-{_plain(container.service)}-{_plain(database)}.dump"
            databases.dump(self.hand, container, database, self.part / name)
            detail = {"service": container.service, "database": database, "server": version, "image": container.image}
            # In a stack of Flow Control's own that is the portal's database.
            of = f"{container.service}/{database}"
            self._add(name, "postgres", of, is_ledger=self.environment.runs_ourselves, **detail)

    def _volume(self, volume: str, containers: list[Container]) -> None:
        image = volumes.image_for(volume, containers)
        if not image:
            self.left_out.append(f"the volume {volume}: no container of the stack is there by which it can be read")
            return
        self.hand.progress(f"copying the volume {volume}")
        name = f"volume-{_plain(volume)}.tar"
        began = time.monotonic()
        users = volumes.copy(self.hand, volume, self.part / name, containers)
        detail = {"image": image, "paused": users, "paused_seconds": round(time.monotonic() - began, 3)}
        self._add(name, "volume", volume, is_ledger=self.environment.runs_ourselves, **detail)

    def _bridge(self) -> None:
        data = origins.own_data(self.environment)
        if data is None or not data.is_dir():
            return
        bridge = Places(data, self.environment.slug)
        if not bridge.database.exists() and not bridge.handoff.exists():
            return
        self.hand.progress("copying the bridge's state")
        try:
            with bridge.locked(BRIDGE_SECONDS):  # its files belong together
                if bridge.database.exists():
                    schema = files.back_up(bridge.database, self.part / "bridge.sqlite3")
                    self._add("bridge.sqlite3", "bridge", "test_state.db", schema=schema)
                packed = files.pack_some(data, BRIDGE_TOPS, self.part / "bridge-files.tar", check=self.hand.check)
                self._add("bridge-files.tar", "bridge-files", "handoff.json, results.json", entries=packed.entries)
        except (BridgeRefusal, sqlite3.Error) as error:
            raise self._refused("The bridge's state", error) from error

    def _refused(self, what: str, error: Exception) -> SnapshotFailed:
        if isinstance(error, DiskFull) or getattr(error, "sqlite_errorcode", 0) in (
            sqlite3.SQLITE_FULL,
            sqlite3.SQLITE_IOERR_WRITE,
        ):
            return SnapshotDiskFull(self.part.parent)
        return SnapshotFailed(f"{what} cannot be copied: {error}", hint="See `manage.py bridge status`, and its file.")

    def _workspace(self) -> None:
        folder = origins.workspace(self.environment)
        self.hand.progress("packing the workspace")
        packed = files.pack(folder, self.part / "workspace.tar", check=self.hand.check)
        detail: dict[str, Any] = {"entries": packed.entries, "grew": packed.grew, "unsteady": packed.unsteady}
        self._add("workspace.tar", "workspace", self.environment.slug, **detail)
        self.left_out += [f"{each} of the workspace: it changed while it was read" for each in packed.unsteady]

    def _ledger(self) -> None:
        database = origins.ledger(self.environment)
        if database is None:
            return
        self.hand.progress("copying the portal's database")
        try:
            files.back_up(database, self.part / "ledger.sqlite3")
        except sqlite3.Error as error:
            raise self._refused("The portal's database", error) from error
        self._add("ledger.sqlite3", "sqlite", database.name, is_ledger=True)

    def _configuration(self, containers: list[Container]) -> None:
        images = {each.service: each.image for each in containers}
        text = json.dumps(origins.configuration(self.environment, images), indent=2, sort_keys=True)
        (self.part / "configuration.json").write_text(f"{text}\n", encoding="utf-8")
        self._add("configuration.json", "configuration", self.environment.slug)


def _plain(text: str) -> str:
    """As a part of a file's name: two that are told apart stay apart."""
    return re.sub(r"[^A-Za-z0-9._-]", lambda found: f"%{ord(found[0]):x}", text).lstrip(".")
