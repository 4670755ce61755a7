"""Saving and restoring the volumes and databases of a stack on the real engine, under load and under `kill -9`."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.environments.bringing import SLEEPER, Stack
from tests.environments.containers.projects import docker, needs_engine
from tests.stack.portal import ROOT, Portal, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.kill]

KILLS = int(os.environ.get("KILLS", "0"))
LATEST_SECONDS = 120.0
# Writes a number into two files of a volume, one after the other, as fast as it can: a copy of one moment has at most one
# number between them.
WRITER = "i=0; while true; do i=$$((i+1)); echo $$i > /state/a; echo $$i > /state/b; done"
DATABASE = {
    "image": "postgres:17",
    "environment": {"POSTGRES_PASSWORD": "only-here-and-now", "POSTGRES_USER": "shop"},
    "volumes": ["db:/var/lib/postgresql/data"],
    "healthcheck": {
        "test": ["CMD", "pg_isready", "-q", "-h", "127.0.0.1", "-U", "shop"],
        "interval": "1s",
        "retries": 60,
    },
    "command": ["postgres", "-c", "fsync=off"],
}


class Shop:
    """A portal's data folder, and a stack with a database, a volume that is written to, and one who uses the database."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.environment = Portal(folder, settings={"LEASE_SECONDS": "2"}).environment
        writer = {**SLEEPER, "command": ["sh", "-c", WRITER], "volumes": ["state:/state"], "stop_grace_period": "1s"}
        client = {**SLEEPER, "depends_on": ["db"], "stop_grace_period": "1s"}
        services = {"db": DATABASE, "writer": writer, "client": client}
        self.stack = Stack(folder / "compose.yaml", services, {"volumes": {"db": {}, "state": {}}})
        self.stack.write()

    @property
    def volume(self) -> str:
        return f"{self.stack.project}_state"

    def name(self, service: str) -> str:
        return f"{self.stack.project}-{service}-1"

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "manage.py", *words],
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str, status: int = 0) -> dict:
        process = self.start(*words)
        said, complaint = process.communicate(timeout=LATEST_SECONDS)
        assert process.returncode == status, f"{' '.join(words)}: {said}{complaint}"
        return json.loads(said) if "--json" in words else {}

    def save(self) -> dict:
        return self.run("snapshot", "save", "shop", "--json")

    def restore(self, name: str) -> dict:
        return self.run("snapshot", "restore", name, "--yes", "--json")

    def sql(self, statements: str, database: str = "shop") -> str:
        words = ("psql", "-U", "shop", "-d", database, "-At", "-v", "ON_ERROR_STOP=1", "-c", statements)
        return docker("exec", self.name("db"), *words)

    def states(self) -> dict[str, str]:
        names = [self.name(each) for each in self.stack.services]
        said = docker("inspect", "--format", "{{.Name}} {{.State.Status}}", *names)
        return {line.split()[0].strip("/"): line.split()[1] for line in said.splitlines()}

    def all_run(self) -> bool:
        return set(self.states().values()) == {"running"}

    def in_volume(self) -> list[str]:
        return docker("exec", self.name("writer"), "cat", "/state/kept").split()

    def leftovers(self) -> list[str]:
        """Helpers, and volumes and databases that only a restore under way has."""
        helpers = docker("ps", "--all", "--filter", "label=flowcontrol.snapshot=shop", "--format", "{{.Names}}").split()
        made = docker("volume", "ls", "--filter", "label=flowcontrol.snapshot=shop", "--format", "{{.Name}}").split()
        new = [each for each in made if each.startswith(self.stack.project) and ".fc-new-" in each]
        return helpers + new + self.sql("select datname from pg_database where datname like '%fc_new%'").split()

    def hidden(self) -> list[str]:
        there = (each.name for each in (self.data / "snapshots").iterdir() if each.name.startswith("."))
        return sorted(each for each in there if not each.startswith(".lock"))

    def remove(self) -> None:
        self.stack.remove()
        for each in docker("volume", "ls", "--format", "{{.Name}}").split():
            if each.startswith(self.stack.project):
                docker("volume", "rm", "--force", each, check=False)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    needs_engine()
    shop = Shop(tmp_path_factory.mktemp("snapshots"))
    try:
        shop.run("migrate")
        words = ("--compose", str(shop.stack.file), "--project", shop.stack.project)
        shop.run("environment", "add", "shop", *words)
        shop.run("environment", "up", "shop", "--json")
        yield shop
    finally:
        shop.remove()


@pytest.fixture
def filled(shop):
    """What is in it now, as it is to be again."""
    shop.sql("drop table if exists orders; create table orders (id int primary key, word text)")
    shop.sql("insert into orders select i, repeat(md5(i::text), 20) from generate_series(1, 20000) i")
    docker(
        "exec",
        shop.name("writer"),
        "sh",
        "-c",
        "echo one two > /state/kept; chown 123:45 /state/kept; chmod 640 /state/kept",
    )
    return shop


SUM = "select count(*) || ' ' || md5(string_agg(word, '' order by id)) from orders"


