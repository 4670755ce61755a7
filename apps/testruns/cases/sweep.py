"""What a layer leaves behind is swept away: when it ends, when it is cancelled, and when its runner is killed.

Each process of a layer has a mark in its environment. A small shell waits for the end of a pipe that only the runner
holds. The pipe ends when the runner closes it or dies, also by SIGKILL; then the shell kills whatever has the mark
(Linux; elsewhere only the process groups go, and those only while the runner lives) and removes the layer's temporary
folder. A death signal (PR_SET_PDEATHSIG) would have to be asked for between fork and exec, in Python, and would go with
the thread that forked. What empties its own environment escapes.
"""

import os
import secrets
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

# Rounds, since what is killed may just have forked. Arguments are the mark and the folder: they are no environment.
_KEEPER = """
read -r _
round=0
while [ -r /proc/self/environ ] && [ $round -lt 20 ]; do
    round=$((round + 1))
    found=$(grep -lsF -- "FLOWCONTROL_CASE=$1" /proc/[0-9]*/environ)
    [ -n "$found" ] || break
    for file in $found; do
        number=${file#/proc/}
        kill -KILL "${number%/environ}" 2>/dev/null
    done
    [ $round -lt 2 ] || sleep 0.05
done
rm -rf -- "$2"
"""


class Sweep:
    """Around a layer: `mark` goes into the environment of its processes, `folder` holds their temporary folders.

    Whatever kills the runner, the keeper outlives it: it has a session of its own. Entered once.
    """

    def __init__(self) -> None:
        self.mark = secrets.token_hex(16)
        self.folder = Path(tempfile.mkdtemp(prefix="flowcontrol-cases-"))
        self._keeper: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        read_end, self._held = os.pipe()
        try:
            self._keeper = subprocess.Popen(
                ["/bin/sh", "-c", _KEEPER, "keeper", self.mark, str(self.folder)],
                stdin=read_end,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={"PATH": os.environ.get("PATH", os.defpath)},
                cwd="/",
                start_new_session=True,
            )
        except OSError:
            os.close(self._held)
            self.folder.rmdir()
            raise
        finally:
            os.close(read_end)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.close(self._held)
        if self._keeper is not None:
            self._keeper.wait()
        shutil.rmtree(self.folder, ignore_errors=True)  # the keeper may have been killed
