"""Publication: old or new, never half, never double, wherever it is killed."""

import errno
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from apps.common import files
from apps.engine import exchange, manifest, targets
from apps.engine.errors import EngineError, NotWritable, Superseded, TargetRefused
from apps.engine.manifest import Attempt, Output
from apps.engine.spec import RunOutcome

OUTCOME = RunOutcome("succeeded", 1.5, outputs=[{"name": "a", "path": "out/a.csv", "rows": 1, "bytes": 4}])
OTHER = RunOutcome("succeeded", 9.9)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A workspace with the outputs of an earlier run: a file, a partitioned folder and a folder of parts."""
    folder = tmp_path / "ws"
    write(folder / "out/file.csv", "old")
    write(folder / "out/folder/k=1/part-0.csv", "old")
    write(folder / "out/folder/k=2/part-0.csv", "old")
    write(folder / "out/log/part-earlier.csv", "old")
    return folder


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def stage(attempt: Attempt, word: str = "new") -> list[Output]:
    """One output of each kind: replaced file, replaced folder, appended part, and one that was not there."""
    folder, home = attempt.place("outputs"), attempt.workspace
    return [
        Output(write(folder / "0.csv", word), home / "out/file.csv"),
        Output(write(folder / "1/k=1/part-0.csv", word).parent.parent, home / "out/folder"),
        Output(write(folder / "2.csv", word), home / f"out/log/part-{attempt.run_key}.csv"),
        Output(write(folder / "3.csv", word), home / "made/deep/fresh.csv"),
    ]


def publish(workspace: Path, number: int = 1, *, observe: Callable[[str], None] | None = None) -> RunOutcome:
    with Attempt(workspace, "run-1", number) as attempt:
        return attempt.publish(stage(attempt), OUTCOME, observe=observe or (lambda _point: None))


def seen(workspace: Path) -> dict[str, str]:
    """Every file that is no business of the engine alone."""
    return {
        str(path.relative_to(workspace)): path.read_text()
        for path in sorted(workspace.rglob("*"))
        if path.is_file() and ".flowcontrol" not in path.parts
    }


OLD = {
    "out/file.csv": "old",
    "out/folder/k=1/part-0.csv": "old",
    "out/folder/k=2/part-0.csv": "old",
    "out/log/part-earlier.csv": "old",
}
NEW = {
    "made/deep/fresh.csv": "new",
    "out/file.csv": "new",
    "out/folder/k=1/part-0.csv": "new",
    "out/log/part-earlier.csv": "old",
    "out/log/part-run-1.csv": "new",
}


def in_child(work: Callable[[], object]) -> int:
    """Run `work` in a child of this process; its wait status."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(7)
    return os.waitpid(child, 0)[1]


def killed_at(workspace: Path, point: int, work: Callable[[Callable[[str], None]], object]) -> None:
    """Do `work` in a child that dies by SIGKILL when it has passed its `point`-th point."""
    passed: list[str] = []

    def observe(name: str) -> None:
        passed.append(name)
        if len(passed) == point:
            os.kill(os.getpid(), signal.SIGKILL)

    status = in_child(lambda: work(observe))
    assert os.WIFSIGNALED(status), "the child should have been killed at this point"


POINTS = (
    "staged files are durable",
    "targets are ready",
    "marker is written",
    "manifest is written",
    "rename 1 is done",
    "rename 2 is done",
    "rename 3 is done",
    "rename 4 is done",
    "all renames are done",
    "manifest says committed",
    "marker is removed",
)
EVERY_POINT = range(1, len(POINTS) + 1)
COMMITTED = POINTS.index("manifest is written") + 1  # from here on it is published


def test_the_points_of_a_publication_are_these(workspace: Path) -> None:
    passed: list[str] = []
    publish(workspace, observe=passed.append)
    assert tuple(passed) == POINTS


def test_it_publishes_all_and_leaves_no_staging(workspace: Path) -> None:
    assert publish(workspace) == OUTCOME
    assert seen(workspace) == NEW
    assert not list((workspace / ".flowcontrol").rglob("attempt-*"))
    assert not list((workspace / ".flowcontrol/committing").iterdir())


@pytest.mark.kill
@pytest.mark.parametrize("point", EVERY_POINT)
def test_killed_anywhere_it_is_old_or_new_and_recovery_finishes_it(workspace: Path, point: int) -> None:
    killed_at(workspace, point, lambda observe: publish(workspace, observe=observe))
    for name, text in seen(workspace).items():
        assert text in ("old", "new"), name
    outcome = manifest.recover(workspace, "run-1")
    if point < COMMITTED:
        assert (outcome, seen(workspace)) == (None, OLD)
    else:
        assert (outcome, seen(workspace)) == (OUTCOME, NEW)
    assert manifest.recover(workspace, "run-1") == outcome, "a second recovery changes nothing"


