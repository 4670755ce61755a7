"""Every case in the documents is run, and its results are those that stand below it."""

import re
from pathlib import Path

import pytest

from apps.testruns.cases import checks
from apps.testruns.cases.executables import discover
from apps.testruns.cases.model import Place
from apps.testruns.cases.runner import run_layer

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/how-to/write-a-case.md"
EXAMPLE = re.compile(r"^```(?:sh|python) (.*?)\n(.*?)^```\n\n```results\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXAMPLES = EXAMPLE.findall(PAGE.read_text(encoding="utf-8"))


def test_every_way_to_write_a_case_has_an_example():
    kinds = [kind for kind, _, _ in EXAMPLES]
    assert len(kinds) == PAGE.read_text(encoding="utf-8").count("```results")
    assert {"check", "case=L2/test_variables.py", "case=L2/disk.sh", "case=L2/files.sh", "case=L2/ports.sh"} <= set(kinds)


@pytest.mark.parametrize(("kind", "text", "expected"), EXAMPLES, ids=[kind for kind, _, _ in EXAMPLES])
def test_an_example_says_the_truth(kind, text, expected, tmp_path, monkeypatch):
    if kind == "check":
        registry = checks.Registry()
        monkeypatch.setattr(checks, "check", registry.check)
        exec(compile(text, str(PAGE), "exec"), {"__name__": "examples"})
        cases = registry.cases("dev")
    else:
        path = tmp_path / kind.removeprefix("case=")
        path.parent.mkdir()
        path.write_text(text)
        path.chmod(0o644 if path.suffix == ".py" else 0o755)
        cases = discover(tmp_path).cases
    outcome = run_layer("L2", cases, Place("dev", tmp_path))
    assert [(each.status, each.title) for each in outcome.results] == [
        tuple(line.split(maxsplit=1)) for line in expected.splitlines()
    ]
