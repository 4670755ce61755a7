"""A deployment followed on its page and on the lanes, moved on as a worker would."""

import json
import subprocess
import sys

import pytest
from playwright.sync_api import expect

from apps.deployments.stages import forward
from tests.stack.portal import ROOT

SECONDS = 1000
NAMES = [each.name for each in forward.STAGES]
BEFORE = NAMES[: NAMES.index("watch")]


@pytest.fixture
def acting(portal):
    """A worker that performs a deployment into staging by the lines that it is given."""
    portal.manage("shell", "-v", "0", "-c", "from tests.deployments import scenes; scenes.everything()")
    name = portal.query(
        "SELECT r.name FROM deployments_release r JOIN environments_environment e ON e.id = r.origin_id"
        " WHERE e.slug = 'shop-dev' ORDER BY r.id DESC LIMIT 1"
    )[0][0]
    worker = subprocess.Popen(
        [sys.executable, "-m", "tests.deployments.acting", "shop-staging", name],
        cwd=ROOT,
        env=portal.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    )
    yield worker, int(worker.stdout.readline())
    worker.stdin.close()
    worker.wait(20)


def tell(worker, *lines):
    for line in lines:
        worker.stdin.write(line + "\n")
    worker.stdin.flush()


def test_a_deployment_is_followed_from_its_plan_to_being_taken_back(open_page, acting):
    worker, pk = acting
    page, lanes = open_page(f"/deployments/{pk}/"), open_page("/deployments/")
    expect(page.locator("#run-top .headline .state")).to_have_text("running")
    expect(page.locator("#live-state")).to_have_text("connected", timeout=20 * SECONDS)
    lane = lanes.locator("#lane-shop-staging")
    expect(lane).to_contain_text("comes in")
    expect(lane).to_contain_text("Check the plan, stage 1 of")

    tell(worker, "say the plan is read")
    expect(page.locator("#log-lines .log-line span")).to_have_text(["the plan is read"], timeout=10 * SECONDS)
    tell(worker, "ok It is as it was agreed to.")
    expect(page.locator(".stage.is-succeeded")).to_have_count(1, timeout=10 * SECONDS)
    expect(page.locator(".stage").first).to_contain_text("It is as it was agreed to.")
    tell(worker, *[f"ok {name} is done" for name in BEFORE[1:]])
    expect(page.locator(".stage.is-running strong").first).to_have_text("Watch it serve", timeout=10 * SECONDS)
    expect(lane).to_contain_text("Watch it serve", timeout=10 * SECONDS)

    tell(worker, "seen 3 1204 2")
    figures = page.locator(".watch")
    expect(figures).to_contain_text("1,204", timeout=10 * SECONDS)
    tell(worker, "seen 9 1900 160")
    expect(figures.locator(".bad")).to_contain_text("160", timeout=10 * SECONDS)
    tell(worker, "bad It answers with errors.")
    expect(page.locator("#run-top .headline .state")).to_have_text("reverted", timeout=10 * SECONDS)
    expect(page.locator("#run-top .notice h2")).to_contain_text(
        "was taken back. Watch it serve: It answers with errors."
    )
    expect(page.locator("#live-state")).to_have_text("finished")
    expect(page.locator(".tail")).to_have_text("GET / 500")
    expect(page.get_by_role("link", name="Plan it again")).to_be_visible()
    expect(lane).to_contain_text("was taken back", timeout=10 * SECONDS)
    shown = page.locator(".stages").inner_text()
    page.reload()
    assert page.locator(".stages").inner_text() == shown, "live and drawn anew are the same"


def test_the_lanes_are_led_through_by_keyboard(open_page, portal):
    said = portal.manage("shell", "-v", "0", "-c", "from tests.deployments import scenes; scenes.printed()").stdout
    known = json.loads(said.strip().splitlines()[-1])
    page = open_page("/")
    page.keyboard.press("g")
    page.keyboard.press("d")
    page.wait_for_url("**/deployments/")
    plan = page.locator("#lane-shop-staging-plan")
    plan.focus()
    with page.expect_response(lambda answer: "/deployments/live/" in answer.url):
        pass
    expect(plan).to_be_focused()  # what comes anew leaves the focus where it was
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{known['PLAN']}")
    expect(page.get_by_role("heading", name="The gate")).to_be_visible()
    expect(page.locator(".evidence .is-met")).not_to_have_count(0)
