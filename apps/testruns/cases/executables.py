"""Executables as cases: found in a folder of checks, run in a folder of their own, read by what they print.

<root>/L2/redis/answers.sh      is a case of layer L2, named L2/redis/answers.sh
"""

import contextlib
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

from apps.testruns.cases.model import DEFAULT_TIMEOUT_SECONDS, LAYERS, Case, Place, Result, result_of
from apps.testruns.cases.process import CannotStartError, Running, declared_variables
from apps.testruns.cases.reading import End, OutputReader

LONGEST_TIMEOUT_SECONDS, MOST_RETRIES = 3_600, 10
DEEPEST_FOLDER = 8
HEAD_BYTES = 2_048  # where the first line and the options of a file are looked for

_IS_BACKUP = re.compile(r"(~|\.bak|\.orig|\.rej|\.swp|\.swo|\.tmp|\.dpkg-\w+|\.rpm\w+)$|^#.*#$", re.IGNORECASE)
_IS_PYTEST = re.compile(r"(^test_.*|.*_test)\.py$")
_OPTIONS = re.compile(r"^\s*(?:#|//|--|;)\s*case:\s*(?P<said>.*?)\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Ignored:
    """A file that looks as if it might be a case and is none."""

    path: Path
    why: str


@dataclass(slots=True)
class Found:
    """What a folder of checks has, in the order of layers and names."""

    cases: list[Case] = field(default_factory=list)
    ignored: list[Ignored] = field(default_factory=list)


# --- finding ------------------------------------------------------------------------------------------------


def discover(root: Path, layers: tuple[str, ...] = LAYERS) -> Found:
    """The cases below `root`. Changes nothing and runs nothing; a folder that is not there has none.

    A case is an executable file, or a pytest file (test_*.py). A script that is not executable is a case that fails and
    says so. Other files are left alone: cases may keep their data beside them. Ignored, and listed as such: hidden
    files, editors' backups, what is neither file nor folder, links to folders and links that lead out of `root`.
    """
    found = Found()
    for layer in layers:
        if (root / layer).is_symlink():
            found.ignored.append(Ignored(root / layer, "a layer is a folder, not a link to one"))
        elif (root / layer).is_dir():
            _search(root, root / layer, layer, found, DEEPEST_FOLDER)
    return found


def _search(root: Path, folder: Path, layer: str, found: Found, depth: int) -> None:
    try:
        entries = sorted(os.scandir(folder), key=lambda each: each.name)
    except OSError as error:
        found.cases.append(
            _broken(root, folder, layer, f"The folder cannot be read ({error.strerror}): correct its mode.")
        )
        return
    for entry in entries:
        path = Path(entry.path)
        if why := _why_ignored(root, entry):
            found.ignored.append(Ignored(path, why))
        elif entry.is_dir(follow_symlinks=False):
            if depth == 0:
                found.ignored.append(Ignored(path, f"it lies more than {DEEPEST_FOLDER} folders deep"))
            elif entry.name != "__pycache__":
                _search(root, path, layer, found, depth - 1)
        elif case := _case_of(root, path, layer):
            found.cases.append(case)


def _why_ignored(root: Path, entry: os.DirEntry[str]) -> str:
    """Why this is no case whatever is in it; "" if it may be one."""
    if entry.name.startswith("."):
        return "hidden"
    if _IS_BACKUP.search(entry.name):
        return "an editor's backup"
    try:
        if entry.is_symlink():
            target = Path(entry.path).resolve(strict=True)
            if not target.is_relative_to(root.resolve()):
                return "a link that leads out of the folder of checks"
            if target.is_dir():
                return "a link to a folder"
        if not entry.is_dir() and not entry.is_file():
            return "neither a file nor a folder"
    except (OSError, RuntimeError):
        return "a link that leads nowhere"
    return ""


def _case_of(root: Path, path: Path, layer: str) -> Case | None:
    """The case that the file is, None if it is something that cases use."""
    try:
        is_executable = bool(path.stat().st_mode & (stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH))
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        if not os.access(path, os.X_OK):
            return _broken(root, path, layer, f"The file cannot be read ({error.strerror}): correct its mode.")
        is_executable, head = True, b""  # a program that may be run and not read
    is_pytest = bool(_IS_PYTEST.search(path.name))
    if not is_executable and not is_pytest:
        if head.startswith(b"#!"):
            return _broken(root, path, layer, f"It is a script that is not executable: chmod +x {path.name}")
        return None
    try:
        options = _options_in(head)
    except ValueError as error:
        return _broken(root, path, layer, str(error))
    return Case(
        layer,
        source_of(root, path),
        options.title or path.name,
        "executable" if is_executable else "pytest",
        timeout_seconds=options.timeout_seconds,
        retries=options.retries,
        path=path.absolute(),
        about=f"The {'program' if is_executable else 'pytest file'} {path.name}.",
    )


def source_of(root: Path, path: Path) -> str:
    """The name of a case: its path below the folder of checks, with whatever bytes it has."""
    return path.relative_to(root).as_posix().encode("utf-8", "replace").decode()


def _broken(root: Path, path: Path, layer: str, problem: str) -> Case:
    return Case(layer, source_of(root, path), path.name, "broken", problem=problem)


@dataclass(frozen=True, slots=True)
class _Options:
    title: str = ""
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    retries: int = 0


def _options_in(head: bytes) -> _Options:
    """What a comment near the top says: `# case: timeout=30 retries=1 title=Redis answers`. Raises ValueError."""
    line = _OPTIONS.search(head.decode("utf-8", "replace"))
    if not line:
        return _Options()
    said, _, title = line["said"].partition("title=")
    timeout_seconds, retries = DEFAULT_TIMEOUT_SECONDS, 0
    for word in said.split():
        name, _, value = word.partition("=")
        if (
            name == "timeout"
            and re.fullmatch(r"\d{1,4}(\.\d{1,3})?", value)
            and 0 < float(value) <= LONGEST_TIMEOUT_SECONDS
        ):
            timeout_seconds = float(value)
        elif name == "retries" and re.fullmatch(r"\d{1,2}", value) and int(value) <= MOST_RETRIES:
            retries = int(value)
        else:
            raise ValueError(
                f"Its line `case:` says {word!r}: write timeout= (seconds up to {LONGEST_TIMEOUT_SECONDS:,}), "
                f"retries= (up to {MOST_RETRIES}) and last title="
            )
    return _Options(title.strip(), timeout_seconds, retries)


# --- running ------------------------------------------------------------------------------------------------


def run_executable(case: Case, place: Place, folder: Path, mark: str, stopping: Event) -> Iterator[Result]:
    """Run it once, in a new folder below `folder` that is its working folder, HOME and TMPDIR, and gone afterwards.

    Results come as they are printed. Raises Stopped soon after `stopping` is set; closed early, it kills the process.
    """
    assert case.path is not None, "an executable has a path"
    started = time.monotonic()
    with own_folder(folder) as own:
        variables = declared_variables(place, case.layer, own, mark)
        try:
            running = Running([str(case.path)], folder=own, variables=variables)
        except CannotStartError as error:
            yield result_of(case, "failed", str(error))
            return
        reader = OutputReader(case, running.captured)
        with running:
            for _, line in running.lines(case.timeout_seconds, stopping):
                yield from reader.feed(line)
        yield from reader.finish(end_of(running, case, time.monotonic() - started))


def end_of(running: Running, case: Case, seconds: float) -> End:
    assert running.code is not None, "its lines were read to their end"
    late_after = case.timeout_seconds if running.timed_out else None
    return End(running.code, seconds, running.captured, late_after)


@contextlib.contextmanager
def own_folder(parent: Path) -> Iterator[Path]:
    """A new folder, removed afterwards with whatever is in it."""
    folder = tempfile.mkdtemp(dir=parent)
    try:
        yield Path(folder)
    finally:
        try:
            os.rmdir(folder)
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
