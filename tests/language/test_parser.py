"""The parser reads all of the language, never raises, and says every mistake where it is."""

import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from types import FrameType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lark import Lark

from apps.language import tree as t
from apps.language.checker import check, no_schemas
from apps.language.formatter import format_text
from apps.language.parser import GRAMMAR, STARTS, parse

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER = Path(__file__).with_name("syntax")
FLOWS = sorted(FOLDER.glob("*.flow"))
CASES = re.findall(
    r"^=== (.+?)\n(.*?)^---\n(.*?)(?=^===|\Z)", (FOLDER / "mistakes.txt").read_text(), re.MULTILINE | re.DOTALL
)


@pytest.mark.parametrize("path", FLOWS, ids=lambda path: path.stem)
def test_it_reads_every_shape_of_the_language(path: Path) -> None:
    result = parse(path.read_text())
    assert result.diagnostics == []
    assert result.tree is not None
    assert len(result.tree.statements) >= 10


def test_the_grammar_has_no_terminals_that_collide() -> None:
    Lark(GRAMMAR.read_text(), parser="lalr", start=STARTS, strict=True)


@pytest.mark.parametrize(("title", "text", "expected"), CASES, ids=[title for title, _, _ in CASES])
def test_a_mistake_is_said_in_words(title: str, text: str, expected: str) -> None:
    found = "\n".join(each.render(text) for each in parse(text, "x.flow").diagnostics)
    assert found.strip() == expected.strip()


def test_positions_count_from_one_in_characters() -> None:
    text = 'flow f\n# ü\nsource s = csv("ä.csv")\nstep x = s\n  | where a == 1\n'
    tree = parse(text).tree
    assert tree is not None
    step = tree.statements[1]
    assert isinstance(step, t.Step)
    test = step.operations[0].test
    assert (test.span.line, test.span.column, test.span.end_column) == (5, 11, 17)
    assert text[test.span.start : test.span.end] == "a == 1"


def test_precedence_is_as_documented() -> None:
    def tree_of(expression: str) -> t.Expr:
        tree = parse(f"flow f\nstep x = s | where {expression}").tree
        assert tree is not None
        return tree.statements[0].operations[0].test

    pairs = [
        ("a or b and c", "a or (b and c)"),
        ("not a == b", "not (a == b)"),
        ("a ?? b + c * d", "a ?? (b + (c * d))"),
        ("a between 1 + 2 and 3 and b", "(a between (1 + 2) and 3) and b"),
        ("-a * b", "(-a) * b"),
        ("a - b - c", "(a - b) - c"),
        ("-a.b", "-(a.b)"),
    ]
    for bare, full in pairs:
        assert tree_of(bare) == ungrouped(tree_of(full)), bare


def ungrouped(node: t.Expr) -> t.Expr:
    match node:
        case t.Group():
            return ungrouped(node.inner)
        case t.Binary():
            return t.Binary(node.op, ungrouped(node.left), ungrouped(node.right))
        case t.Unary():
            return t.Unary(node.op, ungrouped(node.operand))
        case t.Between():
            return t.Between(ungrouped(node.value), ungrouped(node.low), ungrouped(node.high), node.negated)
    return node


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "E101"),
        ("x" * 10_000_000, "E002"),
        ("flow f\0", "E003"),
        ("flow f step " + "(" * 100_000, "E103"),
        ("flow f\nstep x = s | where " + "(" * 500 + "a" + ")" * 500, "E103"),
        ("flow f\nstep x = s | where " + "+".join(["1"] * 5_000), "E104"),
    ],
)
def test_a_text_that_would_hurt_is_refused(text: str, code: str) -> None:
    assert [each.code for each in parse(text).diagnostics] == [code]


