"""Results that shells have written: taken in once, by file and place, in the transaction of the verb that reads them.

A shell process appends to a file of its own, `bridge/spool/<session>.<process>.<n>`, one line a result, nine fields with
tabs between:

    1 <session> <layer> <pass|fail|skip> <seconds> <source> <title> <message> .

`\\\\`, `\\t` and `\\n` stand for a backslash, a tab and a newline; all else is as it was, in UTF-8. A line begins with a
newline of its own, so that one whose writer died does not run into the next; empty lines mean nothing. What has no
newline behind it is not written yet. A line that has one and cannot be read counts as a failed case: nothing that was
reported may vanish.
"""

import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from apps.bridge import rows
from apps.bridge.records import CaseRecord, CaseStatus
from apps.bridge.states import LAYERS

_STATUSES: dict[str, CaseStatus] = {"pass": "passed", "fail": "failed", "skip": "skipped"}
_ESCAPES = {"\\\\": "\\", "\\t": "\t", "\\n": "\n"}
_ESCAPE = re.compile(r"\\[\\tn]")
_SECONDS = re.compile(r"[0-9]+(\.[0-9]*)?|\.[0-9]+")


@dataclass(frozen=True, slots=True)
class Line:
    """A whole line: its result, or None where it cannot be read."""

    file: str
    place: int  # of its first byte
    text: bytes

    @property
    def key(self) -> str:
        return f"spool:{self.file}:{self.place}"

    def read(self, session: str, at: str) -> CaseRecord | None:
        fields = self.text.decode("utf-8", "replace").split("\t")
        if len(fields) != 9 or fields[0] != "1" or fields[1] != session or fields[8] != ".":
            return None
        layer, word, seconds, source, title, message = fields[2:8]
        if layer not in LAYERS or word not in _STATUSES or not _SECONDS.fullmatch(seconds or "0"):
            return None
        return CaseRecord(
            title=_unescaped(title),
            status=_STATUSES[word],
            layer=layer,
            source=_unescaped(source),
            seconds=float(seconds or "0"),
            message=_unescaped(message),
            at=at,
            key=self.key,
        )

    def unreadable(self, layer: str, at: str) -> CaseRecord:
        return CaseRecord(
            title=f"a result that can be read ({self.file}, byte {self.place})",
            status="failed",
            layer=layer,
            source=self.file,
            message=f"The line is damaged: {self.text[:500]!r}",
            at=at,
            key=self.key,
        )


def files_of(folder: Path, session: str) -> list[Path]:
    return sorted(folder.glob(f"{session}.*"))


def take_in(connection: sqlite3.Connection, folder: Path, session: str, at: str) -> int:
    """Add what shells have written since the last time; how many results. In the caller's transaction.

    Run twice, or rolled back and run again, each line is one result: the place up to which a file was read is kept
    beside the results, and file and place are the key of each.
    """
    added = 0
    begun = [each.name for each in rows.layers(connection, session)]
    for path in files_of(folder, session):
        if not begun:
            break
        start = rows.spool_place(connection, path.name)
        end = start
        for line in _lines(path, start):
            found = line.read(session, at)
            if found is None or found.layer not in begun:
                found = line.unreadable(begun[-1], at)
            added += rows.add_case(connection, session, found)
            end = line.place + len(line.text) + 1
        if end > start:
            rows.keep_spool_place(connection, session, path.name, end)
    return added


def unread(connection: sqlite3.Connection, folder: Path, session: str) -> list[str]:
    """Files that hold whole lines which were not taken in."""
    return [
        path.name
        for path in files_of(folder, session)
        if any(True for _ in _lines(path, rows.spool_place(connection, path.name)))
    ]


def _lines(path: Path, start: int) -> Iterator[Line]:
    """The whole lines from `start` on."""
    with path.open("rb") as file:
        file.seek(start)
        data = file.read()
    place = start
    for text in data.split(b"\n")[:-1]:
        if text:
            yield Line(path.name, place, text)
        place += len(text) + 1


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda found: _ESCAPES[found[0]], text)
