"""Health of a container, for its health check: exit status 0 when all that is named is well.

    health.py http://127.0.0.1:8000/healthz     the address answers 200
    health.py worker controller                 each has left its sign of life within SILENT_SECONDS

Runs every second while a container starts, so it imports nothing of ours and is run as a file, with `python -S`.
"""

import http.client
import os
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

SILENT_SECONDS = 30.0
ANSWER_SECONDS = 3.0


def main(names: list[str]) -> int:
    troubles = [trouble for name in names if (trouble := trouble_of(name))]
    sys.stdout.write("; ".join(troubles) or "well")
    return 1 if troubles or not names else 0


def trouble_of(name: str) -> str:
    """A sentence on what is wrong, or ''."""
    return _trouble_of_address(name) if "://" in name else _trouble_of_part(name)


def _trouble_of_address(address: str) -> str:
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", parts.path or "/", headers={"Host": "localhost"})
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"{address} does not answer: {error}"
    finally:
        connection.close()
    return "" if status == 200 else f"{address} answers {status}"


def _trouble_of_part(part: str) -> str:
    path = Path(os.environ.get("FLOWCONTROL_ALIVE", "")) / part
    try:
        silent = time.time() - path.stat().st_mtime
    except OSError:
        return f"{part} has not said yet that it is alive"
    return "" if silent <= SILENT_SECONDS else f"{part} has been silent for {silent:.0f} s"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
