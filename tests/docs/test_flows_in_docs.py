"""Every flow in the documents is checked, and its tests are run; one marked `error=CODE` must have that error."""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from apps.engine.casetests import run_tests
from apps.engine.sandbox import connect
from apps.language.checker import check, no_schemas
from apps.language.formatter import format_text
from apps.language.parser import parse

ROOT = Path(__file__).resolve().parent.parent.parent
FENCE = re.compile(r"^```flow(?: error=(?P<error>[EW]\d+))?\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Example:
    page: str
    line: int
    text: str
    error: str | None


def examples() -> list[Example]:
    found = []
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        content = page.read_text(encoding="utf-8")
        for match in FENCE.finditer(content):
            line = content.count("\n", 0, match.start()) + 2
            found.append(Example(str(page.relative_to(ROOT)), line, match["text"], match["error"]))
    return found


EXAMPLES = examples()


def codes_of(text: str) -> list[str]:
    parsed = parse(text)
    diagnostics = list(parsed.diagnostics)
    if parsed.tree is not None:
        diagnostics += check(parsed.tree, no_schemas).diagnostics
    return [item.code for item in diagnostics if item.is_error]


def test_the_language_reference_has_examples() -> None:
    assert len([example for example in EXAMPLES if example.page.endswith("reference/language.md")]) >= 8


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: f"{example.page}:{example.line}")
def test_an_example_says_the_truth(example: Example, tmp_path: Path) -> None:
    codes = codes_of(example.text)
    if example.error:
        assert example.error in codes
        return
    assert codes == []
    plan = check(parse(example.text).tree, no_schemas).plan
    assert plan is not None
    results = run_tests(plan, connect=lambda: connect(tmp_path))
    assert [result.message for result in results if not result.ok] == []
    assert format_text(format_text(example.text)) == format_text(example.text)
