"""Writes docs/reference/functions.md from the registry: `python -m apps.language.functions.reference > …`."""

import sys
from textwrap import fill

from apps.language.functions import CALLED_OPERATORS, SECTIONS, Example, Spec
from apps.language.functions.examples import TABLE
from apps.language.functions.spec import ERROR, Section

_HEAD = """\
# Functions and operators

Written from the registry in `apps/language/functions/`; each example is run on each engine by the tests. An empty
value is null, texts in a value are shown without quotes, `""` is the empty text.

`name?` may be left out, `name…` may be given several times, `name!` has to be written out as a literal. `T` is any
type, the same wherever it stands in a call; `O` is the same for types that have an order (all but lists, structs and
json). An int becomes a decimal or a double by itself where one is needed, a decimal a double, a date a timestamp;
nothing else changes its type unless it is told to.
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
    # `cast` and `try_cast` are what a plan has for `to_…` and `try_…`: nobody writes them.
    entries = "\n".join(_entry(spec) for spec in section.specs if spec.written or spec.kind != "operator")
    return f"## {section.topic}\n\n{note + chr(10) if note else ''}{entries}"


def _entry(spec: Spec) -> str:
    later = " Not supported yet (E907)." if not spec.supported else ""
    doc = fill(f"{spec.doc}{later} Nulls: {spec.nulls}.", 118, break_long_words=False, break_on_hyphens=False)
    text = f"### `{spec.written or spec.name}`\n\n```\n{_shapes(spec)}\n```\n\n{doc}\n"
    if not spec.examples:
        return text
    rows = [f"| {_code(_shown(example))} | {_value(example.value)} |" for example in spec.examples]
    return text + "\n| example | value |\n|---|---|\n" + "\n".join(rows) + "\n"


def _shapes(spec: Spec) -> str:
    """How it is called; of an operator, which is written otherwise, its types."""
    lines = [shape.text.replace("...", "…") for shape in spec.shapes]
    if spec.written and spec.name not in CALLED_OPERATORS:
        lines = [line[len(spec.name) :] for line in lines]
    return "\n".join(lines)


def _shown(example: Example) -> str:
    return example.expression if example.order == "id" else f"{example.expression} (order {example.order})"


def _code(text: str) -> str:
    return f"`{text}`".replace("|", "\\|")


def _value(value: str) -> str:
    if value == "":
        return "null"
    return value if value == ERROR else _code(value.replace("\\|", "|"))


if __name__ == "__main__":
    sys.stdout.write(page())
