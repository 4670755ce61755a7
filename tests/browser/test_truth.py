"""What a page says while the processes behind it die."""

import re

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.kill

SECONDS = 1000
# Joins every order with every order with every order: it runs until it is stopped.
ENDLESS = """flow endless { description: "Runs until it is stopped" }
source orders = csv("shop/orders_*.csv") {
  columns: { order_id: int, customer_id: int, amount: decimal(12, 2), discount: decimal(12, 2), status: text, ordered_at: timestamp }
}
step pairs = orders | cross join orders as x bring other = x.order_id
step triples = pairs | cross join orders as z bring third = z.order_id
step most = triples | group by customer_id { n = count(), m = max(other * third) }
sink most -> csv("endless/most.csv")
"""


@pytest.fixture
def page(portal, open_page):
    """The page of a run that will not end by itself."""
    flow = portal.folder / "endless.flow"
    flow.write_text(ENDLESS)
    portal.manage("flow", "push", str(flow), "--as", "admin")
    page = open_page("/flows/endless/run/")
    page.get_by_role("button", name="Run").click()
    page.wait_for_url(re.compile(r"/runs/\d+/$"))
    expect(page.locator("#run-top .state")).to_have_text("running", timeout=20 * SECONDS)
    return page


def cancel(page):
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.get_by_role("button", name="Cancel the run").click()
    expect(page.locator("#run-top .state")).to_have_text("cancelled", timeout=20 * SECONDS)


def test_a_killed_worker_shows_on_the_open_page_and_the_next_one_takes_over(portal, page):
    portal.kill("worker")
    top = page.locator("#run-top")
    expect(top).to_contain_text(re.compile("lost|queued|attempt 2 of"), timeout=20 * SECONDS)
    expect(top).to_contain_text("attempt 2 of", timeout=40 * SECONDS)
    cancel(page)
    expect(page.locator(".notice")).to_contain_text("Cancelled by admin")


def test_progress_that_stands_still_is_no_number(portal, page, complaints):
    page.route(re.compile("events|/live/"), lambda route: route.abort())  # nothing new comes to the page
    page.reload()
    expect(page.locator("#run-top progress")).not_to_have_attribute("value", re.compile("."), timeout=30 * SECONDS)
    expect(page.locator("#progress-words")).to_have_text("at work")
    page.unroute_all()
    cancel(page)
    complaints.clear()  # that nothing came was meant


def test_a_run_can_be_cancelled_from_its_page_while_the_bus_is_dead(portal, page):
    portal.kill("bus")
    cancel(page)
