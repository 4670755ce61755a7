"""The process in which a flow's own tests run: limited like a run's, without Django, and gone when its parent is.

Standard input brings one JSON object: {"text", "workspace", "memory_bytes"}; standard output takes one back:
{"cases": [{"title", "ok", "message", "seconds"}]}, or {"error": message} for a text that cannot be checked any more.
"""

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from apps.engine import child
from apps.engine.limits import MIB, Limits

TEMP_BYTES = 256 * MIB


def limits(memory_bytes: int) -> Limits:
    """What the tests of a flow may take: made-up rows need little."""
    return Limits(memory_bytes, TEMP_BYTES, 1)


def main(parent: int) -> None:
    child.isolate(parent)
    given = json.load(sys.stdin)
    child.limit(limits(given["memory_bytes"]))
    json.dump(answer(given["text"], Path(given["workspace"])), sys.stdout)
    sys.stdout.flush()
    os._exit(0)


def answer(text: str, workspace: Path) -> dict[str, Any]:
    """The results of a text's tests, whose sources are made up; only columns are looked up in the workspace."""
    # Only now: what they import is to live under the limits.
    from apps.engine import sandbox
    from apps.engine.casetests import run_tests
    from apps.engine.schemas import schema_reader
    from apps.language.checker import check
    from apps.language.parser import parse

    tree = parse(text).tree
    plan = check(tree, schema_reader(workspace)).plan if tree else None
    if plan is None:
        return {"error": "The text can no longer be checked; a source's file may be gone. Save it again to see why."}
    with tempfile.TemporaryDirectory() as nothing:
        results = run_tests(plan, connect=lambda: sandbox.connect(Path(nothing), limits(TEMP_BYTES)))
    return {
        "cases": [
            {"title": each.title, "ok": each.ok, "message": each.message, "seconds": round(each.seconds, 4)}
            for each in results
        ]
    }


if __name__ == "__main__":
    main(int(sys.argv[1]))
