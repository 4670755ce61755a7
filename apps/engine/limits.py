"""How much a flow may take."""

import os
from dataclasses import dataclass

MIB = 1 << 20
GIB = 1 << 30


def _processors() -> int:
    """The processors this process may use (its affinity, which containers set), not those of the machine."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        return os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class Limits:
    """`memory_bytes`: what DuckDB plans with. `temp_bytes`: what it may spill to disk. `threads`: at work at once."""

    memory_bytes: int = 1 * GIB
    temp_bytes: int = 4 * GIB
    threads: int = _processors()

    @property
    def address_space_bytes(self) -> int:
        """The kernel's hard limit (RLIMIT_AS) for a process that plans with `memory_bytes`.

        Virtual memory is more than memory: 200 MB for Python and libraries, about 24 MB a thread (stack and
        allocator), and what the allocator holds but does not use, up to half of the rest (measured with DuckDB
        2.0 and two malloc arenas; without that setting each thread reserves 64 MB more).
        """
        return self.memory_bytes + self.memory_bytes // 2 + 384 * MIB + 24 * MIB * self.threads
