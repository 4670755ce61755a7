"""L3 performance: a short load, the pages' times, and what the containers use, against budgets in the settings."""

import statistics
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.urls import reverse

from apps.accounts.models import Role
from apps.environments.containers.found import Found
from apps.portal.cases import pages
from apps.portal.cases.staging import throwaway
from apps.portal.cases.staging.stack import STAGING, Stack, stack
from apps.portal.cases.visitor import visitor
from apps.testruns.cases.checks import Skip, check
from apps.testruns.cases.model import Place

LOAD_TIMEOUT_SECONDS = 90.0
PAGES_TIMEOUT_SECONDS = 60.0
PAGES = ("portal:overview", "flows:list", "runs:list", "testruns:list", "portal:environments")
TIMES = 3  # each page; the middle one counts
NEAR = 0.95  # of a limit: so close to it a container is slowed down or about to be killed


@check("L3", title="a short load is answered within the budgets", environments=STAGING, timeout=LOAD_TIMEOUT_SECONDS)
def load_is_handled(place: Place) -> str:
    """LOAD_REQUESTS of the login page through the proxy, LOAD_PARALLEL at a time, none begun after LOAD_SECONDS."""
    with stack(place) as there:
        figures = load(there, "http://proxy:8080/admin/login/")
        wrong = over_budget(figures)
        assert not wrong, f"{'; '.join(wrong)} ({figures})"
        return str(figures)


@dataclass(frozen=True, slots=True)
class Figures:
    requests: int
    failed: int
    errors: str  # the most frequent
    per_second: float
    p95_ms: float

    def __str__(self) -> str:
        return f"{self.requests} requests, {self.failed} failed, {self.per_second:.0f}/s, p95 {self.p95_ms:.0f} ms"


def load(there: Stack, address: str) -> Figures:
    plan = (settings.LOAD_REQUESTS, settings.LOAD_PARALLEL, settings.LOAD_SECONDS)
    said = throwaway.ask(there, "load", address, *map(str, plan), seconds=LOAD_TIMEOUT_SECONDS - 20)
    latencies = said["latencies"] or [0.0]
    errors = sorted(said["errors"].items(), key=lambda each: -each[1])
    return Figures(
        said["requests"],
        said["failed"],
        errors[0][0] if errors else "",
        said["requests"] / said["seconds"],
        1000 * latencies[min(len(latencies) - 1, int(0.95 * len(latencies)))],
    )


def over_budget(figures: Figures) -> list[str]:
    wrong = []
    if not figures.requests:
        wrong.append("nothing was answered")
    if figures.failed > settings.LOAD_ERRORS:
        wrong.append(f"{figures.failed} failed, LOAD_ERRORS is {settings.LOAD_ERRORS}: {figures.errors}")
    if figures.p95_ms > settings.LOAD_P95_MS:
        wrong.append(f"p95 is {figures.p95_ms:.0f} ms, LOAD_P95_MS is {settings.LOAD_P95_MS}")
    if figures.per_second < settings.LOAD_RATE:
        wrong.append(f"{figures.per_second:.1f} requests/s, LOAD_RATE is {settings.LOAD_RATE}")
    return wrong


@check("L3", title="key pages answer within their budget", environments=STAGING, timeout=PAGES_TIMEOUT_SECONDS)
def pages_are_quick(place: Place) -> str:
    """As a person who may look sees them; the middle of three times, against PAGE_MS."""
    with stack(place) as there:
        address = portal_of(there)
    with visitor(Role.VIEWER, seconds=PAGES_TIMEOUT_SECONDS) as who:
        reader = pages.Reader(address)
        reader.log_in(who)
        taken = {path: middle_of(reader, path) for path in map(reverse, PAGES)}
    slow = [f"{path} takes {ms:.0f} ms" for path, ms in taken.items() if ms > settings.PAGE_MS]
    assert not slow, f"{'; '.join(slow)}: PAGE_MS is {settings.PAGE_MS}"
    return ", ".join(f"{path} {ms:.0f} ms" for path, ms in taken.items())


def middle_of(reader: pages.Reader, path: str) -> float:
    """Milliseconds."""
    taken = []
    for _ in range(TIMES):
        began = time.perf_counter()
        status, _, _ = reader.get(path)
        taken.append(1000 * (time.perf_counter() - began))
        assert status == 200, f"{path} answers {status}"
    return statistics.median(taken)


def portal_of(there: Stack) -> str:
    """Where this process reaches the portal: by the proxy, beside it, or by its port on the host."""
    ports = [port.host_port for port in there.one("proxy").published if port.container == "8080/tcp"]
    for address in ("http://proxy:8080", "http://app:8000", *(f"http://127.0.0.1:{port}" for port in ports)):
        try:
            with urllib.request.urlopen(f"{address}/healthz", timeout=3) as answer:  # noqa: S310  our own
                if answer.status == 200:
                    return address
        except OSError:
            continue
    raise Skip("this process does not reach the portal: run the cases in the stack's controller")


@check("L3", title="no container is near its limits of CPU and memory", environments=STAGING, timeout=60, retries=1)
def use_is_below_the_limits(place: Place) -> str:
    with stack(place) as there:
        used = use_of(there, there.running)
        wrong = [fault for each in used for fault in near_limits(each)]
        assert not wrong, "; ".join(wrong)
        return "; ".join(map(str, used))


@dataclass(frozen=True, slots=True)
class Use:
    of: Found
    memory_bytes: int  # without what the kernel can drop at once
    cpus: float  # over the last second

    def __str__(self) -> str:
        return f"{self.of.service}: {self.memory_bytes // 1024**2} MiB, {self.cpus:.2f} CPUs"


def use_of(there: Stack, containers: tuple[Found, ...]) -> list[Use]:
    """Asked at once: the engine takes a second for each."""
    with ThreadPoolExecutor(max_workers=len(containers) or 1) as pool:
        figures = pool.map(lambda each: there.client.api.stats(each.container, stream=False), containers)
        return [_use(each, stats) for each, stats in zip(containers, figures, strict=True)]


def _use(each: Found, stats: dict[str, Any]) -> Use:
    memory = stats.get("memory_stats", {})
    assert memory.get("usage"), f"the engine has no figures of {each.name}: has it just ended?"
    details = memory.get("stats", {})
    droppable = details.get("inactive_file", details.get("total_inactive_file", 0))
    now, before = stats["cpu_stats"], stats["precpu_stats"]
    spent = now["cpu_usage"]["total_usage"] - before["cpu_usage"]["total_usage"]
    passed = now.get("system_cpu_usage", 0) - before.get("system_cpu_usage", 0)
    cpus = now.get("online_cpus") or len(now["cpu_usage"].get("percpu_usage") or ()) or 1
    return Use(each, max(0, memory["usage"] - droppable), cpus * spent / passed if passed > 0 else 0.0)


def near_limits(use: Use) -> list[str]:
    wrong, limits = [], use.of.limits
    if limits.memory_bytes and use.memory_bytes > NEAR * limits.memory_bytes:
        wrong.append(f"{use.of.name} uses {use.memory_bytes} of {limits.memory_bytes} bytes")
    if limits.cpus and use.cpus > NEAR * limits.cpus:
        wrong.append(f"{use.of.name} uses {use.cpus:.2f} of {limits.cpus:g} CPUs")
    return wrong
