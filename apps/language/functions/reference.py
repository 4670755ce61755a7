"""Writes docs/reference/functions.md from the registry: `python -m apps.language.functions.reference > …`."""

import sys

from apps.language.functions import SECTIONS, Spec
from apps.language.functions.examples import TABLE
from apps.language.functions.spec import Section

_HEAD = """\
# Functions and operators

Written from the registry in `apps/language/functions/`; each example is run on each engine by the tests. An empty
value is null, texts in a value are shown without quotes, `""` is the empty text.

`name?` may be left out, `name…` may be given several times, `name!` has to be written out as a literal. `T` is any type, the
same wherever it stands in a call; `O` is the same for types that have an order (all but lists, structs and json).
An int becomes a decimal or a double by itself where one is needed, a decimal a double, a date a timestamp; nothing
else changes its type unless it is told to.
"""
_NOTES = {
    "aggregate": f"""\
They stand in `group` and, computed over the neighbours of each row, in `window`. The examples read these rows:

```
{TABLE.replace("    |", "|")}```
""",
    "window": """\
They stand in `window … order …`. The examples read the rows above, in the order of `id` unless they say another; a
value for each row.
""",
    "expectation": "They stand in `expect STEP { … }`.\n",
}


def page() -> str:
    """The whole page."""
    return "\n".join([_HEAD, *(_section(section) for section in SECTIONS)])


def _section(section: Section) -> str:
    note = _NOTES.get(section.kind, "")
    entries = "\n".join(_entry(spec) for spec in section.specs)
    return f"## {section.topic}\n\n{note + chr(10) if note else ''}{entries}"


def _entry(spec: Spec) -> str:
    title = spec.written or f"{spec.name}"
    shapes = "" if spec.written and not _is_called(spec) else _shapes(spec)
    later = "" if spec.supported else " Not supported yet (E907)."
    text = f"### `{title}`\n\n{shapes}{spec.doc}{later} Null: {spec.nulls}.\n"
    if not spec.examples:
        return text
    rows = [f"| {_code(_shown(example))} | {_value(example.value)} |" for example in spec.examples]
    return text + "\n| example | value |\n|---|---|\n" + "\n".join(rows) + "\n"


def _is_called(spec: Spec) -> bool:
    return not spec.written


def _shapes(spec: Spec) -> str:
    lines = [shape.text.replace("?!:", "?!:").replace("...", "…") for shape in spec.shapes]
    return "```\n" + "\n".join(lines) + "\n```\n\n"


def _shown(example: object) -> str:
    expression, order = getattr(example, "expression", ""), getattr(example, "order", "id")
    return expression if order == "id" else f"{expression} (order {order})"


def _code(text: str) -> str:
    return f"`{text}`".replace("|", "\\|")


def _value(value: str) -> str:
    if value == "":
        return "null"
    return value if value == "an error" else _code(value.replace("\\|", "|"))


if __name__ == "__main__":
    sys.stdout.write(page())
