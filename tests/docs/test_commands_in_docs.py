"""Every command in a ```console block of the documents runs, from the project's folder, and ends well."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)(?:#[^)]*)?\)")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def commands() -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        for block in BLOCK.finditer(page.read_text(encoding="utf-8")):
            lines = [line[2:] for line in block[1].splitlines() if line.startswith("$ ")]
            found += [(str(page.relative_to(ROOT)), line) for line in lines]
    return found


@pytest.mark.parametrize(("document", "command"), commands())
def test_a_command_in_the_documents_runs(document: str, command: str, tmp_path: Path) -> None:
    """In a copy of the examples, so that their outputs do not land in the project."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    words = shlex.split(command)
    assert words[:2] == [".venv/bin/python", "manage.py"], "examples start like this"
    done = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), *words[2:]],
        cwd=tmp_path,
        env={**os.environ, "FLOWCONTROL_DATA": str(tmp_path / "data"), "FLOWCONTROL_LOGS": str(tmp_path / "logs")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("document", PAGES, ids=lambda each: str(each.relative_to(ROOT)))
def test_a_link_in_the_documents_leads_somewhere(document: Path) -> None:
    links = LINK.findall(document.read_text(encoding="utf-8"))
    dead = [link for link in links if not (document.parent / link).exists()]
    assert dead == []
