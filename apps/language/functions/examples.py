"""The registry's examples as flows whose own tests say whether an engine computes what the registry promises."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from apps.language.functions import SPECS, Example, Spec
from apps.language.functions.spec import ERROR

# What the examples of aggregates and windows read. The last row has nothing but an id.
TABLE = """\
    | id | n | price | ratio | word  | ok    | day        |
    | 1  | 3 | 1.50  | 0.5   | pear  | true  | 2026-01-31 |
    | 2  | 1 | 2.25  | 1.5   | Äpfel | false | 2026-02-28 |
    | 3  | 3 | 0.25  | 2.5   | fig   | true  | 2026-01-15 |
    | 4  |   |       |       |       |       |            |
"""
COLUMNS = "id: int, n: int, price: decimal(6, 2), ratio: double, word: text, ok: bool, day: date"


@dataclass(frozen=True, slots=True)
class ExampleFlow:
    """A flow with one test. `fails`: the run has to fail, whatever the test expects."""

    function: str
    example: Example
    text: str
    fails: bool


def flows() -> Iterator[ExampleFlow]:
    """One flow an example."""
    for spec in SPECS:
        for example in spec.examples:
            yield ExampleFlow(spec.name, example, flow_text(spec, [example]), example.value == ERROR)


def flow_text(spec: Spec, examples: Iterable[Example]) -> str:
    """A flow that computes examples of one function, each as a column, and a test that expects their values."""
    columns = {f"r{number}": example for number, example in enumerate(examples, start=1)}
    assigned = ", ".join(f"{name} = {example.expression}" for name, example in columns.items())
    order = next(iter(columns.values())).order
    operation = {
        "aggregate": f"sort id\n  | group {{ {assigned} }}",
        "window": f"window order {order} {{ {assigned} }}\n  | sort id",
    }.get(spec.kind, f"derive {assigned}")
    rows = [_values(spec, example) for example in columns.values()]
    lines = [" | ".join(cells) for cells in zip(*rows, strict=True)]
    expected = "\n".join(f"    | {line} |" for line in [" | ".join(columns), *lines])
    given = TABLE if spec.kind in ("aggregate", "window") else "    | id |\n    | 1  |\n"
    return (
        f'flow example\n\nsource rows = csv("rows.csv") {{ columns: {{ {COLUMNS} }} }}\n\n'
        f"step result = rows\n  | {operation}\n\n"
        f'sink result -> parquet("result.parquet")\n\n'
        f'test "{spec.name}" {{\n  given rows\n{given}  then result\n{expected}\n}}\n'
    )


def _values(spec: Spec, example: Example) -> list[str]:
    """The cells that are expected of an example; of one that fails there is nothing to expect."""
    if example.value == ERROR:
        return [""]
    return example.value.split("; ") if spec.kind == "window" else [example.value]
