"""The main job in a real browser: open an example flow, change a line, see if it is right, run it, watch, open the result."""

import re

from playwright.sync_api import expect

FLOW = "daily_revenue"
MINUTE = 60_000


def change(page, before, after):
    """Replace a piece of the text as a person would: find it, select it, type over it."""
    page.evaluate("text => ace.edit('editor').find(text)", before)
    page.keyboard.type(after)


def open_editor(open_page, name=FLOW):
    page = open_page(f"/flows/{name}/")
    page.get_by_role("link", name="Edit").click()
    expect(page.locator(".ace_text-layer")).to_contain_text(f"flow {name}")
    return page


def start_run(page):
    page.get_by_role("link", name="Run", exact=True).click()
    page.get_by_role("button", name="Run").click()
    page.wait_for_url(re.compile(r"/runs/\d+/$"))


def test_an_example_is_changed_checked_saved_run_watched_and_its_result_opened(open_page):
    page = open_page("/flows/")
    page.get_by_role("link", name=FLOW).click()
    page.get_by_role("link", name="Edit").click()
    status = page.locator("#check-status")
    expect(status).to_have_text("no problems")

    change(page, "discount ?? 0", "discuont ?? 0")
    expect(page.locator(".flow-said-error").first).to_contain_text("discuont")
    expect(page.locator("#problems li").first).to_contain_text("discuont")
    expect(page.locator(".ace_gutter-cell.ace_error").first).to_be_attached()

    change(page, "discuont ?? 0", "discount ?? 0.0")
    expect(status).to_have_text("no problems")
    page.get_by_label("What changed").fill("Say the default with a decimal")
    page.keyboard.press("Control+s")
    page.wait_for_url(f"**/flows/{FLOW}/")
    expect(page.get_by_text("Saved as version")).to_be_visible()

    start_run(page)
    top = page.locator("#run-top")
    expect(top.locator(".state")).to_have_text("succeeded", timeout=MINUTE)
    nodes = page.locator(".graph-wide [data-node]")
    expect(page.locator(".graph-wide [data-node][data-state=succeeded]")).to_have_count(nodes.count())
    expect(page.locator(".graph-wide [data-node='step:paid'] .node-detail")).to_contain_text("rows")

    page.get_by_role("link", name="shop/out/revenue.csv").first.click()
    expect(page.get_by_role("columnheader", name="segment")).to_be_visible()
    expect(page.locator("tbody tr").first).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename == "revenue.csv"


def test_a_mistake_in_the_list_of_problems_leads_to_its_line(open_page):
    page = open_editor(open_page)
    change(page, "trunc(day", "trnc(day")
    page.locator("#problems button").first.click()
    line = page.evaluate("ace.edit('editor').getCursorPosition().row + 1")
    assert page.locator("#problems .quiet").first.inner_text().startswith(f"{line}:")


def test_format_lays_the_text_out_and_keeps_the_cursor_in_the_editor(open_page):
    page = open_editor(open_page)
    change(page, "fn net(amount, discount) =", "fn   net( amount,discount )   =")
    page.get_by_role("button", name="Format").click()
    expect(page.locator(".ace_text-layer")).to_contain_text("fn net(amount, discount) =")


def test_leaving_with_unsaved_text_asks_first(open_page):
    page = open_editor(open_page)
    change(page, "# A missing discount", "# A missing or odd discount")
    expect(page.locator("#unsaved")).to_be_visible()
    asked = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    page.goto("/flows/")
    assert asked == ["beforeunload"]


def test_a_text_that_was_never_saved_is_offered_again(open_page):
    page = open_editor(open_page)
    change(page, "# A missing discount", "# A precious discount")
    page.on("dialog", lambda dialog: dialog.accept())
    page.goto("/flows/")
    page.goto(f"/flows/{FLOW}/edit/")
    page.get_by_role("button", name="Take it into the editor").click()
    expect(page.locator(".ace_text-layer")).to_contain_text("precious")


def test_two_people_who_save_the_same_flow_lose_nothing(open_page):
    mine, theirs = open_editor(open_page, "visit_funnel"), open_editor(open_page, "visit_funnel")
    for page, words in ((theirs, "# theirs"), (mine, "# mine")):
        page.evaluate("text => ace.edit('editor').session.insert({row: 0, column: 0}, text + '\\n')", words)
        page.get_by_role("button", name="Save").click()
        page.wait_for_load_state()
    expect(mine.get_by_text("Somebody saved this flow while you were writing.")).to_be_visible()
    expect(mine.get_by_label("Your text")).to_have_value(re.compile("# mine"))
    expect(mine.get_by_label("Their text")).to_have_value(re.compile("# theirs"))
    mine.get_by_role("button", name="Save my text").click()
    mine.wait_for_url("**/flows/visit_funnel/")


def test_a_parameter_that_is_wrong_is_told_beside_its_field(open_page):
    page = open_page(f"/flows/{FLOW}/run/")
    page.get_by_label("since").fill("soon")
    page.get_by_role("button", name="Run").click()
    expect(page.locator(".field", has=page.get_by_label("since")).locator(".error")).to_be_visible()
    expect(page.get_by_label("since")).to_have_value("soon")


def test_a_live_page_that_lost_its_connection_misses_no_log_line(open_page, complaints):
    page = open_page(f"/flows/{FLOW}/")
    start_run(page)
    page.context.set_offline(True)
    page.wait_for_timeout(500)
    page.context.set_offline(False)
    expect(page.locator("#run-top .state")).to_have_text("succeeded", timeout=MINUTE)
    shown = page.locator("#log-lines .log-line span").all_inner_texts()
    page.reload()
    page.wait_for_load_state()
    assert shown == page.locator("#log-lines .log-line span").all_inner_texts()
    complaints.clear()  # that it was away was meant