def test_a_save_under_load_is_of_one_moment_and_comes_back(filled):
    shop = filled
    before = shop.sql(SUM)
    made = shop.save()
    assert made["left_out"] == []
    assert shop.all_run()
    shop.run("snapshot", "verify", made["snapshot"], "--json")
    shop.sql("truncate orders; create table later (id int)")
    docker("exec", shop.name("writer"), "sh", "-c", "rm /state/kept; echo x > /state/later")
    done = shop.restore(made["snapshot"])
    assert shop.sql(SUM) == before
    assert shop.sql("select to_regclass('later') is null") == "t"
    assert shop.in_volume() == ["one", "two"]
    assert docker("exec", shop.name("writer"), "stat", "-c", "%u:%g %a", "/state/kept") == "123:45 640"
    assert docker("exec", shop.name("writer"), "sh", "-c", "ls /state/later 2>/dev/null || true") == ""
    assert done["stopped"] == ["client", "writer"]
    assert shop.all_run()
    assert shop.leftovers() == []
    old = done["kept"]["postgres-db-shop.dump"].split()[1]
    assert shop.sql("select count(*) from orders", old) == "0"
    volume = next(kept.split()[1] for member, kept in done["kept"].items() if member.startswith("volume-"))
    assert volume in docker("volume", "ls", "--format", "{{.Name}}").split()


def test_what_is_written_to_two_files_is_torn_in_no_copy(filled, tmp_path):
    shop = filled
    for number in range(3):
        made = shop.save()
        into = tmp_path / str(number)
        shop.run("snapshot", "restore", made["snapshot"], "--to", str(into), "--json")
        folder = next(into.glob("volume-*")) / "flowcontrol-volume"
        first, second = ((folder / name).read_text().strip() for name in "ab")
        # A file is emptied before its number is written: that moment is one, too.
        if first and second:
            assert int(first) - int(second) in (0, 1)


def test_a_flipped_byte_in_a_dump_is_named_by_the_command(filled):
    shop = filled
    made = shop.save()
    dump = Path(made["path"]) / "postgres-db-shop.dump"
    whole = dump.read_bytes()
    luck = random.Random(6)
    for place in (0, len(whole) - 1, luck.randrange(len(whole))):
        dump.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        said = shop.run("snapshot", "verify", made["snapshot"], "--json", status=1)
        assert said["error"]["member"] == "postgres-db-shop.dump"
    dump.write_bytes(whole)
    shop.run("snapshot", "verify", made["snapshot"], "--json")


def test_a_killed_save_leaves_nothing_that_counts_and_nobody_paused(filled):
    shop, luck = filled, random.Random(int(os.environ.get("SEED", "1")))
    for _ in range(KILLS or 5):
        before = {path.name for path in (shop.data / "snapshots").iterdir() if not path.name.startswith(".")}
        process = shop.start("snapshot", "save", "shop", "--json")
        wait_for(shop.hidden, 60, "the save to begin")
        time.sleep(luck.uniform(0.0, 2.5))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        wait_for(shop.all_run, 20, "paused containers to go on by themselves")
        after = {path.name for path in (shop.data / "snapshots").iterdir() if not path.name.startswith(".")}
        for name in after - before:
            shop.run("snapshot", "verify", name, "--json")
    made = shop.save()
    shop.run("snapshot", "verify", made["snapshot"], "--json")
    assert shop.hidden() == []
    assert shop.leftovers() == []


def test_a_killed_restore_goes_on_and_ends_with_all_of_it(filled):
    shop, luck = filled, random.Random(int(os.environ.get("SEED", "2")))
    before, made = shop.sql(SUM), shop.save()
    for _ in range(KILLS or 5):
        wait_for(lambda: shop.states()[shop.name("writer")] == "running", 20, "the writer")
        shop.sql("delete from orders where id % 2 = 0")
        docker("exec", shop.name("writer"), "sh", "-c", "echo worse > /state/kept")
        process = shop.start("snapshot", "restore", made["snapshot"], "--yes", "--json")
        time.sleep(luck.uniform(1.0, 9.0))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        shop.restore(made["snapshot"])
        assert shop.sql(SUM) == before
        assert shop.in_volume() == ["one", "two"]
        assert shop.all_run()
        assert shop.leftovers() == []
        assert shop.hidden() == []
    older = shop.sql("select count(*) from pg_database where datname like '%fc_before%'")
    assert older == "2", "one of each of the two databases: what the restores before have kept is gone"


def test_a_full_disk_is_said_and_leaves_nothing(filled):
    """A small disk under the snapshots: what docker writes meets it, not we."""
    shop = filled
    folder = shop.data / "snapshots"
    aside = folder.with_name("snapshots-aside")
    folder.rename(aside)
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "none", folder], capture_output=True, check=False
    )
    try:
        if mounted.returncode:
            pytest.skip("this account may not mount")
        said = shop.run("snapshot", "save", "shop", "--json", status=2)
        assert said["error"]["code"] == "snapshot_disk_full"
        assert re.search("prune", said["error"]["hint"])
        assert shop.hidden() == []
        assert shop.all_run()
    finally:
        subprocess.run(["umount", folder], capture_output=True, check=False)
        folder.rmdir()
        aside.rename(folder)
