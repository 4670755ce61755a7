"""The reference of diagnostics says what the code says, and its examples show it."""

import re
from pathlib import Path

import pytest

from apps.language.checker import check, no_schemas
from apps.language.parser import parse

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reference" / "errors.md"
SECTION = re.compile(r"^## (?P<code>[EW]\d{3})\b(?P<body>.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
FENCE = re.compile(r"^```flow[^\n]*\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
SECTIONS = [(found["code"], found["body"]) for found in SECTION.finditer(PAGE.read_text(encoding="utf-8"))]
EXAMPLES = [(code, found["text"]) for code, body in SECTIONS for found in FENCE.finditer(body)]


def codes_in_sources() -> set[str]:
    found: set[str] = set()
    for path in (ROOT / "apps").rglob("*.py"):
        found |= set(re.findall(r'"([EW]\d{3})"', path.read_text(encoding="utf-8")))
    return found


def test_each_code_of_the_sources_stands_in_the_reference_and_the_reverse() -> None:
    documented = [code for code, _ in SECTIONS]
    assert sorted(documented) == sorted(set(documented))
    assert set(documented) == codes_in_sources()


def test_each_error_and_warning_of_the_checker_has_an_example() -> None:
    shown = {code for code, _ in EXAMPLES}
    at_run_time = {code for code, _ in SECTIONS if code[:2] in ("E0", "E1", "E5") or code.startswith("E39")}
    assert {code for code, _ in SECTIONS} - at_run_time == shown - at_run_time


@pytest.mark.parametrize(("code", "text"), EXAMPLES, ids=[code for code, _ in EXAMPLES])
def test_an_example_shows_its_code_and_no_other(code: str, text: str) -> None:
    parsed = parse(text)
    assert parsed.tree is not None
    assert [item.code for item in [*parsed.diagnostics, *check(parsed.tree, no_schemas).diagnostics]] == [code]
