"""What the cases about pages and documents find, and what they leave alone."""

import pytest

from apps.portal.cases.pages import Markup
from apps.portal.cases.shapes import check_shape

PAGE = '<!doctype html><html lang="en"><head><title>T</title></head><body>%s</body></html>'


def faults(body):
    return Markup.of(PAGE % body).faults


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("<div><span></div>", "</div> closes <span>"),
        ("<div>", "</body> closes <div>"),
        ("</div>", "</div> closes <body>"),
        ("<br></br>", "</br> closes what has no end"),
        ("<div/>", "<div/> opens and does not close"),
        ('<a id="x"></a><a id="x"></a>', "the id x is there twice"),
        ('<a id="x" id="y"></a>', "<a> has an attribute twice"),
        ("<p>{{ run.name }}</p>", "a piece of a template is left: '{{ run.name }}'"),
        ("<p>{% if x %}</p>", "a piece of a template is left"),
        ("<p title='{# note #}'></p>", "a piece of a template is left"),
    ],
)
def test_it_finds(body, fault):
    assert fault in " ".join(faults(body))


@pytest.mark.parametrize(
    "body",
    [
        "<p>one<p>two<ul><li>a<li>b</ul>",
        "<table><tr><td>a<td>b<tr><td>c</table>",
        '<br><img src="x"><input value="{">',
        "<pre>{{ as it stands }}</pre><script>let x = '{{';</script><textarea>{% raw %}</textarea>",
        '<svg><path d="M0 0"/><title>a title of a drawing</title></svg>',
        '<div x-data="{{}}" @click="{{}}" :class="{{}}"></div>',
        '<div id=""></div><div id=""></div>',
    ],
)
def test_it_leaves_alone(body):
    assert faults(body) == []


def test_it_asks_for_a_doctype_and_a_title():
    assert Markup.of("<html><body><svg><title>x</title></svg></body></html>").faults == [
        "it does not say that it is HTML",
        "it has no title",
    ]


def test_it_follows_links_of_the_portal_alone():
    body = '<a href="/runs/?x=1#y">a</a><a href="https://example.org/">b</a><a href="#c">c</a><a href="?p=2">d</a>'
    assert Markup.of(PAGE % body).links == ["/runs/"]


@pytest.mark.parametrize(
    ("value", "shape", "said"),
    [
        ({"a": 1}, {"b": int}, "the document leaves out b"),
        ({"a": "1"}, {"a": int}, "the document.a is str, promised is int"),
        ({"a": True}, {"a": int}, "the document.a is bool, promised is int"),
        ({"a": None}, {"a": int}, "the document.a is null, promised is int"),
        ({"a": [{"b": 1}, {}]}, {"a": [{"b": int}]}, "the document.a[1] leaves out b"),
        ([], {}, "the document is list, promised is an object"),
        ({}, [int], "the document is dict, promised is a list"),
    ],
)
def test_a_document_that_is_not_as_promised(value, shape, said):
    with pytest.raises(AssertionError, match=said.replace("[", r"\[").replace("]", r"\]")):
        check_shape(value, shape)


@pytest.mark.parametrize(
    ("value", "shape"),
    [({"a": 1, "more": 2}, {"a": int}), ({"a": None}, {"a": int | None}), ([1, 2.5], [int | float]), (True, bool)],
)
def test_a_document_that_is(value, shape):
    check_shape(value, shape)
