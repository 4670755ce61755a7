"""Publication of a run's outputs: all of them or none, once, whatever is killed and however often it is retried.

A workspace keeps this, which belongs to the engine alone:

    .flowcontrol/lock                          held while anything below is decided
    .flowcontrol/committing/<run_key>          a publication that has begun and may need finishing
    .flowcontrol/runs/<run_key>/fence          the lowest attempt that may still publish
    .flowcontrol/runs/<run_key>/manifest.json  what the run publishes; its existence is the point of no return
    .flowcontrol/runs/<run_key>/attempt-<n>/   what attempt n has staged; `alive` in it is locked while it works

manifest.json, version 1: {"version", "run_key", "attempt", "state": "committing" | "committed", "outcome",
"renames": [{"kind": "file" | "folder", "staged", "target", "inode"}]}. `staged` is relative to the run's folder,
`target` to the workspace. It is written atomically, after all staged files are on the disk and before the first
rename. From then on every path (this process, a recovery, the next run that publishes in the workspace) only
rolls forward; before then nothing of the old outputs has been touched.

A file is replaced by rename(2). A folder changes places with the new one in one step (renameat2 with
RENAME_EXCHANGE; on macOS renamex_np with RENAME_SWAP). Where the file system has no exchange, the folder is
renamed away and the new one renamed in: for that instant a reader finds no folder, and a kill there is repaired
by the recovery. A reader that has listed a folder before the exchange may miss the files it listed.
"""

import fcntl
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from apps.common import files
from apps.engine import exchange, paths, targets
from apps.engine.errors import EngineError, NotWritable, Superseded
from apps.engine.spec import RunOutcome

VERSION = 1
LOCK_PATIENCE_SECONDS = 60.0

Observer = Callable[[str], None]  # told the name of each point that publication has passed


def _nobody(_point: str) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Output:
    """One thing to publish: `staged` (a file, or a folder that replaces a folder) becomes `target`."""

    staged: Path
    target: Path


# --- places --------------------------------------------------------------------------------


def state_folder(workspace: Path) -> Path:
    return paths.root(workspace) / paths.STATE_FOLDER


