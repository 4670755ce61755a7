"""Formatting changes the layout and nothing else, however the text was written."""

import random
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.language import tree as t
from apps.language.formatter import FormatError, comments_of, format_text
from apps.language.parser import parse
from apps.language.wording import expression_text

ROOT = Path(__file__).resolve().parent.parent.parent
FLOWS = [
    path.read_text()
    for path in (
        *sorted(Path(__file__).with_name("syntax").glob("*.flow")),
        *sorted((ROOT / "examples").glob("*/*.flow")),
    )
]
TOKEN = re.compile(r'"""(?:.|\n)*?"""|"(?:\\.|[^"\\\n])*"|`[^`\n]*`|#[^\n]*|\|[^\n]*\|[ \t]*(?=\n)|[\w.]+|\S')


def comments(text: str) -> list[str]:
    tree = parse(text).tree
    assert tree is not None
    return [each.text for each in comments_of(text, tree)]


def assert_same(text: str) -> None:
    formatted = format_text(text)
    assert parse(formatted).tree == parse(text).tree
    assert comments(formatted) == comments(text)
    assert format_text(formatted) == formatted


@pytest.mark.parametrize("text", FLOWS, ids=lambda text: text.split()[1])
def test_a_flow_stays_what_it_is(text: str) -> None:
    assert_same(text)


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*/*.flow")), ids=lambda path: path.stem)
def test_the_examples_are_laid_out(path: Path) -> None:
    assert format_text(path.read_text()) == path.read_text()


def test_a_text_with_mistakes_is_left_alone() -> None:
    with pytest.raises(FormatError) as caught:
        format_text("flow f\nstep x = = y")
    assert [each.code for each in caught.value.diagnostics] == ["E106"]


@settings(max_examples=150)
@given(st.integers(0, 2**32))
def test_any_layout_and_any_comment_survives(seed: int) -> None:
    """The tokens of a flow with other white space between them, and comments in odd places."""
    dice = random.Random(seed)
    text = dice.choice(FLOWS)
    pieces: list[str] = []
    at = 0
    for found in TOKEN.finditer(text):
        between = text[at : found.start()]
        at = found.end()
        in_table = found[0].startswith("|") and found[0].rstrip().endswith("|") and len(found[0]) > 1
        if in_table or (pieces and pieces[-1].startswith("#")):
            pieces.append("\n  ")
        elif between:
            pieces.append(
                dice.choice(
                    [" ", between, "\n", "\n\n\n", "\t", f"  # note {dice.randrange(99)}\n"]
                    if dice.random() < 0.3
                    else [between]
                )
            )
        pieces.append(found[0])
        if in_table:
            pieces.append("\n")
    changed = "".join(pieces) + dice.choice(["", "\n", "\n# the end"])
    if parse(changed).diagnostics:
        return  # some layouts are mistakes: a comment can end in a keyword's way
    assert_same(changed)


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


@settings(max_examples=300)
@given(st.recursive(ATOMS, grown, max_leaves=12))
def test_an_expression_is_read_back_as_it_was(expression: t.Expr) -> None:
    text = f"flow f\nstep x = s | where {expression_text(expression)}"
    tree = parse(text).tree
    assert tree is not None, text
    assert tree.statements[0].operations[0].test == expression, text
    assert_same(text)
