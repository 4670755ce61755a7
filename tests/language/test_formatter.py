"""Formatting changes the layout and nothing else, however the text was written."""

import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from apps.language import tree as t
from apps.language.formatter import WIDTH, FormatError, format_text
from apps.language.parser import parse, tokens
from tests.language.sentences import Sentences
from tests.language.wording import expression_text

ROOT = Path(__file__).resolve().parent.parent.parent
SYNTAX = Path(__file__).with_name("syntax")
FLOWS = sorted([*SYNTAX.glob("*.flow"), *(ROOT / "examples").glob("*/*.flow")])
LAYOUTS = re.findall(
    r"^=== (.+?)\n(.*?)^---\n(.*?)(?=^===|\Z)", (SYNTAX / "layouts.txt").read_text(), re.MULTILINE | re.DOTALL
)
BAR = re.compile(r"(?<!\\)\|")


def comments(text: str) -> list[str]:
    """What the lexer leaves out between two tokens, and what stands behind a table's row."""
    found: list[str] = []
    at = 0
    for token in tokens(text):
        found += re.findall(r"#[^\n]*", text[at : token.start_pos])
        if token.type == "ROW":
            found += re.findall(r"#.*", BAR.split(token)[-1])
        at = token.end_pos or 0
    return [each.rstrip() for each in [*found, *re.findall(r"#[^\n]*", text[at:])]]


def assert_same(text: str) -> None:
    formatted = format_text(text)
    again = parse(formatted)
    assert again.diagnostics == []
    assert again.tree == parse(text).tree
    assert comments(formatted) == comments(text)
    assert format_text(formatted) == formatted
    assert not re.search(r"[ \t]$", re.sub(r'""".*?"""', "sql", formatted, flags=re.DOTALL), re.MULTILINE)


@pytest.mark.parametrize("path", FLOWS, ids=lambda path: path.stem)
def test_a_flow_stays_what_it_is(path: Path) -> None:
    assert_same(path.read_text())


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*/*.flow")), ids=lambda path: path.stem)
def test_the_examples_are_laid_out(path: Path) -> None:
    assert format_text(path.read_text()) == path.read_text()


@pytest.mark.parametrize(("title", "text", "expected"), LAYOUTS, ids=[title for title, _, _ in LAYOUTS])
def test_a_text_is_laid_out(title: str, text: str, expected: str) -> None:
    assert format_text(text) == expected.rstrip("\n") + "\n"
    assert_same(text)


def test_lines_keep_to_the_width_where_they_can_break() -> None:
    names = [f"column_number_{number}" for number in range(40)]
    text = (
        f"flow f\nstep x = s\n  | where {' and '.join(f'{name} > 1' for name in names)}\n  | select {', '.join(names)}\n"
        f"  | sort {', '.join(names)}\n  | derive a = {' + '.join(names)}, b = f({', '.join(names)})\n"
        f"  | group by {', '.join(names)} {{ n = count() }}\n  | where a in [{', '.join(names)}]\n"
    )
    assert max(map(len, format_text(text).splitlines())) <= WIDTH
    assert_same(text)


def test_a_text_with_mistakes_is_left_alone() -> None:
    with pytest.raises(FormatError) as caught:
        format_text("flow f\nstep x = = y")
    assert [each.code for each in caught.value.diagnostics] == ["E106"]


def test_a_table_is_not_padded_beyond_what_can_be_read_again() -> None:
    rows = "\n".join(f"| {'x' * (number % 59)} |" for number in range(30_000))
    text = f'flow f\ntest "t" {{\ngiven s\n| a |\n{rows}\n}}'
    with pytest.raises(FormatError) as caught:
        format_text(text)
    assert [each.code for each in caught.value.diagnostics] == ["E002"]


def test_windows_line_ends_and_a_byte_order_mark_go() -> None:
    assert format_text("\ufeffflow f\r\nstep x = s\r\n") == "flow f\nstep x = s\n"


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32))
def test_any_sentence_with_comments_anywhere_survives(seed: int) -> None:
    sentences = Sentences(seed)
    text = sentences.written(sentences.flow())
    assume(not parse(text).diagnostics)  # the grammar allows a little more than the language
    assert_same(text)


def test_most_sentences_are_flows_and_reach_each_operation() -> None:
    """The test above would pass if it had nothing to look at."""
    good = 0
    seen: Counter[str] = Counter()
    for seed in range(200):
        sentences = Sentences(seed)
        result = parse(sentences.written(sentences.flow()))
        if result.diagnostics or result.tree is None:
            continue
        good += 1
        seen.update(type(each).__name__ for each in result.tree.statements)
        steps = [each for each in result.tree.statements if isinstance(each, t.Step)]
        seen.update(type(each).__name__ for step in steps for each in step.operations)
    assert good > 100
    kinds = {each.__name__ for each in (*t.Operation.__args__, *t.Statement.__args__)}
    assert kinds - set(seen) == set()


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(FLOWS), st.integers(0, 2**32))
def test_a_flow_survives_any_other_layout(path: Path, seed: int) -> None:
    found = [str(token) for token in tokens(path.read_text())]
    assert_same(Sentences(seed).written(found, comments=0.3))


NAMES = st.sampled_from(["a", "b", "step", "order", "odd name", "ü"]).map(
    lambda name: t.Name(name, quoted=name in ("odd name", "step"))
)
ATOMS = st.one_of(
    NAMES,
    st.sampled_from(
        [
            t.Null(),
            t.Boolean(True),
            t.Number("1_000"),
            t.Number("1.5e3"),
            t.Moment("2026-01-01 10:00"),
            t.Duration(5, "m"),
            t.ParamRef("p"),
        ]
    ),
    st.text(st.characters(exclude_characters="\0\r", exclude_categories=["Cs"]), max_size=8).map(t.Text),
)


def grown(inner: st.SearchStrategy[t.Expr]) -> st.SearchStrategy[t.Expr]:
    held = inner.map(
        lambda node: node if isinstance(node, t.Name | t.Number | t.Text | t.Call | t.Group) else t.Group(node)
    )
    lists = st.lists(inner, max_size=3).map(tuple)
    return st.one_of(
        st.builds(
            t.Binary, st.sampled_from(["+", "-", "*", "/", "%", "div", "==", "<=", "and", "or", "??"]), held, held
        ),
        st.builds(t.Unary, st.sampled_from(["-", "not"]), held),
        st.builds(t.Between, held, held, held, st.booleans()),
        st.builds(t.In, held, lists, st.booleans()),
        st.builds(t.IsNull, held, st.booleans()),
        st.builds(t.Call, st.sampled_from(["f", "left", "if"]), lists),
        st.builds(t.Case, st.lists(st.tuples(inner, inner), min_size=1, max_size=2).map(tuple), st.none() | inner),
        st.builds(t.ListLiteral, lists),
        st.builds(t.Field, NAMES, st.just("x")),
        inner.map(t.Group),
    )


@settings(max_examples=300, deadline=None)
@given(st.recursive(ATOMS, grown, max_leaves=12))
def test_an_expression_is_read_back_as_it_was(expression: t.Expr) -> None:
    text = f"flow f\nstep x = s | where {expression_text(expression)}"
    tree = parse(text).tree
    assert tree is not None, text
    assert tree.statements[0].operations[0].test == expression, text
    assert_same(text)