@pytest.mark.kill
@pytest.mark.parametrize("point", EVERY_POINT)
def test_the_next_attempt_publishes_only_if_the_killed_one_did_not(workspace: Path, point: int) -> None:
    killed_at(workspace, point, lambda observe: publish(workspace, observe=observe))
    with Attempt(workspace, "run-1", 2) as attempt:
        outcome = attempt.publish(stage(attempt, "newer"), OTHER)
    texts = set(seen(workspace).values())
    assert (outcome, texts) == ((OTHER, {"old", "newer"}) if point < COMMITTED else (OUTCOME, {"old", "new"}))
    assert seen(workspace).keys() == NEW.keys()


@pytest.mark.kill
def test_a_recovery_that_is_killed_is_finished_by_the_next(workspace: Path) -> None:
    killed_at(workspace, COMMITTED, lambda observe: publish(workspace, observe=observe))
    for point in (1, 1, 2):
        killed_at(workspace, point, lambda observe: manifest.recover(workspace, "run-1", observe=observe))
    assert manifest.recover(workspace, "run-1") == OUTCOME
    assert seen(workspace) == NEW


@pytest.mark.kill
def test_many_recoveries_at_once_agree(workspace: Path) -> None:
    killed_at(workspace, COMMITTED + 1, lambda observe: publish(workspace, observe=observe))
    children = []
    for _ in range(8):
        child = os.fork()
        if child == 0:
            os._exit(0 if manifest.recover(workspace, "run-1") == OUTCOME else 1)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 8
    assert seen(workspace) == NEW


@pytest.mark.kill
@pytest.mark.parametrize("point", range(1, len(POINTS) + 2))
def test_without_an_exchange_of_folders_a_kill_still_ends_in_old_or_new(
    workspace: Path, point: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "exchange", lambda _one, _other: False)
    killed_at(workspace, point, lambda observe: publish(workspace, observe=observe))
    outcome = manifest.recover(workspace, "run-1")
    assert seen(workspace) == (NEW if outcome else OLD)


def test_this_system_exchanges_folders(workspace: Path) -> None:
    (workspace / "a").mkdir()
    write(workspace / "b/x", "b")
    assert exchange.exchange(workspace / "a", workspace / "b")
    assert (workspace / "a/x").read_text() == "b"
    assert not exchange.exchange(workspace / "a", workspace / "missing")


def test_a_folder_is_never_missing_while_it_is_replaced(workspace: Path) -> None:
    found: list[int] = []
    publish(workspace, observe=lambda _point: found.append(len([*(workspace / "out/folder").iterdir()])))
    assert set(found) == {2, 1}


@pytest.mark.kill
def test_an_older_publication_that_was_killed_does_not_overwrite_a_newer_run(workspace: Path) -> None:
    killed_at(workspace, COMMITTED, lambda observe: publish(workspace, observe=observe))
    with Attempt(workspace, "run-2", 1) as attempt:
        attempt.publish([Output(write(attempt.place("outputs") / "0", "newest"), workspace / "out/file.csv")], OTHER)
    assert manifest.recover(workspace, "run-1") == OUTCOME
    assert seen(workspace)["out/file.csv"] == "newest"


# --- fencing -----------------------------------------------------------------------------------


def test_a_lower_attempt_may_not_publish(workspace: Path) -> None:
    with Attempt(workspace, "run-1", 1) as attempt:
        outputs = stage(attempt)
        manifest.fence(workspace, "run-1", 2)
        with pytest.raises(Superseded) as caught:
            attempt.publish(outputs, OUTCOME)
    assert caught.value.hint
    assert seen(workspace) == OLD


def test_a_lower_attempt_may_not_begin(workspace: Path) -> None:
    manifest.fence(workspace, "run-1", 3)
    with pytest.raises(Superseded):
        Attempt(workspace, "run-1", 2)
    with pytest.raises(Superseded):
        manifest.fence(workspace, "run-1", 2)


def test_the_same_attempt_cannot_be_worked_on_twice(workspace: Path) -> None:
    with Attempt(workspace, "run-1", 1) as attempt:
        staged = stage(attempt)
        with pytest.raises(Superseded):
            Attempt(workspace, "run-1", 1)
        assert staged[0].staged.exists()


def test_an_attempt_that_fails_leaves_no_staging(workspace: Path) -> None:
    def fail() -> None:
        with Attempt(workspace, "run-1", 1) as attempt:
            stage(attempt)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not list((workspace / ".flowcontrol").rglob("attempt-*"))
    assert manifest.recover(workspace, "run-1") is None


# --- what may be replaced ----------------------------------------------------------------------


