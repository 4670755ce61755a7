"""Saving, verifying and restoring the state of an environment: what stands on this machine, without an engine's help."""

import json
import os
import random
import resource
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import threading
from datetime import UTC, datetime, timedelta

import pytest

from apps.accounts.models import User
from apps.accounts.policy import Denied
from apps.audit.actors import SYSTEM
from apps.audit.models import AuditEvent
from apps.environments import variables
from apps.environments.models import Environment, Snapshot
from apps.environments.snapshots import files, manifest, places, pruning, restoring, saving, verifying
from apps.environments.snapshots.errors import SnapshotBusy, SnapshotDamaged, SnapshotDiskFull, SnapshotUnknown
from apps.environments.snapshots.hand import Container, Hand
from apps.environments.snapshots.restoring import stop_order

pytestmark = pytest.mark.django_db


@pytest.fixture
def dev(settings, tmp_path, workspaces, monkeypatch):
    """The portal's own environment with a workspace and a bridge, on an engine that has nothing of it."""
    settings.DATA = tmp_path / "data"
    settings.DATA.mkdir()
    settings.ENVIRONMENT = "dev"
    monkeypatch.setattr(Hand, "containers", lambda self: [])
    monkeypatch.setattr(Hand, "volumes", lambda self: [])
    monkeypatch.setattr("apps.environments.snapshots.volumes.sweep", lambda hand: None)
    monkeypatch.setattr(restoring._Restorer, "_forget_older", lambda self: None)
    (workspaces / "dev" / "in").mkdir()
    (workspaces / "dev" / "in" / "orders.csv").write_text("id,amount\n1,2.50\n" * 500)
    (workspaces / "dev" / "link").symlink_to("in/orders.csv")
    with sqlite3.connect(settings.DATA / "test_state.db") as database:
        database.execute("create table sessions (name text)")
        database.executemany("insert into sessions values (?)", [(f"session {number}",) for number in range(500)])
    (settings.DATA / "handoff.json").write_text('{"version": 1}')
    return Environment.objects.get(slug="dev")


def save(environment, **more):
    return saving.save(by=SYSTEM, environment=environment, **more)


def sessions(settings):
    with sqlite3.connect(settings.DATA / "test_state.db") as database:
        return database.execute("select count(*) from sessions").fetchone()[0]


def test_a_snapshot_holds_workspace_bridge_and_configuration(dev, settings):
    variables.set_secret(by=SYSTEM, environment=dev, name="API_KEY", value="planted-value-of-a-secret")
    made = save(dev, reason="before the move", release="r3")
    folder = places.folder() / made.name
    found = verifying.verify(folder)
    kinds = {each.name: each.kind for each in found.members}
    assert kinds == {
        "bridge.sqlite3": "bridge",
        "bridge-files.tar": "bridge-files",
        "workspace.tar": "workspace",
        "ledger.sqlite3": "sqlite",
        "configuration.json": "configuration",
    }
    assert [each.name for each in found.members if each.is_ledger] == ["ledger.sqlite3"]
    assert (made.bytes, made.members) == (found.bytes, 5)
    assert (found.reason, found.release, found.schemas["environments"][:4]) == ("before the move", "r3", "0020")
    assert not any(b"planted-value" in path.read_bytes() for path in folder.iterdir())
    assert AuditEvent.objects.filter(kind="snapshot.save", target=f"snapshot:{made.name}").count() == 1
    made.refresh_from_db()
    assert made.checked_at is not None


