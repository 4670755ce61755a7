"""L0 visual: whether what people see is readable where they look at it."""

import re
import shutil
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings

from apps.portal.cases.commands import on_terminal, piped, wrong_flow
from apps.testruns.cases.checks import Skip, check

ESCAPE = b"\x1b"
_CODES = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")
_COLOURS = re.compile(rb"\x1b\[[0-9;]*(3[0-9]|9[0-7]|38;[25])[0-9;]*m")
DEV = ("dev",)


@contextmanager
def wrong() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="case-") as folder:
        yield wrong_flow(Path(folder))


def _widest(said: bytes) -> int:
    text = _CODES.sub(b"", said).decode("utf-8", "replace").replace("\r", "")
    return max(map(len, text.splitlines()), default=0)


@check("L0", title="what goes to a program has no colour codes", environments=DEV, timeout=40)
def pipes_are_plain() -> None:
    with wrong() as flow:
        done = piped("flow", "check", flow, TERM="xterm-256color")
    assert done.returncode == 1, "a flow with a mistake was taken for good"
    assert b"amuont" in done.stdout + done.stderr, "the mistake is not shown"
    assert ESCAPE not in done.stdout + done.stderr, "escape codes reach a program"


@check("L0", title="a terminal of 256 colours gets colours", environments=DEV, timeout=40)
def terminals_have_colours() -> None:
    with wrong() as flow:
        said = on_terminal("flow", "check", flow, TERM="xterm-256color")
    assert _COLOURS.search(said), "there is no colour on a terminal that has them"


@check("L0", title="a terminal of 16 colours gets no more than it knows", environments=DEV, timeout=40)
def few_colours_suffice() -> None:
    with wrong() as flow:
        said = on_terminal("flow", "check", flow, TERM="xterm-16color")
    assert b"38;2;" not in said, "true colours are sent to a terminal that has 16"
    assert b"38;5;" not in said, "256 colours are sent to a terminal that has 16"


@check("L0", title="NO_COLOR is kept to", environments=DEV, timeout=40)
def no_color_is_kept() -> None:
    with wrong() as flow:
        said = on_terminal("flow", "check", flow, TERM="xterm-256color", NO_COLOR="1")
    assert not _COLOURS.search(said), "colours are shown although NO_COLOR is set"


@check("L0", title="a dumb terminal gets plain text", environments=DEV, timeout=40)
def dumb_terminals_are_plain() -> None:
    with wrong() as flow:
        said = on_terminal("flow", "check", flow, TERM="dumb")
    assert ESCAPE not in said, "escape codes reach a terminal that cannot read them"


@check("L0", title="an ASCII terminal shows every message", environments=DEV, timeout=40)
def ascii_suffices() -> None:
    with wrong() as flow:
        done = piped("flow", "check", flow, PYTHONIOENCODING="ascii", LC_ALL="C")
    assert b"Traceback" not in done.stderr, "a message cannot be written in ASCII"
    assert b"amuont" in done.stdout + done.stderr, "the mistake is not shown"


@check("L0", title="progress of tests is shown on 80 and 40 columns, and on a pipe", environments=DEV, timeout=60)
def widths_are_kept() -> None:
    for columns in (80, 40):
        said = on_terminal("testrun", "--help", columns=columns, TERM="xterm")
        assert said.strip(), f"nothing is shown on {columns} columns"
        assert _widest(said) <= 80, f"lines are wider than the screen on {columns} columns"
    assert b"usage" in piped("testrun", "--help").stdout.lower(), "nothing is shown on a pipe"


@check("L0", title="the login page is drawn by a browser without a complaint", environments=DEV, timeout=60, retries=1)
def login_page_is_drawn() -> None:
    address = f"http://127.0.0.1:{settings.APP_PORT}/admin/login/"
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            assert answer.status == 200, f"{address} answers {answer.status}"
    except (urllib.error.URLError, OSError) as error:
        raise Skip(f"the portal does not run on port {settings.APP_PORT}: start it with `make run`") from error
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        raise Skip("there is no Chromium here (apt install chromium)")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise Skip("playwright is not installed here (make setup)") from error
    said: list[str] = []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for width in (1440, 390):
            page = browser.new_page(viewport={"width": width, "height": 800})
            page.on("console", lambda told: said.append(told.text) if told.type in ("error", "warning") else None)
            page.on("pageerror", lambda error: said.append(str(error)))
            page.goto(address)
            page.get_by_role("button", name="Log in").wait_for(timeout=10_000)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, f"it scrolls sideways at {width} px"
        browser.close()
    assert not said, f"the browser complains: {said[0]}"
