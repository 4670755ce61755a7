"""Every page at both widths, light and dark: nothing scrolls sideways, nothing is too faint to read, nobody complains."""

import json
import re

import pytest
from playwright.sync_api import expect

from tests.stack.portal import PASSWORD

PAGES = [
    "/", "/flows/", "/flows/-/new/", "/flows/daily_revenue/", "/flows/daily_revenue/edit/",
    "/flows/daily_revenue/versions/", "/flows/daily_revenue/versions/1/", "/flows/daily_revenue/run/", "/runs/",
    "/tests/", "/tests/new/", "TESTS", "CASE", "/environments/", "/environments/dev/variables/", "/audit/", "/search/?q=revenue", "/admin/", "/admin/runs/run/", "RUN", "OUTPUT",
    "/deployments/", "/releases/", "/releases/-/new/", "DEPLOYMENT", "WAITING", "PLAN", "SHUT", "ROLLBACK", "RELEASE", "DIFFERENCE",
]  # fmt: skip
READABLE = 4.5  # WCAG AA for text of this size; 3 for large text

# Each visible piece of text with its contrast against what stands behind it. Colours go through a canvas, which knows
# every notation that a computed style may use.
FAINT = """
least => {
  const canvas = document.createElement("canvas"); canvas.width = canvas.height = 1;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    context.clearRect(0, 0, 1, 1); context.fillStyle = colour; context.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = context.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255];
  };
  const over = (top, below) => top.slice(0, 3).map((v, i) => v * top[3] + below[i] * (1 - top[3]));
  const behind = (element) => {
    const layers = [];
    for (let e = element; e; e = e.parentElement) layers.push(rgba(getComputedStyle(e).backgroundColor));
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255]);
  };
  const light = (c) => c.map((v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const faint = [];
  const walker = document.createTreeWalker(document.getElementById("content"), NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement, style = getComputedStyle(element);
    if (!walker.currentNode.data.trim() || !element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    if (element.closest("svg, .material-symbols-outlined, .ace_editor, option, .visually-hidden, [disabled]") || style.fontSize === "0px") continue;
    const back = behind(element), front = over(rgba(style.color), back);
    const [a, b] = [light(front), light(back)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.6 && style.fontWeight >= 700);
    if (ratio < (large ? 3 : least)) faint.push(`${ratio.toFixed(1)} ${walker.currentNode.data.trim().slice(0, 40)}`);
  }
  return faint;
}
"""


@pytest.fixture(scope="session")
def run_address(portal):
    """A run that is over, so that its pages stand still."""
    run = portal.json("flow", "run", "daily_revenue", "--env", "dev", "--wait")
    return f"/runs/{run['run']}/"


@pytest.fixture(scope="session")
def layers_address(portal):
    """A test run that is over: one layer, in which a case of the environment's own fails."""
    folder = portal.folder / "data/checks/dev/L1"
    folder.mkdir(parents=True, exist_ok=True)
    script = folder / "broken.sh"
    script.write_text("#!/bin/sh\necho it is broken; exit 3\n")
    script.chmod(0o755)
    done = portal.manage("testrun", "start", "dev", "--layers", "L1", "--json", check=False)
    script.unlink()
    return f"/tests/{json.loads(done.stdout)['id']}/"


@pytest.fixture(scope="session")
def deployed(portal):
    """Releases in three environments: addresses by what they show."""
    said = portal.manage("shell", "-v", "0", "-c", "from tests.deployments import scenes; scenes.printed()").stdout
    return json.loads(said.strip().splitlines()[-1])


