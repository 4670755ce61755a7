"""Restoring the state of an environment from a snapshot.

In this order, each step written down when it is done (`data/snapshots/.restore.<slug>`):

1. the snapshot is verified;
2. each member is restored beside what it is of, and looked at: nothing that serves has been touched yet;
3. the services that use it are stopped: who needs another before that one;
4. each member takes the place of the old, which is kept under another name until the next restore;
5. the services are started, in the opposite order.

Killed anywhere, it is called again with the same snapshot and goes on. What fails before 4 leaves everything as it was.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sqlite3
import tarfile
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db import transaction

from apps.accounts import policy
from apps.audit.actions import record
from apps.bridge.errors import BridgeRefusal
from apps.bridge.places import Places
from apps.common.errors import FlowControlError
from apps.common.files import sync_folder
from apps.environments import claims
from apps.environments.actions import EnvironmentBusy
from apps.environments.containers import commands
from apps.environments.models import Environment
from apps.environments.snapshots import databases, files, journal, origins, places, verifying, volumes
from apps.environments.snapshots.errors import RestoreUnfinished, SnapshotFailed, telling_of_a_full_disk
from apps.environments.snapshots.hand import Container, Hand
from apps.environments.snapshots.journal import Progress
from apps.environments.snapshots.manifest import Manifest, Member
from apps.environments.snapshots.saving import BRIDGE_SECONDS, BRIDGE_TOPS, clear

STOP_SECONDS = 30


@dataclass(frozen=True)
class Restored:
    """What a restore did. `kept`: member → where what was there before is, until the next restore."""

    snapshot: str
    members: tuple[str, ...]
    kept: dict[str, str]
    stopped: tuple[str, ...]  # services, in the order in which they were stopped and, backwards, started
    not_restored: tuple[str, ...]


def restore(
    *,
    by: Any,
    environment: Environment,
    snapshot: str,
    within: bool = False,
    anew: bool = False,
    check: Callable[[], None] = lambda: None,
    progress: Callable[[str], None] = lambda words: None,
) -> Restored:
    """Bring the state of the environment back to what it was in the snapshot (its name, or the path of its folder). The
    ledger (jobs, audit, accounts) and the configuration stay as they are now.

    `within`: the caller is the change that has the environment, such as a deployment that is taken back. `anew` forgets a
    restore that was begun and never ended. Done again after it has ended, it restores once more.

    Raises Denied, SnapshotUnknown, SnapshotDamaged, SnapshotBusy, EnvironmentBusy, RestoreUnfinished, SnapshotFailed.
    """
    policy.check(by, "environments.restore", environment.slug)
    folder = verifying.locate(snapshot)
    hand = Hand(environment, check=check, progress=progress)
    with places.held(environment):
        clear(hand)
        volumes.sweep(hand)
        made = verifying.verify(folder, check=check, progress=progress)
        _check_its_own(environment, made)
        state = _begin(environment, made, by=by, within=within, anew=anew)
        with telling_of_a_full_disk(folder):
            restored = _Restorer(hand, folder, made, state).restore()
        _told("snapshot.restore", environment, made, by, {"kept": restored.kept, "members": list(restored.members)})
        places.restore_file(environment.slug).unlink(missing_ok=True)
    return restored


def unpack(*, by: Any, environment: Environment, snapshot: str, to: Path) -> list[Path]:
    """Verify the snapshot and unpack what of it is folders into the new folder `to`, beside it what is databases; nothing
    else is touched. Returns what is there then. Raises as `restore`, and where `to` is there already."""
    policy.check(by, "environments.restore", environment.slug)
    folder = verifying.locate(snapshot)
    made = verifying.verify(folder)
    if to.exists() and any(to.iterdir()):
        raise SnapshotFailed(f"{to} is there and not empty.", hint="Name a folder that is not there yet.")
    with transaction.atomic():
        detail = {"to": str(to)}
        record(
            "snapshot.unpack", by=by, target=f"snapshot:{made.snapshot}", environment=made.environment, detail=detail
        )
    with telling_of_a_full_disk(to):
        to.mkdir(parents=True, exist_ok=True, mode=0o700)
        for member in made.members:
            source = folder / member.name
            if source.suffix == ".tar":
                files.unpack(source, to / source.stem)
            else:
                shutil.copyfile(source, to / source.name)
    return sorted(to.iterdir())


def _check_its_own(environment: Environment, made: Manifest) -> None:
    if made.environment != environment.slug:
        raise SnapshotFailed(
            f"{made.snapshot} is of {made.environment}, not of {environment.slug}.",
            hint="Unpack it with --to DIR to look at it.",
        )


def _begin(environment: Environment, made: Manifest, *, by: Any, within: bool, anew: bool) -> Progress:
    """How far it is: from the beginning, or where a killed one left off."""
    left = journal.read(environment.slug)
    if left and left.ended:  # killed when there was nothing left to do: this is another one
        left = None
    if left and left.snapshot != made.snapshot and not anew:
        raise RestoreUnfinished(
            f"A restore of {environment.slug} from {left.snapshot} was begun and has not ended.",
            hint=f"End it: `manage.py snapshot restore {left.snapshot}`. Or begin another one in its place: --anew.",
        )
    if left and left.snapshot == made.snapshot and not anew:
        return left
    state = Progress(made.snapshot, secrets.token_hex(3), stopped=list(left.stopped) if left else [])
    with transaction.atomic():
        claims.lock(environment)
        if not within and (what := claims.held_by(environment, but="restore")):
            raise EnvironmentBusy(environment, what)
        journal.write(environment.slug, state)
        detail = {"saved_at": made.saved_at, "token": state.token}
        target = f"snapshot:{made.snapshot}"
        record("snapshot.restore_begin", by=by, target=target, environment=environment.slug, detail=detail)
    return state


def _told(kind: str, environment: Environment, made: Manifest, by: Any, detail: dict[str, Any]) -> None:
    with transaction.atomic():
        record(kind, by=by, target=f"snapshot:{made.snapshot}", environment=environment.slug, detail=detail)


class _Restorer:
    def __init__(self, hand: Hand, folder: Path, made: Manifest, state: Progress) -> None:
        self.hand, self.folder, self.made, self.state = hand, folder, made, state
        self.environment = hand.environment
        self.containers: list[Container] = hand.containers()
        kinds = ("workspace", "bridge", "bridge-files", "volume", "postgres")
        self.members = [each for each in made.members if each.kind in kinds and not each.is_ledger]

    def restore(self) -> Restored:
        todo = [each for each in self.members if each.name not in self.state.swapped]
        try:
            for member in todo:
                self.hand.progress(f"trying out {member.name}")
                self._try_out(member)
            self._stop(todo)
        except BaseException:
            if not self.state.swapped and not self.state.aside:
                self._give_up()
            raise
        for member in todo:
            self.hand.check()
            self.hand.progress(f"putting {member.name} in its place")
            self._swap(member)
            self.state.swapped.append(member.name)
            self._save()
        stopped = [self._service(name) for name in self.state.stopped]
        self._start()
        self.state.ended = True
        self._save()
        self._forget_older()
        places.sweep(self.environment.slug)  # what was passed from one volume to another
        return Restored(
            snapshot=self.made.snapshot,
            members=tuple(self.state.swapped),
            kept=dict(self.state.aside),
            stopped=tuple(stopped),
            not_restored=tuple(each.name for each in self.made.members if each not in self.members),
        )

    def _save(self) -> None:
        journal.write(self.environment.slug, self.state)

    def _give_up(self) -> None:
        """Nothing has been changed: as if it had never begun. What cannot be started is left written down."""
        with suppress(FlowControlError):
            self._start()
            places.restore_file(self.environment.slug).unlink(missing_ok=True)
        shutil.rmtree(self._scratch(), ignore_errors=True)

    # --- beside the old

    def _try_out(self, member: Member) -> None:
        """Raises SnapshotFailed where what comes of the member is not what was saved."""
        source = self.folder / member.name
        try:
            if member.kind == "postgres":
                self._load(member, source)
            elif member.kind == "volume":
                image = self._image(member)
                volumes.try_out(self.hand, member.of, source, self.state.token, image)
            elif member.kind == "workspace":
                shutil.rmtree(self._scratch(), ignore_errors=True)
                self._scratch().parent.mkdir(parents=True, exist_ok=True)
                files.unpack(source, self._scratch(), self.hand.check)
        except tarfile.TarError as error:
            raise SnapshotFailed(f"{member.name} cannot be unpacked: {error}") from error

    def _load(self, member: Member, source: Path) -> None:
        database = member.detail["database"]
        server = self._server(member)
        if not databases.is_swapped(self.hand, server, database, self.state.token):
            databases.load_beside(self.hand, server, database, source, self.state.token)

    def _server(self, member: Member) -> Container:
        for each in self.containers:
            if each.service == member.detail["service"] and each.is_postgres and each.state == "running":
                return each
        raise SnapshotFailed(
            f"No server of {member.detail['service']} runs, into which {member.detail['database']} could be loaded.",
            hint=f"Start the stack: `manage.py environment up {self.environment.slug}`.",
        )

    def _image(self, member: Member) -> str:
        return volumes.image_for(member.of, self.containers) or str(member.detail["image"])

    def _scratch(self) -> Path:
        folder = origins.workspace(self.environment)
        return folder.with_name(f".{folder.name}.new-{self.state.token}")

    # --- who uses it

    def _stop(self, todo: Sequence[Member]) -> None:
        """Stop who uses what is to be changed: written down first, so that whoever goes on starts them."""
        using = [each for each in self.containers if each.is_running and self._uses(each, todo)]
        for each in stop_order(using):
            if each.name not in self.state.stopped:
                self.state.stopped.append(each.name)
        self._save()
        for name in self.state.stopped:
            self.hand.progress(f"stopping {self._service(name)}")
            self.hand.run(commands.stop(name, seconds=STOP_SECONDS), timeout=STOP_SECONDS + 30.0)

    def _uses(self, container: Container, todo: Sequence[Member]) -> bool:
        if any(each.kind == "volume" and each.of in container.volumes for each in todo):
            return True
        # Which services speak with a database nobody says: all that are none, and not the proxy in front of them.
        has_databases = any(each.kind == "postgres" for each in todo)
        return has_databases and not (container.is_postgres or container.is_proxy)

    def _service(self, name: str) -> str:
        return next((each.service for each in self.containers if each.name == name), name)

    def _start(self) -> None:
        for name in reversed(self.state.stopped):
            self.hand.progress(f"starting {self._service(name)}")
            self.hand.run(commands.start([name]))

    # --- in its place

    def _swap(self, member: Member) -> None:
        source, token = self.folder / member.name, self.state.token
        if member.kind == "postgres":
            old = databases.swap(self.hand, self._server(member), member.detail["database"], token)
            self.state.aside[member.name] = f"database {old} of {member.detail['service']}"
        elif member.kind == "volume":
            if member.name not in self.state.aside:
                old = volumes.keep_aside(self.hand, member.of, source, token, self._image(member))
                self.state.aside[member.name] = f"volume {old}"
                self._save()
            volumes.change(self.hand, member.of, source, self._image(member))
        elif member.kind == "workspace":
            self._swap_workspace(member)
        else:
            self._swap_bridge(member, source)

    def _swap_workspace(self, member: Member) -> None:
        folder, scratch = origins.workspace(self.environment), self._scratch()
        old = folder.with_name(f".{folder.name}.before-{self.state.token}")
        if folder.exists() and not old.exists():
            os.rename(folder, old)
        if scratch.exists() and not folder.exists():
            os.rename(scratch, folder)
        sync_folder(folder.parent)
        if old.exists():
            self.state.aside[member.name] = str(old)

    def _swap_bridge(self, member: Member, source: Path) -> None:
        """Under the bridge's own lock. Its files are read by shells, so each is replaced and none is written into."""
        data = origins.own_data(self.environment)
        if data is None:
            raise SnapshotFailed(f"The data folder of {self.environment.slug} is not there.")
        bridge = Places(data, self.environment.slug)
        old = data / f".bridge.before-{self.state.token}"
        old.mkdir(mode=0o700, exist_ok=True)
        try:
            with bridge.locked(BRIDGE_SECONDS):
                if member.kind == "bridge":
                    _replace_database(bridge.database, source, old)
                else:
                    _replace_files(data, source, old)
        except (BridgeRefusal, sqlite3.Error) as error:
            raise SnapshotFailed(f"The bridge's state cannot be put back: {error}") from error
        self.state.aside[member.name] = str(old)

    def _forget_older(self) -> None:
        """What restores before this one have kept goes, and what was made on the way. As far as it can be done."""
        with suppress(FlowControlError):
            kept = {volumes.aside_name(each.of, self.state.token) for each in self.members if each.kind == "volume"}
            there = set(self.hand.run(commands.labelled_volumes(self.environment.slug)).split())
            if gone := sorted(there - kept):
                self.hand.run(commands.remove_volumes(gone))
            for member in self.members:
                if member.kind == "postgres":
                    server, database = self._server(member), member.detail["database"]
                    databases.drop_older(self.hand, server, database, self.state.token)
        folder = origins.workspace(self.environment)
        older = [*folder.parent.glob(f".{folder.name}.before-*"), *folder.parent.glob(f".{folder.name}.new-*")]
        data = origins.own_data(self.environment)
        older += data.glob(".bridge.before-*") if data else []
        for each in older:
            if not each.name.endswith(f".before-{self.state.token}"):
                shutil.rmtree(each, ignore_errors=True)