def run_folder(workspace: Path, run_key: str) -> Path:
    """Where a run keeps what is its own. `run_key` names it for ever: letters, digits, `.`, `_`, `-`."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", run_key):
        raise EngineError(f"'{run_key}' cannot be the key of a run.", hint="Use letters, digits, '.', '_' and '-'.")
    return state_folder(workspace) / "runs" / run_key


@contextmanager
def lock(workspace: Path) -> Iterator[None]:
    """The one lock of a workspace. Held for renames only, never while data is written."""
    folder = state_folder(workspace)
    _make_folder(folder)
    handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        deadline = time.monotonic() + LOCK_PATIENCE_SECONDS
        while not _try_lock(handle):
            if time.monotonic() > deadline:
                raise EngineError(
                    "Another run has been publishing in this workspace for a minute.",
                    hint="See whether a flow process hangs there, and run again.",
                )
            time.sleep(0.01)
        yield
    finally:
        os.close(handle)


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


# --- an attempt ------------------------------------------------------------------------------


class Attempt:
    """The staging folder of one attempt. A context manager: leaving it removes what was not published."""

    def __init__(self, workspace: Path, run_key: str, number: int) -> None:
        """Fence lower attempts off and make the folder. Raises Superseded if this one is fenced off itself."""
        self.workspace, self.run_key, self.number = workspace, run_key, number
        self.folder = run_folder(workspace, run_key) / f"attempt-{number}"
        with lock(workspace):
            _raise_fence(workspace, run_key, number)
            _make_folder(self.folder)
            self._handle = os.open(self.folder / "alive", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            if not _try_lock(self._handle):
                os.close(self._handle)
                raise Superseded(f"Attempt {number} of run {run_key} is already being worked on by another process.")
        for left_over in self.folder.iterdir():
            if left_over.name != "alive":
                _remove(left_over)

    def place(self, name: str) -> Path:
        """An empty folder of the attempt's own."""
        folder = self.folder / name
        _make_folder(folder)
        return folder

    def publish(self, outputs: list[Output], outcome: RunOutcome, *, observe: Observer = _nobody) -> RunOutcome:
        """Put all outputs in place and keep `outcome` as the record of it.

        If the run was published before (by an earlier attempt that was killed after its manifest was written),
        that publication is finished and its outcome returned: never twice. Raises Superseded if a later attempt
        has begun, TargetRefused or NotWritable if a target cannot be replaced; then nothing was touched.
        """
        make_durable([output.staged for output in outputs])
        observe("staged files are durable")
        with lock(self.workspace):
            published = _finish(self.workspace, self.run_key, observe)
            if published is not None:
                return published
            _check_fence(self.workspace, self.run_key, self.number)
            _finish_others(self.workspace)
            for output in outputs:
                targets.prepare(self.workspace, output.staged, output.target)
            observe("targets are ready")
            self._commit(outputs, outcome, observe)
            finished = _finish(self.workspace, self.run_key, observe)
        assert finished is not None
        return finished

    def _commit(self, outputs: list[Output], outcome: RunOutcome, observe: Observer) -> None:
        home, run = paths.root(self.workspace), run_folder(self.workspace, self.run_key)
        renames = [
            {
                "kind": "folder" if output.staged.is_dir() else "file",
                "staged": str(output.staged.relative_to(run)),
                "target": str(output.target.relative_to(home)),
                "inode": output.staged.stat().st_ino,
            }
            for output in outputs
        ]
        manifest = {
            "version": VERSION,
            "run_key": self.run_key,
            "attempt": self.number,
            "state": "committing",
            "outcome": outcome.to_json(),
            "renames": renames,
        }
        marker = _marker(self.workspace, self.run_key)
        try:
            files.write_atomic(marker, "")
            observe("marker is written")
            files.write_atomic(run / "manifest.json", json.dumps(manifest, indent=1))
        except OSError:
            marker.unlink(missing_ok=True)
            raise
        observe("manifest is written")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            if _read(self.workspace, self.run_key).get("state") != "committing":
                _remove(self.folder)
        os.close(self._handle)


def fence(workspace: Path, run_key: str, attempt: int) -> None:
    """From now on no attempt lower than `attempt` may publish. Raises Superseded if a higher fence stands."""
    with lock(workspace):
        _raise_fence(workspace, run_key, attempt)


def _raise_fence(workspace: Path, run_key: str, attempt: int) -> None:
    if _check_fence(workspace, run_key, attempt) < attempt:
        files.write_atomic(run_folder(workspace, run_key) / "fence", f"{attempt}\n")


def _check_fence(workspace: Path, run_key: str, attempt: int) -> int:
    path = run_folder(workspace, run_key) / "fence"
    standing = int(path.read_text()) if path.exists() else 0
    if attempt < standing:
        raise Superseded(
            f"Attempt {attempt} of run {run_key} may not publish: attempt {standing} has taken over.",
            hint="Nothing to do: the later attempt finishes the run.",
        )
    return standing


# --- recovery --------------------------------------------------------------------------------


def recover(workspace: Path, run_key: str, *, observe: Observer = _nobody) -> RunOutcome | None:
    """What the run has published, after finishing a publication that was killed half way.

    None: nothing was published and the old outputs stand. Safe to call at any time, by any number of processes,
    while the run itself is publishing too; calling it twice changes nothing.
    """
    if not (run_folder(workspace, run_key) / "manifest.json").exists():
        return None
    with lock(workspace):
        return _finish(workspace, run_key, observe)


def sweep(workspace: Path, prefix: str) -> None:
    """Finish and remove the runs whose key starts with `prefix` and on which nobody works any more."""
    runs = state_folder(workspace) / "runs"
    if not any(runs.glob(f"{prefix}*")):
        return
    with lock(workspace):
        for folder in runs.glob(f"{prefix}*"):
            if not _is_alive(folder):
                with suppress(OSError, EngineError, ValueError):
                    _finish(workspace, folder.name, _nobody)
                    _remove(folder)