def test_what_is_restored_is_what_was_saved_and_the_old_is_kept(dev, settings, workspaces):
    made = save(dev)
    orders = (workspaces / "dev" / "in" / "orders.csv").read_bytes()
    (workspaces / "dev" / "in" / "orders.csv").write_text("worse\n")
    (workspaces / "dev" / "later.csv").write_text("x")
    with sqlite3.connect(settings.DATA / "test_state.db") as database:
        database.execute("delete from sessions")
    (settings.DATA / "handoff.json").unlink()
    (settings.DATA / "results.json").write_text("{}")
    done = restoring.restore(by=SYSTEM, environment=dev, snapshot=made.name)
    assert (workspaces / "dev" / "in" / "orders.csv").read_bytes() == orders
    assert os.readlink(workspaces / "dev" / "link") == "in/orders.csv"
    assert not (workspaces / "dev" / "later.csv").exists()
    assert sessions(settings) == 500
    assert (settings.DATA / "handoff.json").exists()
    assert not (settings.DATA / "results.json").exists()
    kept = done.kept["workspace.tar"]
    assert (type(workspaces)(kept) / "in" / "orders.csv").read_text() == "worse\n"
    assert done.not_restored == ("ledger.sqlite3", "configuration.json")
    assert not places.restore_file("dev").exists()
    kinds = AuditEvent.objects.filter(target=f"snapshot:{made.name}").order_by("seq").values_list("kind", flat=True)
    assert list(kinds) == ["snapshot.save", "snapshot.restore_begin", "snapshot.restore"]


STEPS = ["_try_out", "_stop", "_swap", "_start"]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_restore_that_dies_at_any_step_goes_on_when_it_is_called_again(
    dev, settings, workspaces, monkeypatch, step, number
):
    """As by `kill -9`: nothing of the process's own clean-up is done."""
    made = save(dev)
    shutil.rmtree(workspaces / "dev")
    (settings.DATA / "test_state.db").unlink()
    calls = {"left": number}
    real = getattr(restoring._Restorer, step)

    class Killed(BaseException):
        pass

    def dies(self, *arguments):
        real(self, *arguments)
        if calls["left"] == 0:
            calls["left"] = -1
            raise Killed
        calls["left"] -= 1

    with monkeypatch.context() as killed:
        killed.setattr(restoring._Restorer, step, dies)
        killed.setattr(restoring._Restorer, "_give_up", lambda self: None)
        try:
            restoring.restore(by=SYSTEM, environment=dev, snapshot=made.name)
            died = False
        except Killed:
            died = True
    assert died == (calls["left"] == -1)
    restoring.restore(by=SYSTEM, environment=dev, snapshot=made.name)
    assert (workspaces / "dev" / "in" / "orders.csv").exists()
    assert sessions(settings) == 500
    assert not places.restore_file("dev").exists()


def test_every_byte_that_is_wrong_is_found_and_its_member_is_named(dev, tmp_path):
    made = save(dev)
    folder = places.folder() / made.name
    luck = random.Random(20261126)
    for path in sorted(folder.iterdir()):
        whole = path.read_bytes()
        places_to_flip = {0, len(whole) - 1, *(luck.randrange(len(whole)) for _ in range(40))}
        if path.name == manifest.FILE:
            places_to_flip = set(range(len(whole)))
        for place in sorted(places_to_flip):
            wrong = bytearray(whole)
            wrong[place] ^= 1 << luck.randrange(8)
            path.write_bytes(wrong)
            with pytest.raises(SnapshotDamaged) as damage:
                manifest.read(folder) if path.name == manifest.FILE else verifying.verify(folder)
            assert damage.value.member == path.name, place
        path.write_bytes(whole)
    assert verifying.verify(folder).snapshot == made.name


@pytest.mark.parametrize("harm", ["cut", "longer", "missing", "stranger", "swapped for a link", "another's manifest"])
def test_what_else_can_be_wrong_is_found(dev, harm):
    made, other = save(dev), save(dev)
    folder = places.folder() / made.name
    path = folder / "workspace.tar"
    named = "workspace.tar"
    if harm == "cut":
        path.write_bytes(path.read_bytes()[:-512])
    elif harm == "longer":
        path.write_bytes(path.read_bytes() + b"\0")
    elif harm == "missing":
        path.unlink()
    elif harm == "stranger":
        (folder / "more.tar").write_bytes(b"")
        named = "more.tar"
    elif harm == "swapped for a link":
        path.rename(folder.parent / "elsewhere")
        path.symlink_to(folder.parent / "elsewhere")
    else:
        shutil.copyfile(places.folder() / other.name / manifest.FILE, folder / manifest.FILE)
        named = manifest.FILE
    with pytest.raises(SnapshotDamaged) as damage:
        verifying.verify(folder)
    assert damage.value.member == named
    made.refresh_from_db()
    assert made.damage.startswith(f"{made.name} is damaged: {named}")


