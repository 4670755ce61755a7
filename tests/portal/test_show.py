"""How states, times, durations and amounts are shown."""

from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import pytest

from apps.common import clock
from apps.portal import chart
from apps.portal.templatetags import show
from apps.runs.queries import DayCount

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def stopped_clock(monkeypatch):
    monkeypatch.setattr(clock, "now", lambda: NOW)


@pytest.mark.parametrize(
    ("ago", "words"),
    [
        (2, "now"),
        (64, "1 min ago"),
        (30, "30 s ago"),
        (7200, "2 h ago"),
        (86400, "1 day ago"),
        (200000, "2 days ago"),
        (-600, "in 10 min"),
    ],
)
def test_a_time_says_how_long_ago_it_was(ago, words):
    assert show.relative(NOW - timedelta(seconds=ago)) == words


def test_a_clock_time_names_its_zone(settings):
    settings.TIME_ZONE = "Europe/Zurich"
    assert ">13:00:00 CET<" in show.when(NOW, "clock")
    assert 'datetime="2026-11-23T12:00:00+00:00"' in show.when(NOW, "clock")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, show.NONE),
        (0.04, "0.04s"),
        (3.14, "3.1s"),
        (59.7, "1m 00s"),
        (64, "1m 04s"),
        (7500, "2h 05m"),
        (200000, "2d 7h"),
        (timedelta(minutes=2), "2m 00s"),
    ],
)
def test_seconds_are_read_at_a_glance(seconds, words):
    assert show.seconds(seconds) == words


def test_a_fraction_is_never_rounded_up_to_all():
    assert [show.percent(value) for value in (1, 0.99999, 0.5, None)] == ["100", "99.9", "50.0", show.NONE]


def test_bytes_have_a_unit():
    assert [show.size(value) for value in (0, 1023, 1536, 3 * 1024**3)] == ["0 B", "1023 B", "1.5 KiB", "3.0 GiB"]


def test_a_state_says_its_word_and_not_only_a_colour():
    assert show.state("failed") == '<span class="state state-failed">failed</span>'


def test_a_hostile_environment_name_stays_text():
    assert "<script>" not in show.environment("x", "<script>")


def test_a_job_that_runs_has_taken_the_time_until_now():
    running = SimpleNamespace(started_at=NOW - timedelta(seconds=64), finished_at=None)
    assert show.duration(running) == "1m 04s"
    assert show.duration(SimpleNamespace(started_at=None, finished_at=None)) == show.NONE


DAYS = [DayCount(date(2026, 11, day), succeeded=day, failed=day % 2, total=day + day % 2) for day in range(10, 24)]


def test_each_day_is_a_bar_that_says_its_numbers():
    svg = chart.bars(DAYS)
    assert svg.count("<title>") == 14
    assert "23 Nov: 23 succeeded, 1 failed, 0 other" in svg


def test_one_failure_among_hundreds_can_be_seen():
    svg = chart.bars([DayCount(date(2026, 11, 1), succeeded=900, failed=1, total=901)])
    height = float(svg.split('class="bar-bad"')[1].split('height="')[1].split('"')[0])
    assert height >= 2


def test_no_runs_at_all_are_drawn_too():
    assert "<rect" not in chart.bars([DayCount(date(2026, 11, 1))])


def test_what_stands_between_backticks_is_code():
    assert show.code("Run `make <x>`, then go.") == "Run <code>make &lt;x&gt;</code>, then go."
