"""What a process says, without ever holding all of it: lines that are cut, and a capture that keeps head and tail."""

from collections import deque
from collections.abc import Iterator

LONGEST_LINE = 16_384  # bytes; the rest of a longer line is dropped
LARGEST_CAPTURE = 60_000  # characters, under what a Result holds


class Lines:
    """Turns chunks of bytes into lines of text. An endless line takes no more memory than the longest one."""

    __slots__ = ("_begun", "_dropping")

    def __init__(self) -> None:
        self._begun = b""
        self._dropping = False

    def feed(self, chunk: bytes) -> Iterator[str]:
        *whole, begun = (self._begun + chunk).split(b"\n")
        for line in whole:
            if not self._dropping:
                yield _as_text(line[:LONGEST_LINE])
            self._dropping = False
        self._begun = b"" if self._dropping else begun
        if len(self._begun) > LONGEST_LINE:
            yield _as_text(self._begun[:LONGEST_LINE])
            self._begun, self._dropping = b"", True

    def rest(self) -> Iterator[str]:
        """The last line, if nothing ended it."""
        if self._begun:
            yield _as_text(self._begun)
        self._begun = b""


def _as_text(line: bytes) -> str:
    return line.removesuffix(b"\r").decode("utf-8", "replace")


class Capture:
    """The first and the last lines of a text, at most `largest` characters of it. `last` is the end, by lines."""

    __slots__ = ("_head", "_left", "_room", "_tail", "_tail_size", "left_out")

    def __init__(self, largest: int = LARGEST_CAPTURE) -> None:
        self._room = self._left = largest // 2
        self._head: list[str] = []
        self._tail: deque[str] = deque()
        self._tail_size = 0
        self.left_out = 0

    def add(self, line: str) -> None:
        size = len(line) + 1
        if not self._tail and size <= self._left:
            self._head.append(line)
            self._left -= size
            return
        if self._room < 2:
            self.left_out += 1
            return
        kept = line[1 - self._room :]  # a line counts with its end
        self._tail.append(kept)
        self._tail_size += len(kept) + 1
        while self._tail_size > self._room:
            self._tail_size -= len(self._tail.popleft()) + 1
            self.left_out += 1

    def text(self) -> str:
        gap = [f"… {self.left_out:,} lines left out …"] if self.left_out else []
        return "\n".join([*self._head, *gap, *self._tail])

    def last(self, count: int = 10) -> list[str]:
        """The last lines that say something."""
        lines = [line.strip() for line in (self._tail or self._head) if line.strip()]
        return lines[-count:]
