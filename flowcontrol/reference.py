"""The page of every variable, made from `.env.example`: that file is the one place where a variable is declared.

python -m flowcontrol.reference           print it
python -m flowcontrol.reference --write   write it to docs/reference/configuration.md
"""

import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / ".env.example"
PAGE = ROOT / "docs" / "reference" / "configuration.md"
_LINE = re.compile(r"^(?P<name>[A-Z][A-Z0-9_]*)=(?P<default>\S*)\s+# (?P<secret>\* )?(?P<meaning>.+)$")
INTRODUCTION = """# Configuration

<!-- Made by `python -m flowcontrol.reference --write` from `.env.example`. Change it there. -->

Flow Control is configured by environment variables alone. All are optional: `make run` needs none. A value that is not
known stops the start and says which are. A secret can also come from a file: `NAME_FILE=/path` instead of `NAME=value`.

The stacks on Docker read `.env.dev` and `.env.staging`; what stands in front of the command counts more:
`APP_PORT=8090 make dev`.
"""


@dataclass(frozen=True)
class Variable:
    name: str
    default: str
    meaning: str
    is_secret: bool


@dataclass
class Section:
    title: str
    variables: list[Variable] = field(default_factory=list)


def sections(text: str) -> list[Section]:
    """What the sample declares. Raises ValueError with the number of a line that is neither a comment nor a variable
    with its meaning."""
    found: list[Section] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith("# --- "):
            found.append(Section(line.removeprefix("# --- ")))
        elif line.strip() and not line.startswith("#"):
            found[-1].variables.append(_variable(line, number))
    return found


def _variable(line: str, number: int) -> Variable:
    match = _LINE.match(line)
    if match is None:
        raise ValueError(f".env.example:{number}: write NAME=default  # meaning, on one line: {line}")
    return Variable(match["name"], match["default"], match["meaning"], bool(match["secret"]))


def render(text: str) -> str:
    parts = [INTRODUCTION]
    for section in sections(text):
        rows = [_row(each) for each in section.variables]
        title = section.title[:1].upper() + section.title[1:]
        parts.append("\n".join([f"## {title}", "", "| variable | default | meaning |", "|---|---|---|", *rows, ""]))
    return "\n".join(parts)


def _row(variable: Variable) -> str:
    meaning = variable.meaning.replace("|", "\\|") + (" **Secret.**" if variable.is_secret else "")
    default = f"`{variable.default}`" if variable.default else ""
    return f"| `{variable.name}` | {default} | {meaning} |"


def main() -> int:
    page = render(SAMPLE.read_text(encoding="utf-8"))
    if sys.argv[1:] == ["--write"]:
        PAGE.write_text(page, encoding="utf-8")
    else:
        sys.stdout.write(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
