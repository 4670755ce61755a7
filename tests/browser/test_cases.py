"""The cases that use a browser, held against pages that are wrong, and against the real portal."""

import json

import pytest

from apps.portal.cases import drawing

WIDTH = 390
PAGE = "<!doctype html><html lang=en><title>t</title><body style='margin:0'>%s"


@pytest.fixture
def drawn(browser):
    page = browser.new_context(viewport={"width": WIDTH, "height": 800}).new_page()

    def faults(body):
        page.set_content(PAGE % body)
        return drawing.faults(page, drawing.need_axe(), WIDTH)

    yield faults
    page.context.close()


def test_a_faint_text_is_named_with_its_figure(drawn):
    (fault,) = drawn("<p id=faint style='color:#999;background:#fff'>hardly to be read</p>")
    assert fault == "#faint has a contrast of 2.84 (#999999 on #ffffff); 4.5:1 is needed"


def test_a_page_that_scrolls_sideways_is_told_with_what_is_too_wide(drawn):
    (fault,) = drawn("<div><div id=wide class=x style='width:500px'>wide</div></div>")
    assert fault == "it is 500 px wide and scrolls sideways: div#wide.x"


def test_a_sound_page_has_no_fault(drawn):
    assert drawn("<p style='color:#333'>to be read</p><p style='color:#777;font-size:24px'>large</p>") == []


def test_what_a_page_complains_of_is_heard(browser, portal, monkeypatch, settings):
    settings.PORTAL_URL = portal.url
    said = drawing.Complaints()
    page = browser.new_page(base_url=portal.url)
    said.watch(page)
    page.goto("/admin/login/")
    page.evaluate("console.error('it went wrong')")
    page.evaluate("setTimeout(() => { throw new Error('nobody caught it') })")
    page.evaluate("fetch('/nowhere/').then(() => fetch('http://127.0.0.1:9/')).catch(() => 0)")
    page.wait_for_timeout(300)
    page.close()
    everything = "\n".join(said)
    for each in ("it went wrong", "nobody caught it", "/nowhere/ answers 404"):
        assert f"/admin/login/: {each}" in everything or each in everything
    assert all(each.startswith("/admin/login/: ") for each in said)


def test_they_pass_on_the_real_portal_and_leave_no_account(portal):
    done = portal.manage("testrun", "start", "dev", "--layers", "L0,L5", "--json", check=False, seconds=400)
    cases = {each["title"]: each for each in json.loads(done.stdout)["cases"]}
    wanted = {
        "the login page is drawn by a browser without a complaint",
        "key pages are drawn by a browser without a complaint, wide and narrow, light and dark",
        "each page that links lead to answers with sound HTML",
        "a browser logs in and runs a flow to its end",
        "each command on files answers in the form that is promised",
        "each command of the portal answers in the form that is promised",
        "the bridge's commands answer in the form that is promised",
        "the exports of a test run open in what reads them",
    }
    assert {title: cases[title]["message"] for title in wanted if cases[title]["status"] != "passed"} == {}
    assert portal.query("SELECT username FROM accounts_user") == [("admin",)]
