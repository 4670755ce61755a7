"""Two paths change places in one step, where the system can."""

import ctypes
import os
import sys
from pathlib import Path

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2  # renameat2(2), Linux
_RENAME_SWAP = 2  # renamex_np(2), macOS


def exchange(one: Path, other: Path) -> bool:
    """Swap two existing paths of one file system atomically. False, and nothing done, where that is not possible."""
    library = ctypes.CDLL(None, use_errno=True)
    first, second = os.fsencode(one), os.fsencode(other)
    try:
        if sys.platform == "darwin":
            result = library.renamex_np(first, second, ctypes.c_uint(_RENAME_SWAP))
        else:
            result = library.renameat2(_AT_FDCWD, first, _AT_FDCWD, second, ctypes.c_uint(_RENAME_EXCHANGE))
    except AttributeError:  # a C library without the call
        return False
    return bool(result == 0)
