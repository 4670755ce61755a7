"""L0 visual: whether what people see is readable where they look at it."""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.db import connection
from django.urls import reverse

from apps.accounts.models import Role
from apps.deployments.models import Deployment
from apps.flows.models import Flow
from apps.portal.cases import drawing
from apps.portal.cases.commands import on_terminal, piped, wrong_flow
from apps.portal.cases.visitor import visitor
from apps.runs.models import Run
from apps.testruns.cases.checks import check
from apps.testruns.cases.model import Place
from apps.testruns.models import TestRun

ESCAPE = b"\x1b"
_CODES = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")
_COLOURS = re.compile(rb"\x1b\[[0-9;]*(3[0-9]|9[0-7]|38;[25])[0-9;]*m")
DEV = ("dev",)
LOOKS = [(width, scheme) for width in (1440, 390) for scheme in ("light", "dark")]
SECONDS = 240.0
MOST_TOLD = 12


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
    address, axe = drawing.need_portal(), drawing.need_axe()
    said = drawing.Complaints()
    with drawing.browser() as browser:
        for width, scheme in LOOKS:
            page = _page(browser, address, width, scheme, said)
            drawing.visit(page, "/admin/login/", said)
            page.get_by_role("button", name="Log in").wait_for()
            said += [f"/admin/login/ at {width} px, {scheme}: {each}" for each in drawing.faults(page, axe, width)]
            page.context.close()
    assert not said, _told(said)


@check(
    "L0",
    title="key pages are drawn by a browser without a complaint, wide and narrow, light and dark",
    environments=DEV,
    timeout=SECONDS,
)
def key_pages_are_drawn(place: Place) -> str:
    """Each with a temporary account that may look and nothing more: what the browser complains of, requests that fail,
    scrolling sideways, and contrast below WCAG AA."""
    address, axe = drawing.need_portal(), drawing.need_axe()
    drawing.need_chromium()
    try:
        paths = _key_pages(place.environment)
    finally:
        connection.close()
    said = drawing.Complaints()
    with visitor(Role.VIEWER, seconds=SECONDS) as who, drawing.browser() as browser:
        for width, scheme in LOOKS:
            page = _page(browser, address, width, scheme, said)
            drawing.log_in(page, who)
            for path in paths:
                drawing.visit(page, path, said)
                said += [f"{path} at {width} px, {scheme}: {each}" for each in drawing.faults(page, axe, width)]
            page.context.close()
    assert not said, _told(said)
    return f"{len(paths)} pages: {', '.join(paths)}"


def _key_pages(environment: str) -> list[str]:
    """Those that are always there, and the newest flow, run, test run and deployment, where there are any."""
    paths = [reverse(name) for name in ("portal:overview", "flows:list", "runs:list", "testruns:list")]
    paths += [reverse(name) for name in ("portal:environments", "deployments:lanes", "deployments:releases")]
    flow = Flow.objects.filter(archived_at__isnull=True, current__isnull=False).order_by("-pk").first()
    if flow is not None:
        paths.append(reverse("flows:detail", args=[flow.name]))
    for name, rows in (
        ("runs:detail", Run.objects),
        ("testruns:detail", TestRun.objects),
        ("deployments:detail", Deployment.objects),
    ):
        newest = rows.filter(environment__slug=environment).order_by("-pk").first()
        if newest is not None:
            paths.append(reverse(name, args=[newest.pk]))
    return paths


def _page(browser: Any, address: str, width: int, scheme: str, said: drawing.Complaints) -> Any:
    context = browser.new_context(
        base_url=address, viewport={"width": width, "height": 900}, color_scheme=scheme, has_touch=width < 600
    )
    context.set_default_timeout(drawing.PATIENCE_MS)
    page = context.new_page()
    said.watch(page)
    return page


def _told(said: list[str]) -> str:
    """The first few, each once: the same element is often on every page."""
    found = list(dict.fromkeys(said))
    rest = f"\n… and {len(found) - MOST_TOLD} more" if len(found) > MOST_TOLD else ""
    return f"{len(found)} faults:\n" + "\n".join(found[:MOST_TOLD]) + rest
