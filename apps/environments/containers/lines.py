"""The last lines that a container wrote, secrets hidden. Nothing here writes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import docker

from apps.environments.containers.plain import plain

MOST_LINES = 200
MOST_BYTES = 256 * 1024
LONGEST_LINE = 4000  # characters shown of one
# Kept beyond that while masking, then thrown away: a secret that the cut went through is still found whole.
MARGIN = 8 * 1024


@dataclass(frozen=True, slots=True)
class Tail:
    """The last lines of one container. `cut`: there was more in them than is shown."""

    container: str
    lines: tuple[str, ...]
    cut: bool = False


def tail_of(
    client: docker.DockerClient, container: str, name: str, mask: Callable[[str], str], *, most: int, deadline: float
) -> Tail:
    """The last MOST_LINES lines of both its streams, oldest first; of `most` bytes, and what came until `deadline`
    (monotonic seconds).

    Without the engine's own times: it puts one into the middle of a line of more than 16 KiB, and a secret that it
    falls into would be shown.
    """
    kept, cut = bytearray(), False
    for chunk in client.api.logs(container, stream=True, follow=False, tail=MOST_LINES, timestamps=False):
        kept += chunk
        if len(kept) > 2 * (most + MARGIN):
            kept, cut = kept[-(most + MARGIN) :], True
        if time.monotonic() > deadline:
            break
    return shown(bytes(kept), cut, name, mask, most)


def shown(written: bytes, cut: bool, name: str, mask: Callable[[str], str], most: int) -> Tail:
    """Bytes as lines to show: masked as a whole first, then cut, so that no part of a secret is left at an edge."""
    cut = cut or len(written) > most
    text = mask(written.decode("utf-8", "replace"))
    if cut:
        text = text[-most:] if len(text) > most + MARGIN else text[min(MARGIN, len(text)) :]
        _, broken, rest = text.partition("\n")
        text = rest if broken and rest else text
    lines = [_short(plain(line)) for line in text.splitlines()]
    return Tail(name, tuple(lines[-MOST_LINES:]), cut)


def _short(line: str) -> str:
    more = len(line) - LONGEST_LINE
    return f"{line[:LONGEST_LINE]} … {more:,} more characters" if more > 0 else line