SHAPES = {
    "parentheses": ("(", "a", ")"),
    "sums": ("(1 + ", "a", ")"),
    "calls": ("abs(", "a", ")"),
    "cases": ("case { b => ", "a", "}"),
    "lists": ("[", "a", "]"),
    "minus": ("- ", "a", ""),
    "not": ("not ", "b", ""),
    "fields": ("", "a", ".x"),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_deepest_that_is_allowed_hurts_nobody(shape: str) -> None:
    """Just below the limit whatever walks the tree must cope; above it the parser says so."""
    before, middle, after = SHAPES[shape]

    def written(levels: int) -> str:
        return f"flow f\nstep x = s\n  | derive y = {before * levels}{middle}{after * levels}\n"

    deepest = next(levels for levels in range(210, 0, -1) if not parse(written(levels)).diagnostics)
    assert deepest >= 95
    tree = parse(written(deepest)).tree
    assert tree is not None
    check(tree, no_schemas)
    format_text(written(deepest))
    for levels in (deepest + 1, 1_000, 5_000):
        assert [each.code for each in parse(written(levels)).diagnostics] == ["E103"]


@pytest.mark.parametrize("sign", [" + ", " or ", " ?? ", " and ", " div "])
def test_a_long_chain_hurts_nobody(sign: str) -> None:
    text = f"flow f\nstep x = s\n  | derive y = {sign.join(['a'] * 2_000)}\n"
    tree = parse(text).tree
    assert tree is not None
    check(tree, no_schemas)
    format_text(text)
    longer = text + sign + sign.join(["a"] * 2_000)
    assert [each.code for each in parse(longer).diagnostics] == ["E104"]


def cells_of(*rows: str) -> list[list[tuple[str | None, bool]]]:
    tree = parse('flow f\ntest "t" {\n  given s\n' + "".join(f"    {row}\n" for row in rows) + "}\n").tree
    assert tree is not None
    clause = tree.statements[0].clauses[0]
    return [[(cell.text, cell.quoted) for cell in row] for row in clause.table.rows]


def test_a_cell_is_what_stands_between_the_bars() -> None:
    assert cells_of("| a | b | c |", '|  x y | | "" |', r'| a\|b | "c\|d" | \| |', r"| # x | C:\d\ | [{}] |") == [
        [("x y", False), (None, False), ("", True)],
        [("a|b", False), ("c|d", True), ("|", False)],
        [("# x", False), ("C:\\d\\", False), ("[{}]", False)],
    ]


def test_only_a_whole_text_in_quotes_is_quoted() -> None:
    assert cells_of("| a | b | c |", r'| "x" and "y" | `z` | "x\"y\n" |') == [
        [('"x" and "y"', False), ("`z`", False), ('x"y\n', True)]
    ]


def test_a_comment_may_stand_behind_a_row_and_between_rows() -> None:
    assert cells_of("| a |  # the header", "# nothing", "| 1 | # one") == [[("1", False)]]


def test_statements_need_no_lines_of_their_own() -> None:
    lines = 'flow f { retries: 3 }\nparam a: int = 1\nstep x = s | take 5\nexpect x { a > 0 }\nsink x -> csv("o")\n'
    assert parse(lines.replace("\n", " ")).tree == parse(lines).tree


def test_good_statements_of_a_text_with_mistakes_are_kept() -> None:
    tree = parse("flow f\nstep a = s\nstep b = = s\nstep c = s | tak 5\nparam d: int\n").tree
    assert tree is not None
    assert [getattr(each, "name", None) for each in tree.statements] == ["a", "d"]
    assert tree.broken == (("step", "b"), ("step", "c"))


def test_every_node_has_the_place_of_its_text() -> None:
    text = (FOLDER / "everything.flow").read_text()
    tree = parse(text).tree
    assert tree is not None
    for node, parent in nodes(tree):
        assert text[node.span.start : node.span.end].strip() or isinstance(node, t.Cell | t.Table)
        assert node.span.line == text.count("\n", 0, node.span.start) + 1
        assert node.span.end_line == text.count("\n", 0, node.span.end) + 1
        assert node.span.end_column == node.span.end - (text.rfind("\n", 0, node.span.end) + 1) + 1
        assert parent.span.start <= node.span.start <= node.span.end <= parent.span.end
        if isinstance(node, t.Name) and not node.quoted:
            assert text[node.span.start : node.span.end] == node.name


def nodes(node: t.Node) -> Iterator[tuple[t.Node, t.Node]]:
    values: list[object] = [getattr(node, each.name) for each in fields(node)]
    while values:
        value = values.pop()
        if isinstance(value, tuple):
            values += value
        elif isinstance(value, t.Node):
            yield value, node
            yield from nodes(value)


def test_reading_takes_a_share_of_work_for_each_line() -> None:
    """Twice the text, twice the calls: nothing is read again and again. Also with a mistake at the end."""
    body = "".join((FOLDER / "daily_revenue.flow").read_text().partition("param")[1:])
    for mistake in ("", "step z = = x\n"):
        once, twice = (calls_of("flow f\n" + body * times + mistake) for times in (4, 8))
        assert once / 200 < 4_000
        assert twice < 2.2 * once


def calls_of(text: str) -> int:
    count = 0

    def seen(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        count += event == "call"

    parse("flow f")
    sys.setprofile(seen)
    try:
        parse(text)
    finally:
        sys.setprofile(None)
    return count


READ = "from apps.language.parser import parse; assert not parse('flow f').diagnostics; print('read')"


def test_many_processes_may_build_the_parser_at_once(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    started = [
        subprocess.Popen([sys.executable, "-c", READ], env=environment, cwd=ROOT, stdout=subprocess.PIPE)
        for _ in range(4)
    ]
    assert [each.communicate(timeout=60)[0] for each in started] == [b"read\n"] * 4


@pytest.mark.parametrize("content", [b"", b"no pickle", b"0" * 64 + b"\n"])
def test_a_spoilt_cache_is_built_anew(tmp_path: Path, content: bytes) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", READ]
    assert subprocess.check_output(command, env=environment, cwd=ROOT, timeout=60) == b"read\n"
    (kept,) = tmp_path.glob("flowcontrol-grammar-*/*")
    kept.write_bytes(content)
    assert subprocess.check_output(command, env=environment, cwd=ROOT, timeout=60) == b"read\n"


def test_a_folder_that_others_could_write_is_not_trusted(tmp_path: Path) -> None:
    folder = tmp_path / f"flowcontrol-grammar-{os.getuid()}"
    folder.mkdir()
    folder.chmod(0o777)
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    assert subprocess.check_output([sys.executable, "-c", READ], env=environment, cwd=ROOT, timeout=60) == b"read\n"
    assert list(folder.iterdir()) == []


def test_brackets_in_cells_are_data() -> None:
    rows = "\n".join("    | :( |" for _ in range(500))
    assert parse(f'flow f\ntest "t" {{\n  given s\n    | a |\n{rows}\n}}\n').diagnostics == []


@settings(deadline=None)
@given(st.data())
def test_it_never_raises_and_points_into_the_text(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from([path.read_text() for path in FLOWS]))
    dice = random.Random(data.draw(st.integers(0, 2**32)))
    for _ in range(dice.randint(1, 4)):
        start = dice.randrange(len(text))
        end = min(len(text), start + dice.randint(0, 12))
        text = (
            text[:start]
            + dice.choice(["", "|", "{", ")", '"', "#", "\n", "step", "=", "`", "§", text[start:end] * 2])
            + text[end:]
        )
    result = parse(text)
    lines = text.split("\n")
    for each in result.diagnostics:
        assert 1 <= each.span.line <= len(lines)
        assert 1 <= each.span.column <= len(lines[each.span.line - 1]) + 2
        assert 0 <= each.span.start <= each.span.end <= len(text) + 1
        assert each.message
    assert result.tree is not None or result.diagnostics