def forget(workspace: Path, run_key: str) -> None:
    """Remove what a finished run left in the engine's folder (record, previews). Its outputs stay."""
    _remove(run_folder(workspace, run_key))


def _is_alive(run: Path) -> bool:
    """Whether a process holds the lock of one of the run's attempts."""
    for path in run.glob("attempt-*/alive"):
        with suppress(FileNotFoundError):
            handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            free = _try_lock(handle)
            os.close(handle)
            if not free:
                return True
    return False


def _finish_others(workspace: Path) -> None:
    """Finish publications that were killed, so that an older one cannot overwrite what comes now.

    One that cannot be finished (its target was made unwritable since) stays marked and is left to its own run.
    """
    marks = _marker(workspace, "x").parent
    for marker in sorted(marks.iterdir()) if marks.exists() else ():
        with suppress(OSError, EngineError, ValueError):
            if _finish(workspace, marker.name, _nobody) is None:
                marker.unlink(missing_ok=True)  # killed between marker and manifest: nothing was published


def _finish(workspace: Path, run_key: str, observe: Observer) -> RunOutcome | None:
    """Under the lock: roll a `committing` manifest forward, and give the outcome of a committed one."""
    manifest = _read(workspace, run_key)
    if not manifest:
        return None
    if manifest["state"] == "committing":
        home, run = paths.root(workspace), run_folder(workspace, run_key)
        for number, rename in enumerate(manifest["renames"], start=1):
            _apply(rename, run / rename["staged"], home / rename["target"], observe, number)
        observe("all renames are done")
        with suppress(OSError):  # a full disk now: all is in place, and the next recovery repeats this harmless end
            files.write_atomic(run / "manifest.json", json.dumps({**manifest, "state": "committed"}, indent=1))
            observe("manifest says committed")
            _marker(workspace, run_key).unlink(missing_ok=True)
            observe("marker is removed")
            for attempt in run.glob("attempt-*"):
                _remove(attempt)
    return RunOutcome.from_json(manifest["outcome"])


def _apply(rename: dict[str, Any], staged: Path, target: Path, observe: Observer, number: int) -> None:
    """One rename, whether it is the first time or the tenth."""
    if not staged.exists() or (rename["kind"] == "folder" and _inode(target) == rename["inode"]):
        return  # done before; what is at `staged` then is the old folder
    _make_folder(target.parent)
    if rename["kind"] == "folder" and target.exists():
        if not exchange.exchange(staged, target):
            os.rename(target, staged.with_name(staged.name + ".old"))
            observe(f"old folder {number} is away")
            os.rename(staged, target)
    else:
        os.replace(staged, target)
    observe(f"rename {number} is done")
    files.sync_folder(target.parent)


def _read(workspace: Path, run_key: str) -> dict[str, Any]:
    """The run's manifest, or {} if it has none."""
    try:
        manifest: dict[str, Any] = json.loads((run_folder(workspace, run_key) / "manifest.json").read_text())
    except FileNotFoundError:
        return {}
    if manifest["version"] != VERSION:
        raise EngineError(
            f"Run {run_key} was published in format {manifest['version']}, which this version does not know.",
            hint="Finish it with the version that wrote it.",
        )
    return manifest


def _marker(workspace: Path, run_key: str) -> Path:
    return state_folder(workspace) / "committing" / run_key


# --- files -----------------------------------------------------------------------------------


def make_durable(staged: list[Path]) -> None:
    """Flush staged files and folders to the disk, inner ones first."""
    for path in staged:
        inner = sorted(path.rglob("*"), reverse=True) if path.is_dir() else []
        for each in [*inner, path, path.parent]:
            handle = os.open(each, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except PermissionError as error:
        raise NotWritable(
            f"The folder '{folder.name}' of the workspace cannot be made: {error.strerror}.",
            hint="Give the account that runs flows the right to write in the workspace.",
        ) from error


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()
