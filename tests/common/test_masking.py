"""Secrets are taken out of texts, however they are spelled, cut into chunks or laid over each other."""

import base64
import html
import json
import shlex
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.common.masking import MASK, SHORTEST, Masker

AWKWARD = 'pa"ss & w/ör\\d+ü%'
MASKER = Masker([AWKWARD, "hunter2-planted"])


@pytest.mark.parametrize(
    "spelled",
    [
        AWKWARD,
        json.dumps(AWKWARD)[1:-1],
        json.dumps(AWKWARD, ensure_ascii=False)[1:-1],
        repr(AWKWARD)[1:-1],
        html.escape(AWKWARD),
        quote(AWKWARD),
        quote(AWKWARD, safe=""),
        quote(AWKWARD, safe="").lower().replace("%c3%b6", "%c3%b6"),
        quote_plus(AWKWARD),
        base64.b64encode(AWKWARD.encode()).decode().rstrip("="),
        base64.urlsafe_b64encode(AWKWARD.encode()).decode().rstrip("="),
    ],
)
def test_a_value_is_found_in_each_spelling(spelled):
    assert MASKER.text(f"before {spelled} after") == f"before {MASK} after"


@pytest.mark.parametrize("user", ["a", "ad", "ada", "adam", "adams"])
def test_a_password_is_found_inside_the_base64_of_more(user):
    header = base64.b64encode(f"{user}:hunter2-planted:more".encode()).decode()
    masked = MASKER.text(f"Authorization: Basic {header}")
    assert MASK in masked
    assert len(masked) < len(f"Authorization: Basic {header}") - 14


def test_what_is_no_secret_stays_as_it_is():
    text = "nothing to see: hunter2, planted, 12:04:11.031Z, ••• and 'quotes'"
    assert MASKER.text(text) == text


def test_the_longest_counts_and_overlapping_values_leave_no_rest():
    masker = Masker(["abcdef", "abcdefgh", "ghijkl"])
    assert masker.text("-abcdefgh-") == f"-{MASK}-"
    assert masker.text("-abcdefghijkl-") == f"-{MASK}-"
    assert masker.text("-abcdefg-") == f"-{MASK}g-"


def test_a_long_line_of_a_value_of_many_lines_is_found_by_itself():
    key = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQ\nshort\n-----END KEY-----\n"
    assert Masker([key]).text("log: MIIEvQIBADANBgkqhkiG9w0BAQ") == f"log: {MASK}"
    assert Masker([key]).text("-----BEGIN KEY-----") == "-----BEGIN KEY-----"


def test_nested_data_is_masked_at_every_depth_in_keys_and_in_numbers():
    data = {"a": [{"hunter2-planted": "x hunter2-planted"}], "n": 12345678, "ok": True, "none": None, "f": 1.5}
    masked = Masker(["hunter2-planted", "12345678"]).data(data)
    assert masked == {"a": [{MASK: f"x {MASK}"}], "n": MASK, "ok": True, "none": None, "f": 1.5}


def test_a_masker_does_not_show_what_it_masks():
    assert "hunter2" not in f"{MASKER!r} {MASKER!s}"


def test_a_value_that_is_too_short_is_not_sought():
    assert Masker(["a" * (SHORTEST - 1)]).text("aaaaaaa") == "aaaaaaa"


VALUES = st.lists(st.text("ab\n", min_size=SHORTEST, max_size=7), min_size=1, max_size=4)


@given(values=VALUES, text=st.text("ab\nc", max_size=60))
def test_no_value_survives(values, text):
    assert not any(value in piece for piece in Masker(values).text(text).split(MASK) for value in values)


@given(values=VALUES, chunks=st.lists(st.text("ab\nc", max_size=9), max_size=12))
def test_a_stream_gives_what_the_whole_text_would_give(values, chunks):
    masker = Masker(values)
    stream = masker.stream()
    given_out = "".join([*(stream.feed(chunk) for chunk in chunks), stream.flush()])
    assert given_out == masker.text("".join(chunks))


def test_a_stream_holds_back_only_what_may_begin_a_value():
    stream = MASKER.stream()
    assert stream.feed("a line\n") == "a line\n"
    assert stream.feed("then hunter2-") == "then "
    assert stream.feed("planted!") == f"{MASK}!"


def test_a_stream_of_nothing_but_secrets_does_not_grow():
    stream = Masker(["aaaaaaaa"]).stream()
    given_out = "".join(stream.feed("a" * 1000) for _ in range(20))
    assert given_out == MASK
    assert len(stream._held) < 100


def test_the_cost_of_a_text_hardly_grows_with_the_number_of_secrets():
    """Counted, not timed: one pattern seeks all of them, and its alternatives part at their first characters."""
    few, many = Masker(["0-secret-value"]), Masker([f"{n}-secret-value" for n in range(1000)])
    assert many._pattern is not None
    assert few.text("x" * 10_000) == many.text("x" * 10_000)
    assert many._pattern.pattern.count("|") < 2 * len(many._forms)


def test_values_of_which_each_begins_the_next_are_no_trouble():
    masker = Masker(["a" * length for length in range(SHORTEST, 600)])
    assert masker.text("-" + "a" * 599 + "-") == f"-{MASK}-"


def test_an_error_that_repeats_a_secret_is_masked(monkeypatch):
    from apps.common import masking
    from apps.common.errors import FlowControlError

    monkeypatch.setattr(masking, "_latest", lambda: MASKER)
    error = FlowControlError("docker: bad password hunter2-planted", hint=f"Look at {shlex.quote('hunter2-planted')}.")
    assert "hunter2" not in f"{error} {error!r} {error.message} {error.hint}"
