"""The built-in layers of development on the real portal, started and watched in a real browser."""

import re
import shutil
import subprocess

from playwright.sync_api import expect

MINUTE = 60_000


def test_the_layers_of_dev_are_started_and_watched_to_their_end(open_page, portal):
    page = open_page("/tests/new/")
    page.get_by_role("button", name="Run tests").click()
    page.wait_for_url(re.compile(r"/tests/\d+/$"))
    expect(page.locator("#live-state")).to_have_text(re.compile("connected|finished"))
    expect(page.locator("#run-top .state")).to_have_text("passed", timeout=3 * MINUTE)
    expect(page.locator(".layer .layer-head .state")).to_have_text(["passed"] * 5)
    shown = page.locator("tbody tr").evaluate_all("rows => rows.map(row => row.id)")
    page.reload()
    assert sorted(shown) == sorted(page.locator("tbody tr").evaluate_all("rows => rows.map(row => row.id)"))
    assert len(set(shown)) == len(shown) > 35
    rows = dict(portal.query("select title, status from testruns_caseresult order by id"))
    has_engine = shutil.which("docker") and not subprocess.run(["docker", "info"], capture_output=True).returncode
    assert rows["a Docker Engine answers and is new enough"] == ("passed" if has_engine else "skipped")
    document = portal.json("bridge", "status", "--env", "dev")
    assert document["state"] == "completed"
    assert document["layers_done"] == ["L0", "L1", "L2", "L3", "L5"]
