"""Asks addresses, for the cases of staging. Its text is run by `python -c` in a container of its own, so it imports nothing
but the standard library. Prints one JSON document.

    get  ADDRESS …                           [{"address", "status", "seconds", "kind", "body", "error"}]
    load ADDRESS REQUESTS PARALLEL SECONDS   {"requests", "failed", "errors", "seconds", "latencies"}
"""

import json
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from itertools import count
from typing import Any

PATIENCE_SECONDS = 10.0
BODY_BYTES = 200_000


def get(address: str) -> dict[str, Any]:
    """One answer; redirects are followed. `status` is 0 where none came, and `error` says why."""
    began = time.perf_counter()
    said: dict[str, Any] = {"address": address, "status": 0, "kind": "", "body": "", "error": ""}
    try:
        with urllib.request.urlopen(address, timeout=PATIENCE_SECONDS) as answer:  # noqa: S310  a case names it
            body = answer.read()
            said |= {"status": answer.status, "kind": answer.headers.get_content_type()}
            said["body"] = body[:BODY_BYTES].decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        said |= {"status": error.code, "error": str(error)}
    except (OSError, ValueError) as error:
        said["error"] = str(error)
    return {**said, "seconds": time.perf_counter() - began}


def load(address: str, requests: int, parallel: int, seconds: float) -> dict[str, Any]:
    """Up to `requests` answers, `parallel` at a time; none is begun after `seconds`."""
    began = time.perf_counter()
    numbers, answers = count(1), []

    def ask() -> None:
        while next(numbers) <= requests and time.perf_counter() - began < seconds:
            answers.append(get(address))

    threads = [threading.Thread(target=ask) for _ in range(parallel)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    failed = [each for each in answers if each["status"] != 200]
    return {
        "requests": len(answers),
        "failed": len(failed),
        "errors": Counter(f"{each['status']} {each['error']}".strip() for each in failed),
        "seconds": time.perf_counter() - began,
        "latencies": sorted(each["seconds"] for each in answers),
    }


def main(verb: str, *arguments: str) -> None:
    if verb == "get":
        answer: Any = [get(each) for each in arguments]
    else:
        address, requests, parallel, seconds = arguments
        answer = load(address, int(requests), int(parallel), float(seconds))
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
