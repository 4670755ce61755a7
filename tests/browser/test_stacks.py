"""A stack of containers brought up, looked at and brought down on the real portal, in a real browser."""

import json
import re
import uuid

import pytest
from playwright.sync_api import expect

from tests.environments.containers.projects import compose, needs_engine

SECONDS = 1000
SERVICES = {
    "web": {
        "image": "busybox:1",
        "command": ["sh", "-c", "echo listening; exec httpd -f -p 8000"],
        "init": True,
        "mem_limit": "32m",
        "cpus": 0.2,
    }
}


@pytest.fixture
def shop(portal):
    """An environment of a small compose project."""
    needs_engine()
    slug, file = f"fcpages-{uuid.uuid4().hex[:8]}", portal.folder / "shop.json"
    file.write_text(json.dumps({"services": SERVICES}))
    portal.manage("environment", "add", slug, "--compose", str(file), "--project", slug, "--as", "admin")
    yield slug
    compose(slug, file, "down", "--volumes", "--timeout", "1", check=False)


def test_a_stack_is_brought_up_watched_and_brought_down(open_page, shop):
    page = open_page(f"/environments/{shop}/")
    expect(page.get_by_text("No stack has been seen.")).to_be_visible()
    page.get_by_role("button", name="Up").click()
    page.wait_for_url(re.compile(r"/stacks/\d+/$"))
    expect(page.locator("#run-top .state")).to_have_text("succeeded", timeout=90 * SECONDS)
    expect(page.locator("#live-state")).to_have_text("finished")
    expect(page.locator(".stage.is-failed, .stage.is-running, .stage.is-queued")).to_have_count(0)
    shown = page.locator("#log-lines .log-line span").all_inner_texts()
    assert any("web" in line for line in shown)
    page.reload()
    assert page.locator("#log-lines .log-line span").all_inner_texts() == shown, "live and drawn anew are the same"

    page.goto(f"/environments/{shop}/")
    row = page.locator(".services tbody tr")
    expect(row.locator(".state")).to_have_text("running", timeout=30 * SECONDS)
    expect(row.locator("meter")).to_have_count(2, timeout=30 * SECONDS)
    row.get_by_role("link", name="Log").click()
    expect(page.locator("#answer .log-line")).to_have_text(["listening"], timeout=20 * SECONDS)

    page.goto(f"/environments/{shop}/")
    page.get_by_role("button", name="Down").click()
    expect(page.get_by_role("dialog")).to_contain_text("volumes, and what is in them, stay")
    page.get_by_role("button", name="Bring it down").click()
    expect(page.locator("#run-top .state")).to_have_text("succeeded", timeout=60 * SECONDS)
    page.goto(f"/environments/{shop}/")
    expect(page.get_by_text("No stack has been seen.")).to_be_visible(timeout=30 * SECONDS)


def test_without_javascript_lines_of_a_log_come_all_the_same(open_page, portal, shop):
    portal.manage("environment", "up", shop, "--as", "admin")
    watching = open_page(f"/environments/{shop}/")
    expect(watching.locator(".services tbody tr")).to_have_count(1, timeout=30 * SECONDS)
    page = open_page(f"/environments/{shop}/logs/web/", javascript=False)
    expect(page.locator("#answer .log-line")).to_have_text(["listening"], timeout=20 * SECONDS)
