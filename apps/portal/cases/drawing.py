"""A real browser on the real portal, and what can be said against a page that it has drawn."""

import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.conf import settings

from apps.portal.cases.visitor import Visitor
from apps.testruns.cases.checks import Skip

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run", "--disable-sync"]
PATIENCE_MS = 15_000  # of one step of a browser
# WCAG 2.2, 1.4.3: 4.5 to 1, and 3 to 1 for large text. axe-core counts only what is sure, not text over pictures.
CONTRAST = {"runOnly": {"type": "rule", "values": ["color-contrast"]}, "resultTypes": ["violations"]}
# What Chromium says of a stream of events that ends because its page is left.
LEFT = "net::ERR_ABORTED"


def need_portal() -> str:
    """The portal's address. Raises Skip where none answers."""
    address = settings.PORTAL_URL
    try:
        with urllib.request.urlopen(f"{address}/healthz", timeout=5) as answer:  # noqa: S310  settings say that it is http
            said = answer.read(100).strip()
    except (urllib.error.URLError, OSError) as error:
        raise Skip(f"the portal does not run at {address}: start it with `make run`") from error
    assert said == b"alive", f"another program answers at {address}: stop it, or set APP_PORT to a free port"
    return str(address)


def need_chromium() -> str:
    found = settings.CHROMIUM or next(filter(None, map(shutil.which, NAMES)), None)
    if not found:
        raise Skip("there is no Chromium here (apt install chromium, or name it in CHROMIUM)")
    return str(found)


def need_axe() -> str:
    """The script that judges contrast."""
    try:
        from axe_playwright_python.base import AXE_SCRIPT
    except ImportError as error:
        raise Skip("axe-core is not installed here (make setup)") from error
    return str(AXE_SCRIPT)


@contextmanager
def browser() -> Iterator["Browser"]:
    """Raises Skip where there is none. No database inside: see `visitor`."""
    path = need_chromium()
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise Skip("playwright is not installed here (make setup)") from error
    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=path, args=ARGUMENTS)
        try:
            yield opened
        finally:
            opened.close()


def log_in(page: "Page", who: Visitor) -> None:
    """By the form, as a person does."""
    page.goto("/admin/login/?next=/")
    page.get_by_label("Username").fill(who.username)
    page.get_by_label("Password").fill(who.password)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_load_state()
    assert "/login" not in page.url, (
        f"the portal at {settings.PORTAL_URL} does not let {who.username} in: has it another database than this test?"
    )


NETWORK_CHANGED = "ERR_NETWORK_CHANGED"
TRIES = 3


class Complaints(list[str]):
    """What a page complains of while it is watched, each with the page that was open."""

    def watch(self, page: "Page") -> None:
        page.on("console", lambda said: self._heard(page, said))
        page.on("pageerror", lambda error: self._say(page, str(error)))
        page.on("requestfailed", lambda request: self._failed(page, request))
        page.on("response", lambda answer: self._answered(page, answer))

    def _heard(self, page: "Page", said: Any) -> None:
        if said.type in ("error", "warning"):
            self._say(page, said.text)

    def _failed(self, page: "Page", request: Any) -> None:
        if request.failure != LEFT:
            self._say(page, f"{request.url} could not be loaded: {request.failure}")

    def _answered(self, page: "Page", answer: Any) -> None:
        if answer.status >= 400:
            self._say(page, f"{answer.url} answers {answer.status}")

    def _say(self, page: "Page", what: str) -> None:
        self.append(f"{page.url.removeprefix(settings.PORTAL_URL)}: {what}")


def visit(page: "Page", path: str, said: Complaints) -> None:
    """Go to a page; again where an interface of this machine came or went meanwhile (Docker makes and removes them), for
    which Chromium gives up what it was loading."""
    for _ in range(TRIES):
        before = len(said)
        page.goto(path)
        if not any(NETWORK_CHANGED in each for each in said[before:]):
            return
        del said[before:]


def faults(page: "Page", axe: str, width: int) -> list[str]:
    """What is wrong with the page that is drawn: it scrolls sideways, or a text is too faint."""
    found = []
    wide = page.evaluate("document.documentElement.scrollWidth")
    if wide > width:
        found.append(f"it is {wide} px wide and scrolls sideways: {page.evaluate(WIDEST, width)}")
    page.evaluate(axe)
    for rule in page.evaluate("options => axe.run(document, options)", CONTRAST)["violations"]:
        found += [_faint(node) for node in rule["nodes"]]
    return found


# The innermost element that reaches over the edge, as a person would name it.
WIDEST = """width => {
  const over = [...document.body.querySelectorAll("*")].filter((e) => e.getBoundingClientRect().right > width + 1);
  const e = over.filter((each) => !over.some((other) => other !== each && each.contains(other)))[0];
  return e ? e.tagName.toLowerCase() + (e.id ? "#" + e.id : "") + [...e.classList].map((c) => "." + c).join("") : "?";
}"""


def _faint(node: dict[str, Any]) -> str:
    data = node["any"][0]["data"]
    return (
        f"{' '.join(map(str, node['target']))} has a contrast of {data['contrastRatio']} "
        f"({data['fgColor']} on {data['bgColor']}); {data['expectedContrastRatio']} is needed"
    )