def test_a_damaged_snapshot_is_not_restored(dev, workspaces):
    made = save(dev)
    path = places.folder() / made.name / "configuration.json"
    path.write_bytes(path.read_bytes().replace(b"dev", b"dew", 1))
    (workspaces / "dev" / "later.csv").write_text("x")
    with pytest.raises(SnapshotDamaged):
        restoring.restore(by=SYSTEM, environment=dev, snapshot=made.name)
    assert (workspaces / "dev" / "later.csv").exists()
    assert not places.restore_file("dev").exists()


def test_sealed_with_another_key_is_said(dev, settings):
    made = save(dev)
    settings.AUDIT_KEY = "another"
    with pytest.raises(SnapshotDamaged, match="another AUDIT_KEY"):
        verifying.verify(places.folder() / made.name)


def test_files_that_are_written_meanwhile_are_whole(tmp_path):
    """Lines of one length, and files whose two halves are the same: a torn one would be seen."""
    folder = tmp_path / "busy"
    folder.mkdir()
    stop = threading.Event()

    def write():
        number = 0
        with (folder / "grows.log").open("a") as log:
            while not stop.is_set():
                number += 1
                log.write(f"{number:09d}\n")
                log.flush()
                half = f"{number:09d}" * 20000
                (folder / ".new").write_text(half + half)
                os.replace(folder / ".new", folder / "replaced.txt")

    (folder / "replaced.txt").write_text("11")
    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(25):
            packed = files.pack(folder, tmp_path / f"{number}.tar")
            with tarfile.open(tmp_path / f"{number}.tar") as archive:
                there = {each.name: archive.extractfile(each).read() for each in archive}
            assert len(there) == packed.entries
            if whole := there.get("replaced.txt"):
                assert whole[: len(whole) // 2] == whole[len(whole) // 2 :]
            lines = there.get("grows.log", b"").splitlines()
            assert [int(line) for line in lines[:-1]] == list(range(1, len(lines)))
    finally:
        stop.set()
        writer.join()


def test_a_file_that_is_rewritten_at_each_try_is_left_out_and_named(tmp_path, monkeypatch):
    folder = tmp_path / "busy"
    folder.mkdir()
    (folder / "a").write_text("first")
    (folder / "b").write_text("steady")

    def rewrites(archive, path, name, real=files._add_file):
        if name == "a":
            real(archive, path, name)
            raise files._Changed
        return real(archive, path, name)

    monkeypatch.setattr(files, "_add_file", rewrites)
    packed = files.pack(folder, tmp_path / "a.tar")
    assert (packed.entries, packed.unsteady) == (1, ["a"])
    assert files.read_through(tmp_path / "a.tar") == 1
    with tarfile.open(tmp_path / "a.tar") as archive:
        assert archive.getnames() == ["b"]


def test_a_full_disk_is_said_and_nothing_half_is_kept(dev, workspaces):
    (workspaces / "dev" / "large.bin").write_bytes(os.urandom(3_000_000))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))  # Python is told EFBIG, as it is told ENOSPC
    try:
        with pytest.raises(SnapshotDiskFull, match="nothing half is kept"):
            save(dev)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert places.names("dev") == []
    assert [each.name for each in places.folder().iterdir() if not each.name.startswith(".lock")] == []
    assert not Snapshot.objects.exists()


def test_what_a_dead_saver_left_counts_for_nothing_and_goes(dev):
    part = places.folder() / f".part-{places.new_name('dev')}"
    part.mkdir(parents=True)
    (part / "workspace.tar").write_bytes(b"half")
    made = save(dev)
    assert places.names("dev") == [made.name]
    assert not part.exists()


def test_a_snapshot_whose_saver_died_before_its_row_is_found(dev):
    made = save(dev)
    Snapshot.objects.all().delete()
    saving.adopt(dev)
    again = Snapshot.objects.get()
    assert (again.name, again.bytes, again.created_at) == (made.name, made.bytes, made.created_at)


