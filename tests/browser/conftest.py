"""A real Chromium on the real portal: one process tree for all browser tests, in a folder of its own."""

import functools
import os
import shutil
from pathlib import Path

import pytest

from tests.stack.portal import PASSWORD, Portal

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run", "--disable-component-update",
    "--disable-sync", "--disable-quic",
]  # fmt: skip


def find_chromium() -> str:
    named = os.environ.get("CHROMIUM", "")
    return named or next((path for name in NAMES if (path := shutil.which(name))), "")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """All tests of this folder need a browser. Without one they are skipped, but in CI that is a failure.

    They come last: once it has begun, the browser's driver keeps an event loop in the tests' thread, in which others
    could not run one of their own.
    """
    here = Path(__file__).parent
    ours = [item for item in items if here in Path(item.path).parents]
    items.sort(key=lambda item: item in ours)
    for item in ours:
        item.add_marker(pytest.mark.browser)
        if not find_chromium() and not os.environ.get("CI"):
            item.add_marker(pytest.mark.skip(reason="no Chromium here: apt-get install chromium, or set CHROMIUM"))


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args):
    chromium = find_chromium()
    assert chromium, "no Chromium is installed, and in CI these tests may not be skipped"
    return {**browser_type_launch_args, "executable_path": chromium, "args": ARGUMENTS}


@pytest.fixture(scope="session")
def portal(tmp_path_factory):
    """The portal as `make run` starts it, with its examples. Tests share it, so each makes what it changes."""
    running = Portal(tmp_path_factory.mktemp("portal"))
    try:
        yield running.start()
    finally:
        running.stop()


@pytest.fixture(scope="session")
def cookies(portal, browser):
    """The session of the admin, logged in once through the page."""
    context = browser.new_context(base_url=portal.url)
    page = context.new_page()
    page.goto("/")
    page.get_by_label("Username").fill("admin")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(portal.url + "/")
    state = context.storage_state()
    context.close()
    return state


class Complaints(list):
    """What the console said that nobody should have to read, and what the server failed at."""

    def watch(self, page):
        page.on("console", lambda said: self.hear(page, said))
        page.on("pageerror", lambda error: self.append(f"{page.url}: {error}"))
        page.on("response", lambda answer: answer.status >= 500 and self.append(f"{answer.url}: {answer.status}"))

    def hear(self, page, said):
        """Chromium also reports answers that say what is wrong with a form; those are meant."""
        meant = said.text.startswith("Failed to load resource") and ("409" in said.text or "422" in said.text)
        if said.type in ("error", "warning") and not meant:
            self.append(f"{page.url}: {said.text}")


NETWORK_CHANGED = "net::ERR_NETWORK_CHANGED"


def visit(goto, complaints, *arguments, **options):
    """Go to a page; again where an interface of this machine came or went meanwhile (Docker makes and removes them), for
    which Chromium gives up what it was loading."""
    for _ in range(3):
        before = len(complaints)
        answer = goto(*arguments, **options)
        if not any(NETWORK_CHANGED in each for each in complaints[before:]):
            break
        del complaints[before:]
    return answer


@pytest.fixture
def complaints():
    return Complaints()


@pytest.fixture
def open_page(portal, browser, cookies, complaints):
    """Makes pages of a logged-in browser; at the end none of them may have complained."""
    contexts = []

    def make(path="/", *, width=1440, height=900, dark=False, javascript=True):
        context = browser.new_context(
            base_url=portal.url,
            storage_state=cookies,
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            java_script_enabled=javascript,
            has_touch=width < 600,
        )
        context.set_default_timeout(20_000)
        contexts.append(context)
        page = context.new_page()
        complaints.watch(page)
        page.goto = functools.partial(visit, page.goto, complaints)
        page.goto(path)
        return page

    yield make
    for context in contexts:
        context.close()
    assert not complaints
