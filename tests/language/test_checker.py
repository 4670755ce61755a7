"""The checker by pairs in text files: expression → type, flow → columns of its steps or what is wrong with it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from apps.language.checker import CheckResult, check, no_schemas
from apps.language.parser import parse
from apps.language.plan import StepTable

CHECKS = Path(__file__).parent / "checks"
FLOW_FILES = sorted(path for path in CHECKS.glob("*.txt") if path.name != "expressions.txt")

COLUMNS = """n: int, m: int, d: decimal(12, 2), e: decimal(6, 4), f: double, s: text, b: bool, day: date, at: timestamp,
  tz: timestamptz, t: time, w: list(int), st: struct(a: int, b: text), js: json"""
PRELUDE = (
    "flow f\n"
    'source orders = csv("orders.csv") { columns: { id: int, customer_id: int, amount: decimal(12, 2),'
    " discount: decimal(12, 2), status: text, day: date, at: timestamp } }\n"
    'source customers = csv("customers.csv") { columns: { id: int, segment: text, region: text } }\n'
)


def checked(text: str) -> CheckResult:
    parsed = parse(text)
    assert parsed.tree is not None, parsed.diagnostics
    result = check(parsed.tree, no_schemas)
    return CheckResult(result.plan, sorted([*parsed.diagnostics, *result.diagnostics], key=lambda item: item.span))


def codes(result: CheckResult) -> list[str]:
    return [item.code for item in result.diagnostics if item.is_error]


# --- expressions -----------------------------------------------------------------------------

PLACES = {
    "row": "derive x = {}",
    "group": "group by key = s {{ x = {} }}",
    "window": "window by s order n {{ x = {} }}",
}


def expressions() -> Iterator[tuple[str, str, str]]:
    for line in (CHECKS / "expressions.txt").read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        expression, _, expected = line.rpartition(" => ")
        place, _, inner = expression.partition(": ")
        yield (place, inner, expected) if place in PLACES else ("row", expression, expected)


@pytest.mark.parametrize(("place", "expression", "expected"), list(expressions()))
def test_an_expression_has_its_type(place: str, expression: str, expected: str) -> None:
    operation = PLACES[place].format(expression)
    result = checked(
        f'flow f param p: int = 1 param since: date = 2026-01-01\nsource rows = jsonl("a.jsonl") {{ columns: {{ {COLUMNS} }} }}\n'
        f'step out = rows | {operation}\nstep kept = out | select x = to_text(if(x is null, 1, 2))\nsink kept -> csv("x.csv")'
    )
    if re.fullmatch(r"E\d+", expected):
        assert codes(result) == [expected]
    else:
        assert codes(result) == []
        assert result.plan is not None
        assert str(next(column.type for column in result.plan.schema_of("out") if column.name == "x")) == expected


# --- flows -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    file: str
    title: str
    text: str
    expected: tuple[str, ...]


def cases() -> Iterator[Case]:
    """`=== title`, the flow's text, `---`, and what is expected: a line a step (`step x: a int`) or finding
    (`E203 2:14 message`, then indented its hint). The text comes after two sources unless it begins with `flow`."""
    for path in FLOW_FILES:
        for block in path.read_text(encoding="utf-8").split("\n=== ")[1:]:
            title, _, rest = block.partition("\n")
            text, _, expected = rest.partition("\n---\n")
            body = text if text.startswith("flow") else PRELUDE + text
            yield Case(path.stem, title, body, tuple(line for line in expected.rstrip().splitlines() if line))


CASES = list(cases())


def described(step: StepTable) -> str:
    columns = ", ".join(f"{column.name} {column.type}" for column in step.columns)
    return f"step {step.name}: {columns}" + (" (ordered)" if step.ordered else "")


def outcome(case: Case) -> tuple[str, ...]:
    """What the checker says, in the form of the files. Of warnings those count of which the case expects one."""
    result = checked(case.text)
    warnings = {line[:4] for line in case.expected if line.startswith("W")}
    lines: list[str] = []
    for item in result.diagnostics:
        if item.is_error or item.code in warnings:
            lines.append(f"{item.code} {item.span.line}:{item.span.column} {item.message}")
            lines += [f"  {item.hint}"] if item.hint else []
    if result.plan is not None and (not lines or any(line.startswith("step") for line in case.expected)):
        lines += [described(step) for step in result.plan.steps]
    return tuple(lines)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.file}:{case.title}")
def test_a_flow_is_checked(case: Case) -> None:
    assert outcome(case) == case.expected


def test_every_error_and_warning_has_a_case() -> None:
    """Of the codes that the checker itself gives."""
    sources = Path(check.__code__.co_filename).parent / "checking"
    given = {code for path in sources.glob("*.py") for code in re.findall(r'"([EW]\d{3})"', path.read_text())}
    expected = {line[:4] for case in CASES for line in case.expected if re.match(r"[EW]\d{3} ", line)}
    expected |= {code for _, _, code in expressions()}
    assert given - expected == set()