def refused(workspace: Path, target: str, *, folder: bool = False) -> str:
    with Attempt(workspace, "run-1", 1) as attempt:
        place = attempt.place("outputs")
        staged = write(place / "1/k=1/part-0.csv", "new").parent.parent if folder else write(place / "0.csv", "new")
        good = Output(write(place / "good.csv", "new"), workspace / "out/file.csv")
        with pytest.raises(EngineError) as caught:
            attempt.publish([good, Output(staged, workspace / target)], OUTCOME)
    assert seen(workspace)["out/file.csv"] == "old", "nothing of the run was published"
    assert caught.value.hint
    assert str(workspace) not in caught.value.message
    return caught.value.message


def test_a_folder_with_files_of_others_is_not_replaced(workspace: Path) -> None:
    write(workspace / "out/folder/notes.txt", "mine")
    assert "'notes.txt' is not its own" in refused(workspace, "out/folder", folder=True)


def test_a_file_does_not_replace_a_folder_nor_a_folder_a_file(workspace: Path) -> None:
    assert "a folder is there" in refused(workspace, "out/folder")
    assert "a file is there" in refused(workspace, "out/file.csv", folder=True)
    assert "is a file, not a folder" in refused(workspace, "out/file.csv/x.csv")


def test_a_target_that_became_a_link_out_of_the_workspace_is_refused(workspace: Path) -> None:
    (workspace / "elsewhere").symlink_to(workspace.parent)
    assert "symlink" in refused(workspace, "elsewhere/x.csv")


@pytest.mark.skipif(not os.path.ismount("/dev/shm"), reason="needs a second disk: /dev/shm")
def test_a_target_on_another_disk_is_refused(workspace: Path) -> None:
    with Attempt(workspace, "run-1", 1) as attempt, pytest.raises(TargetRefused, match="another disk"):
        targets.check_disk(workspace, Path("/dev/shm/x.csv"), attempt.folder)


def test_an_unwritable_folder_is_refused_and_the_old_output_stands(workspace: Path) -> None:
    """Root may write anywhere, so the child becomes nobody first."""
    (workspace / "out").chmod(0o555)
    (workspace / ".flowcontrol").mkdir()
    for path in (workspace.parent, workspace, workspace / ".flowcontrol"):
        path.chmod(0o777)

    def work() -> None:
        if os.getuid() == 0:
            os.setuid(65534)
        with Attempt(workspace, "run-1", 1) as attempt:
            staged = write(attempt.place("outputs") / "0.csv", "new")
            try:
                attempt.publish([Output(staged, workspace / "out/file.csv")], OUTCOME)
            except NotWritable as error:
                os._exit(0 if "'out' cannot be written" in error.message else 1)

    parents = [p for p in workspace.parents if p.stat().st_mode & 0o005 != 0o005]
    for path in parents:
        path.chmod(path.stat().st_mode | 0o055)
    assert os.waitstatus_to_exitcode(in_child(work)) == 0
    assert seen(workspace) == OLD


def test_a_disk_that_is_full_when_the_manifest_is_written_leaves_the_old(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_atomic = files.write_atomic

    def full(path: Path, content: bytes | str, **options: int) -> None:
        if path.name == "manifest.json":
            raise OSError(errno.ENOSPC, "No space left on device")
        write_atomic(path, content, **options)

    monkeypatch.setattr(files, "write_atomic", full)
    with pytest.raises(OSError, match="No space"):
        publish(workspace)
    assert seen(workspace) == OLD
    assert manifest.recover(workspace, "run-1") is None
    assert not list((workspace / ".flowcontrol/committing").iterdir())


# --- keeping house -------------------------------------------------------------------------------


@pytest.mark.kill
def test_sweep_finishes_and_removes_what_nobody_works_on(workspace: Path) -> None:
    killed_at(workspace, COMMITTED, lambda observe: publish(workspace, observe=observe))
    with Attempt(workspace, "run-2", 1) as alive:
        manifest.sweep(workspace, "run-")
        assert alive.folder.exists()
    assert seen(workspace) == NEW
    assert [path.name for path in (workspace / ".flowcontrol/runs").iterdir()] == ["run-2"]


def test_a_manifest_of_a_later_format_is_not_guessed_at(workspace: Path) -> None:
    publish(workspace)
    path = workspace / ".flowcontrol/runs/run-1/manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": 2}))
    with pytest.raises(EngineError, match="format 2"):
        manifest.recover(workspace, "run-1")


@pytest.mark.parametrize("key", ["", "../x", "a/b", ".hidden", "x" * 101, "a b"])
def test_a_key_that_is_no_plain_name_is_refused(workspace: Path, key: str) -> None:
    with pytest.raises(EngineError, match="cannot be the key"):
        manifest.recover(workspace, key)
