"""Each variable that is read is declared, each that is declared is read, and the page is what the declarations say."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from flowcontrol.reference import PAGE, SAMPLE, render, sections

ROOT = Path(__file__).resolve().parent.parent.parent
READERS = {f"environment.{name}" for name in ("text", "flag", "number", "words", "folder", "choice")}
# Of the system, of Python, of the engine and of GitHub: not ours to explain.
OF_OTHERS = {
    "PATH",
    "HOME",
    "TERM",
    "NO_COLOR",
    "CI",
    "USER",
    "LOGNAME",
    "PYTHONPATH",
    "TMPDIR",
    "DJANGO_SETTINGS_MODULE",
}


def declared() -> set[str]:
    return {each.name for section in sections(SAMPLE.read_text(encoding="utf-8")) for each in section.variables}


def read_by_settings() -> Iterator[str]:
    """The first argument of every `environment.text("NAME")` and its like."""
    for path in (ROOT / "flowcontrol").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in READERS:
                name = node.args[0]
                assert isinstance(name, ast.Constant), f"{path}: a variable is read by its plain name"
                yield str(name.value)


def read_by_compose() -> set[str]:
    files = [ROOT / "compose.dev.yaml", ROOT / "compose.staging.yaml"]
    text = "\n".join(
        line.partition(" # ")[0]
        for path in files
        for line in path.read_text("utf-8").splitlines()
        if not line.startswith("#")
    )
    return set(re.findall(r"\$\{([A-Z][A-Z0-9_]*)", text))


def test_the_page_is_what_the_sample_says():
    assert PAGE.read_text(encoding="utf-8") == render(SAMPLE.read_text(encoding="utf-8")), (
        "run: python -m flowcontrol.reference --write"
    )


def test_each_variable_that_is_read_is_declared():
    assert sorted({*read_by_settings(), *read_by_compose()} - declared() - OF_OTHERS) == []


def test_each_variable_that_is_declared_is_read_somewhere():
    places = [
        *(ROOT / "flowcontrol").rglob("*.py"),
        *(ROOT / "apps").rglob("*.py"),
        *(ROOT / "apps").rglob("*.sh"),
        *ROOT.glob("compose.*.yaml"),
    ]
    text = "\n".join(path.read_text(encoding="utf-8") for path in places)
    assert [name for name in sorted(declared()) if not re.search(rf"\b{name}\b", text)] == []


@pytest.mark.parametrize("name", [".env.dev", ".env.staging"])
def test_settings_of_a_stack_are_declared(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    assert set(re.findall(r"^([A-Z_]+)=", text, re.MULTILINE)) <= declared()


def test_a_line_without_a_meaning_is_refused_with_its_number():
    with pytest.raises(ValueError, match=r"\.env\.example:2"):
        sections("# --- a\nNAME=value\n")
