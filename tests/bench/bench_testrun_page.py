"""The live page of a test run with 1,000 cases in a real browser: first paint, and an update with 20 new cases.

    .venv/bin/python -m tests.bench.bench_testrun_page [--assert] [--rounds 7]

The peer is the page of a test run with one case, in the same browser on the same portal: what the cases themselves cost
is the difference. Skipped, and said so, where no Chromium is installed.
"""

import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.browser.conftest import ARGUMENTS, find_chromium
from tests.stack.portal import PASSWORD, Portal

CASES, MORE, LIMIT_MS = 1000, 20, 300

PAINT = """() => new Promise(done => {
  const found = performance.getEntriesByName('first-contentful-paint')[0];
  if (found) return done(found.startTime);
  new PerformanceObserver(list => done(list.getEntriesByName('first-contentful-paint')[0].startTime)).observe({ type: 'paint', buffered: true });
})"""
UPDATE = """wanted => new Promise(done => {
  const began = performance.now();
  const look = () => document.querySelectorAll('.dot').length >= wanted
    ? requestAnimationFrame(() => done(performance.now() - began)) : requestAnimationFrame(look);
  htmx.trigger('#run-top', 'refresh');
  look();
})"""


def add_cases(run: Any, first: int, number: int) -> None:
    from apps.testruns.models import CaseResult, key_of

    CaseResult.objects.bulk_create(
        CaseResult(
            test_run=run,
            environment=run.environment,
            layer="L1",
            source=f"L1/{each}.sh",
            title=f"case number {each} of many",
            key=key_of("L1", str(each), ""),
            status="failed" if each % 50 == 0 else "passed",
            message="a sentence that says why" if each % 50 == 0 else "",
            position=each,
        )
        for each in range(first, first + number)
    )


def make_run(cases: int) -> Any:
    """One that runs, so that its page is live; no worker has it, so nothing else happens to it."""
    from datetime import timedelta

    from apps.common import clock
    from apps.environments.models import Environment
    from apps.testruns.models import LayerResult, TestRun

    lease = clock.now() + timedelta(seconds=19)
    dev = Environment.objects.get(slug="dev")
    run = TestRun.objects.create(
        environment=dev, layers=["L1"], state="running", started_at=clock.now(), lease_expires_at=lease, attempt=1
    )
    LayerResult.objects.create(test_run=run, layer="L1", position=0, status="running", planned=cases * 2, passed=cases)
    add_cases(run, 0, cases)
    return run


def measure(portal: Portal, rounds: int) -> dict[int, tuple[float, float]]:
    """Cases → medians of first paint and of an update, in milliseconds."""
    import django
    from playwright.sync_api import sync_playwright

    os.environ |= {**portal.environment, "DJANGO_ALLOW_ASYNC_UNSAFE": "true"}  # the driver has a loop in this thread
    django.setup()
    found = {}
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=find_chromium(), args=ARGUMENTS)
        context = browser.new_context(base_url=portal.url, viewport={"width": 1440, "height": 900})
        page = context.new_page()
        page.goto("/")
        page.get_by_label("Username").fill("admin")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url(portal.url + "/")
        for cases in (1, CASES):
            paints, updates = [], []
            for _ in range(rounds + 1):
                run = make_run(cases)
                page.goto(f"/tests/{run.pk}/")
                paints.append(page.evaluate(PAINT))
                add_cases(run, cases, MORE)
                updates.append(page.evaluate(UPDATE, cases + MORE))
            found[cases] = statistics.median(paints[1:]), statistics.median(updates[1:])
        browser.close()
    return found


def show(found: dict[int, tuple[float, float]]) -> bool:
    table = Table("", "1 case", f"{CASES} cases", "ratio", "at most", title="the live page of a test run")
    good = True
    for place, name in enumerate(("first paint", f"an update with {MORE} new cases")):
        few, many = found[1][place], found[CASES][place]
        good &= many <= LIMIT_MS
        table.add_row(name, f"{few:.0f} ms", f"{many:.0f} ms", f"{many / few:.1f}", f"{LIMIT_MS} ms")
    Console(width=120).print(table)
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--assert", dest="judge", action="store_true", help="exit 1 above the limit")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    if not find_chromium():
        Console(stderr=True).print("no Chromium here, so the page is not measured: apt install chromium")
        return 0
    with tempfile.TemporaryDirectory(prefix="fc-bench-") as folder:
        portal = Portal(Path(folder), settings={"LEASE_SECONDS": "20"}).start()
        try:
            good = show(measure(portal, arguments.rounds))
        finally:
            portal.stop()
    return 1 if arguments.judge and not good else 0


if __name__ == "__main__":
    sys.exit(main())
