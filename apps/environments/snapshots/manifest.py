"""The manifest of a snapshot: what is in it, sealed so that any byte that is wrong anywhere is found.

The seal is an HMAC-SHA256 over the document, with a key made from AUDIT_KEY, which is never rotated. The file has to be
exactly as we write such a document, so that also a blank at another place is found.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from django.conf import settings

from apps.common.files import sync_folder
from apps.environments.snapshots.errors import SnapshotDamaged

VERSION = 1
FILE = "manifest.json"
CHUNK = 1024 * 1024


@dataclass(frozen=True)
class Member:
    """One file of a snapshot. `kind`: workspace, bridge, bridge-files, volume, postgres, sqlite, configuration.

    `is_ledger`: saved to be there, and never restored with the environment. `of` is what it was copied from: a volume, or
    "service/database". `detail` is by kind: schema versions, entries, files that changed meanwhile.
    """

    name: str
    kind: str
    of: str
    bytes: int
    sha256: str
    is_ledger: bool = False
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Manifest:
    snapshot: str
    environment: str
    project: str
    saved_at: str  # ISO 8601, UTC
    saved_by: str
    reason: str
    release: str
    deployment: int | None
    seconds: float
    members: tuple[Member, ...]
    schemas: dict[str, str]  # the newest migration of each room: of which code the ledger is
    left_out: tuple[str, ...] = ()  # in words: what is not in it, and why

    @property
    def bytes(self) -> int:
        return sum(each.bytes for each in self.members)


def hash_file(path: Path) -> tuple[int, str]:
    """Size in bytes and SHA-256."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return size, digest.hexdigest()


def write(folder: Path, manifest: Manifest) -> None:
    """Write and seal it, flushed to disk with its folder."""
    with (folder / FILE).open("xb") as file:
        file.write(_rendered(_document(manifest)))
        file.flush()
        os.fsync(file.fileno())
    sync_folder(folder)


def read(folder: Path) -> Manifest:
    """The manifest, where it is exactly as it was written. Raises SnapshotDamaged."""
    try:
        raw = (folder / FILE).read_bytes()
    except OSError as error:
        raise SnapshotDamaged(folder.name, FILE, f"cannot be read: {error.strerror}") from error
    try:
        document = json.loads(raw)
        is_whole = raw == _rendered(document) and hmac.compare_digest(str(document["seal"]), _seal(document))
    except (ValueError, TypeError, KeyError, RecursionError):
        is_whole = False
    if not is_whole:
        raise SnapshotDamaged(folder.name, FILE, _why(raw))
    members = tuple(Member(**each) for each in document["members"])
    known = {name: document[name] for name in Manifest.__dataclass_fields__}
    found = Manifest(**{**known, "members": members, "left_out": tuple(document["left_out"])})
    if found.snapshot != folder.name and not folder.name.startswith("."):
        raise SnapshotDamaged(folder.name, FILE, f"is that of {found.snapshot}")
    return found


def keyed(word: str, content: bytes) -> str:
    """A fingerprint that tells nothing to who has no key of ours."""
    return hmac.new(_key(), f"{word}\0".encode() + content, hashlib.sha256).hexdigest()[:16]


def key_id() -> str:
    """Says with which key it is sealed, and nothing of it."""
    return hashlib.sha256(b"flowcontrol snapshot key\0" + _key()).hexdigest()[:8]


def _why(raw: bytes) -> str:
    if f'"key": "{key_id()}"'.encode() in raw:
        return "is not as it was sealed"
    return "is not as it was sealed, or was sealed with another AUDIT_KEY"


def _document(manifest: Manifest) -> dict[str, Any]:
    document: dict[str, Any] = {"version": VERSION, "key": key_id(), **asdict(manifest)}
    return {**document, "seal": _seal(document)}


def _key() -> bytes:
    return hmac.new(str(settings.AUDIT_KEY).encode(), b"flowcontrol snapshot 1", hashlib.sha256).digest()


def _seal(document: dict[str, Any]) -> str:
    sealed = {name: value for name, value in document.items() if name != "seal"}
    text = json.dumps(sealed, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hmac.new(_key(), text.encode(), hashlib.sha256).hexdigest()


def _rendered(document: dict[str, Any]) -> bytes:
    return (json.dumps(document, indent=2, sort_keys=True, ensure_ascii=True) + "\n").encode()