def stop_order(containers: Sequence[Container]) -> list[Container]:
    """Who needs another comes before that one; else by name."""
    left, ordered = sorted(containers, key=lambda each: each.name), []
    while left:
        needed = {name for each in left for name in each.needs if name != each.service}
        free = [each for each in left if each.service not in needed] or left  # in a circle nobody is first
        ordered += free
        left = [each for each in left if each not in free]
    return ordered


def _replace_database(database: Path, source: Path, old: Path) -> None:
    kept = old / database.name
    if database.exists() and not kept.exists():
        # What a killed writer has left half is undone first; a journal that stays would be taken for one of the new file.
        with suppress(sqlite3.Error), closing(sqlite3.connect(database, timeout=5)) as connection:
            connection.execute("select count(*) from sqlite_master").fetchone()
        beside = old / f".{database.name}"
        shutil.copyfile(database, beside)
        files.sync(beside)
        os.replace(beside, kept)
    journal = database.with_name(f"{database.name}-journal")
    if journal.exists():
        os.replace(journal, old / journal.name)
    fresh = database.with_name(f".{database.name}.new")
    shutil.copyfile(source, fresh)
    files.sync(fresh)
    os.replace(fresh, database)
    sync_folder(database.parent)


def _replace_files(data: Path, source: Path, old: Path) -> None:
    """The whole set: what the snapshot does not have goes, too. Each is moved aside once."""
    fresh = data / ".bridge.fresh"
    shutil.rmtree(fresh, ignore_errors=True)
    files.unpack(source, fresh)
    for name in BRIDGE_TOPS:
        place, kept = data / name, old / name
        kept.parent.mkdir(parents=True, exist_ok=True)
        if place.exists():
            if kept.exists():  # killed in between: what stands there is already the new
                _remove(place)
            else:
                os.rename(place, kept)
        if (fresh / name).exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            os.rename(fresh / name, place)
    shutil.rmtree(fresh, ignore_errors=True)
    sync_folder(data)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
