"""The parser reads all of the language, never raises, and says every mistake where it is."""

import random
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lark import Lark

from apps.language import tree as t
from apps.language.parser import GRAMMAR, parse
from apps.language.source import decode

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
    Lark(GRAMMAR.read_text(), parser="lalr", start=["flow", "header", "statement"], strict=False)


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
        ("flow f\nstep x = s | where " + "+".join(["1"] * 100_000), "E104"),
    ],
)
def test_a_text_that_would_hurt_is_refused(text: str, code: str) -> None:
    assert [each.code for each in parse(text).diagnostics] == [code]


def test_brackets_in_cells_are_data() -> None:
    rows = "\n".join("    | :( |" for _ in range(500))
    assert parse(f'flow f\ntest "t" {{\n  given s\n    | a |\n{rows}\n}}\n').diagnostics == []


def test_bytes_that_are_no_text_are_said_with_their_place() -> None:
    text, diagnostics = decode("flow f\n# gr\xfc\xdfe".encode("latin-1"), "x.flow")
    assert text == ""
    assert [(each.code, each.span.line, each.span.column) for each in diagnostics] == [("E001", 2, 5)]


def test_a_byte_order_mark_and_windows_line_ends_do_not_matter() -> None:
    text, diagnostics = decode(b"\xef\xbb\xbfflow f\r\nstep x = s\r\n")
    assert diagnostics == []
    assert parse(text).tree == parse("flow f\nstep x = s\n").tree


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