def address(path, page, run_address, layers_address, deployed):
    if path in deployed:
        return deployed[path]
    if path in ("TESTS", "CASE"):
        if path == "CASE":
            page.goto(layers_address)
            return page.get_by_role("link", name="broken.sh", exact=True).get_attribute("href")
        return layers_address
    if path not in ("RUN", "OUTPUT"):
        return path
    if path == "RUN":
        return run_address
    page.goto(run_address)
    return page.get_by_role("link", name="shop/out/revenue.csv", exact=True).get_attribute("href")


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize(("width", "dark"), [(1440, False), (1440, True), (390, False), (390, True)])
def test_a_page_fits_is_readable_and_says_nothing_in_the_console(
    open_page, run_address, layers_address, deployed, path, width, dark
):
    page = open_page("about:blank", width=width, dark=dark)
    answer = page.goto(address(path, page, run_address, layers_address, deployed))
    page.wait_for_load_state("networkidle")
    assert answer.status == 200
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(FAINT, READABLE) == []


@pytest.mark.parametrize("path", [path for path in PAGES if path not in ("/flows/-/new/",)])
def test_a_page_can_be_read_without_javascript(open_page, run_address, layers_address, deployed, path):
    page = open_page("about:blank", javascript=False)
    page.goto(address(path, page, run_address, layers_address, deployed))
    expect(page.locator("#content")).to_be_visible()
    expect(page.locator("#nav-sidebar").get_by_role("link", name="Flows")).to_be_visible()


def test_one_can_log_in_without_javascript(portal, browser):
    page = browser.new_context(base_url=portal.url, java_script_enabled=False).new_page()
    page.goto("/runs/")
    page.get_by_label("Username").fill("admin")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/runs/")
    page.context.close()


def test_the_editor_works_as_a_plain_form_without_javascript(open_page):
    page = open_page("/flows/-/new/", javascript=False)
    text = page.get_by_label("Text of the flow")
    text.fill(text.input_value().replace("my_flow", "plain_form").replace('"EU"', "EUROPE"))
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#problems li").first).to_contain_text("EUROPE")
    text.fill(text.input_value().replace("EUROPE", '"EU"'))
    page.get_by_role("button", name="Save").click()
    page.wait_for_url("**/flows/plain_form/")


def test_a_run_without_javascript_shows_the_truth_after_a_reload(open_page, run_address):
    page = open_page(run_address, javascript=False)
    expect(page.locator("#run-top .state")).to_have_text("succeeded")
    expect(page.get_by_role("link", name="Show it as it is now")).to_be_visible()


def test_the_keyboard_leads_everywhere(open_page):
    page = open_page("/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("g")
    page.keyboard.press("r")
    page.wait_for_url("**/runs/")
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox", name="Search flows and runs").first).to_be_focused()
    page.keyboard.type("funnel")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search/?q=funnel")
    page.locator("#content h2").first.click()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard")).to_be_visible()


def test_a_graph_zooms_and_fits_by_keyboard(open_page):
    page = open_page("/flows/daily_revenue/")
    frame = page.locator(".graph-frame")
    svg = frame.locator(".graph-wide svg")
    fitted = svg.get_attribute("viewBox")
    frame.focus()
    page.keyboard.press("+")
    assert svg.get_attribute("viewBox") != fitted
    page.keyboard.press("0")
    assert svg.get_attribute("viewBox") == fitted


def test_a_node_leads_to_its_line_in_the_editor(open_page):
    page = open_page("/flows/daily_revenue/")
    page.locator(".graph-wide a", has=page.locator("[data-node='step:enriched']")).click()
    page.wait_for_url(re.compile(r"/edit/\?line=\d+$"))
    row = page.evaluate("ace.edit('editor').getCursorPosition().row")
    assert page.evaluate("row => ace.edit('editor').session.getLine(row)", row).startswith("step enriched")


def test_on_a_phone_the_graph_stands_and_long_log_lines_wrap(open_page, run_address):
    page = open_page(run_address, width=390)
    expect(page.locator(".graph-tall")).to_be_visible()
    expect(page.locator(".graph-wide")).to_be_hidden()
    assert page.evaluate(
        "(() => { const l = document.getElementById('log-lines'); return l.scrollWidth <= l.clientWidth + 1 })()"
    )
