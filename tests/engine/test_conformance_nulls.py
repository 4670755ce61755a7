"""Every function keeps its rule for nulls, with columns and not only with literals: null in, null out where it is strict."""

import pytest

from apps.engine.bind import verify
from apps.engine.casetests import run_tests
from apps.language.functions import OPERATORS, SCALARS
from apps.language.functions.spec import STRICT, Parameter, Shape, Spec
from tests.engine.written import connect, planned

# For each pattern a column of that type and a value of it.
COLUMNS = {
    "text": ("t", "text", "a1"),
    "int": ("i", "int", "2"),
    "double": ("f", "double", "1.5"),
    "decimal": ("d", "decimal(12, 2)", "2.50"),
    "bool": ("b", "bool", "true"),
    "date": ("day", "date", "2026-03-31"),
    "time": ("clock", "time", "10:30"),
    "timestamp": ("at", "timestamp", "2026-03-31 10:30"),
    "timestamptz": ("zoned", "timestamptz", "2026-03-31 10:30Z"),
    "list": ("items", "list(int)", "[1, 2]"),
}
ALIASES = {"number": "int", "T": "int", "O": "int", "any": "text"}
LITERALS = {
    "unit": '"day"',
    "format": '"%Y"',
    "zone": '"UTC"',
    "path": '"$"',
    "separator": '","',
    "digits": "1",
}
FORMS = {
    "add": "{} + {}", "subtract": "{} - {}", "multiply": "{} * {}", "divide": "{} / {}", "div": "{} div {}",
    "mod": "{} % {}", "negate": "-{}", "eq": "{} == {}", "ne": "{} != {}", "lt": "{} < {}", "le": "{} <= {}",
    "gt": "{} > {}", "ge": "{} >= {}", "not": "not {}",
}  # fmt: skip
DURATION = "2d"  # there are no columns of durations in sources


def _kind(parameter: Parameter) -> str:
    kind = parameter.pattern.partition("(")[0]
    return ALIASES.get(kind, kind)


def _call(spec: Spec, shape: Shape, null_at: int) -> str | None:
    """A call whose argument at a place is a null column and the others are columns with values."""
    args = []
    for place, parameter in enumerate(shape.parameters):
        kind = _kind(parameter)
        if parameter.constant and parameter.optional:
            break
        if parameter.constant:
            args.append(LITERALS.get(parameter.name, "1"))
        elif kind == "duration":
            args.append(DURATION)
        elif kind in COLUMNS:
            args.append(("null_" if place == null_at else "") + COLUMNS[kind][0])
        else:
            return None
    return FORMS[spec.name].format(*args) if spec.name in FORMS else f"{spec.name}({', '.join(args)})"


def _cases() -> list[tuple[str, str]]:
    found = []
    for spec in (*OPERATORS.values(), *SCALARS.values()):
        is_called = spec.name in FORMS or not (spec.written or spec.name in ("cast", "try_cast"))
        if spec.nulls != STRICT or not spec.supported or not is_called:
            continue
        for shape in spec.shapes:
            for place, parameter in enumerate(shape.parameters):
                if parameter.constant or _kind(parameter) == "duration":
                    continue
                call = _call(spec, shape, place)
                if call is not None:
                    found.append((spec.name, call))
    return sorted(set(found))


CASES = _cases()
SCHEMA = ", ".join(f"{name}: {kind}, null_{name}: {kind}" for name, kind, _ in COLUMNS.values())
GIVEN = (
    "    | " + " | ".join(name for name, _, _ in COLUMNS.values()) + " |\n"
    "    | " + " | ".join(value for _, _, value in COLUMNS.values()) + " |\n"
)  # fmt: skip


@pytest.mark.parametrize(("name", "call"), CASES, ids=[call for _, call in CASES])
def test_a_null_argument_makes_a_strict_function_null(name: str, call: str) -> None:
    plan = planned(
        f'flow nulls\nsource x = jsonl("x.jsonl") {{ columns: {{ {SCHEMA} }} }}\n'
        f"step s = x | select is_null = ({call}) is null, r = {call}\n"
        f"step kept = s | select is_null\n"
        f'sink kept -> csv("k.csv")\n'
        f'test "null" {{\n  given x\n{GIVEN}  then s\n    | is_null |\n    | true    |\n}}\n'
    )
    with connect() as connection:
        assert verify(plan, connection) == []
    [result] = run_tests(plan, connect=connect)
    assert result.ok, result.message


def test_most_functions_are_among_the_cases() -> None:
    assert len({name for name, _ in CASES}) > 60