def test_two_at_once_do_not_meet(dev):
    with places.held(dev), pytest.raises(SnapshotBusy):
        save(dev)
    assert save(dev).name


def test_who_may_not_does_not(dev):
    stranger = User.objects.create_user("stranger")
    with pytest.raises(Denied):
        saving.save(by=stranger, environment=dev)
    made = save(dev)
    with pytest.raises(Denied):
        restoring.restore(by=stranger, environment=dev, snapshot=made.name)
    with pytest.raises(Denied):
        pruning.prune(by=stranger, environment=dev)


def test_what_is_kept_is_the_newest_of_each_period():
    now = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
    moments = [(f"{hours}h", now - timedelta(hours=hours, minutes=1)) for hours in range(24 * 40)]
    kept = pruning.chosen(moments, pruning.Keep(hourly=3, daily=2, weekly=2))
    assert kept == {"0h", "1h", "2h", "12h", "84h"}
    assert pruning.chosen(moments, pruning.Keep(0, 0, 0)) == {"0h"}
    assert pruning.chosen([], pruning.Keep()) == set()


def test_pruning_removes_what_nobody_needs(dev, monkeypatch):
    oldest, named, middle, newest = (save(dev) for _ in range(4))
    monkeypatch.setattr(pruning, "_holders", {"test": lambda environment: [named.name]})
    for age, row in ((3, oldest), (2, named), (1, middle)):
        Snapshot.objects.filter(pk=row.pk).update(created_at=row.created_at - timedelta(days=age))
    keep = pruning.Keep(1, 1, 1)
    assert pruning.prune(by=SYSTEM, environment=dev, keep=keep, dry_run=True) == sorted([oldest.name, middle.name])
    assert len(places.names("dev")) == 4
    assert pruning.prune(by=SYSTEM, environment=dev, keep=keep) == sorted([oldest.name, middle.name])
    assert set(places.names("dev")) == {named.name, newest.name}
    assert set(Snapshot.objects.values_list("name", flat=True)) == {named.name, newest.name}
    assert AuditEvent.objects.filter(kind="snapshot.remove").count() == 2


def test_unpacking_touches_nothing_else(dev, tmp_path, workspaces):
    made = save(dev)
    (workspaces / "dev" / "later.csv").write_text("x")
    found = restoring.unpack(by=SYSTEM, environment=dev, snapshot=made.name, to=tmp_path / "look")
    assert [each.name for each in found] == [
        *("bridge-files", "bridge.sqlite3", "configuration.json", "ledger.sqlite3", "workspace"),
    ]
    assert (tmp_path / "look" / "workspace" / "in" / "orders.csv").exists()
    assert (workspaces / "dev" / "later.csv").exists()


def test_an_unknown_snapshot_is_said(dev):
    with pytest.raises(SnapshotUnknown):
        verifying.locate("dev-20261126-000000-abcdef")
    with pytest.raises(SnapshotUnknown):
        verifying.locate("/nowhere")


def _container(service, *needs):
    return Container(f"shop-{service}-1", service, "running", "", {}, (), needs)


def test_who_needs_another_is_stopped_before_it():
    web, worker, cache = _container("web", "worker"), _container("worker", "cache"), _container("cache")
    assert [each.service for each in stop_order([cache, worker, web])] == ["web", "worker", "cache"]
    circle = [_container("a", "b"), _container("b", "a")]
    assert [each.service for each in stop_order(circle)] == ["a", "b"]


def test_the_manifest_is_as_its_schema_says(dev):
    from jsonschema import Draft202012Validator

    made = save(dev)
    schema = json.loads((settings_folder() / "docs/reference/snapshot.schema.json").read_text())
    Draft202012Validator(schema).validate(json.loads((places.folder() / made.name / manifest.FILE).read_text()))


def settings_folder():
    from django.conf import settings

    return settings.BASE_DIR


def test_the_guard_does_its_commands_when_its_parent_is_gone(tmp_path):
    from apps.environments.snapshots.pausing import GUARD

    done = subprocess.run(
        [sys.executable, "-I", "-S", str(GUARD), json.dumps([["touch", str(tmp_path / "done")]])],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "ready\n"
    assert (tmp_path / "done").exists()
