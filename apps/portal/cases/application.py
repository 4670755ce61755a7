"""L5 application: the example flows from end to end, every page, what programs read of us, and a browser at work."""

import json
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from django.conf import settings
from django.db import connection
from django.urls import reverse

from apps.accounts.models import Role
from apps.environments.models import Environment
from apps.flows.models import Flow
from apps.jobs import workers
from apps.jobs.states import FINAL, State
from apps.portal.cases import drawing, pages
from apps.portal.cases.commands import piped, wrong_flow
from apps.portal.cases.shapes import Shape, check_shape
from apps.portal.cases.visitor import BY, visitor
from apps.runs.actions import cancel_run, start_run
from apps.runs.models import Run
from apps.runs.waiting import wait
from apps.testruns.cases.checks import Skip, check
from apps.testruns.cases.model import Place
from apps.testruns.models import TestRun

DEV = ("dev",)
PAGES_SECONDS = 120.0
BROWSER_SECONDS = 120.0
FINISHED_MS = 60_000


@check("L5", title="each example flow runs through a worker and leaves its outputs", environments=DEV, timeout=180)
def examples_run(place: Place) -> str:
    try:
        flows = _examples(place)
        for flow in flows:
            _run(flow, place)
        return f"{len(flows)} flows ran"
    finally:
        connection.close()


def _examples(place: Place) -> list[Flow]:
    if not workers.alive(Environment.objects.get(slug=place.environment).queue):
        raise Skip("no worker is alive: start the portal with `make run`")
    names = sorted(path.stem for path in settings.EXAMPLES.glob("*/*.flow"))
    flows = Flow.objects.filter(name__in=names, archived_at__isnull=True, current__isnull=False)
    if not flows:
        raise Skip("the examples are not loaded here: `make run` loads them on its first start")
    return list(flows.select_related("current__flow").order_by("name"))


def _run(flow: Flow, place: Place) -> None:
    environment = Environment.objects.get(slug=place.environment)
    assert flow.current is not None
    run = wait(start_run(by=BY, version=flow.current, environment=environment, params={}))
    assert run.state == State.SUCCEEDED, f"run {run.pk} of {flow.name} {run.state}: {run.message}"
    outputs = list(run.outputs.all())
    assert outputs, f"run {run.pk} of {flow.name} left no output"
    for output in outputs:
        assert (environment.workspace / output.path).exists(), f"{output.path} of run {run.pk} is not there"


# --- pages ---------------------------------------------------------------------------------------------


@check("L5", title="each page that links lead to answers with sound HTML", environments=DEV, timeout=PAGES_SECONDS)
def pages_are_sound() -> str:
    """From the front page on, with a temporary account that may see everything and change nothing: 200, elements that
    close, ids that are there once, a title, no piece of a template left, no link that leads nowhere."""
    address = drawing.need_portal()
    with visitor(Role.AUDITOR, seconds=PAGES_SECONDS) as who:
        reader = pages.Reader(address)
        reader.log_in(who)
        walk = pages.Walk(reader)
        found = [f"{path}: {fault}" for path, faults in walk.pages() for fault in faults]
    assert not found, f"{len(found)} faults:\n" + "\n".join(found[:12])
    for name in ("portal:overview", "flows:list", "runs:list", "testruns:list", "portal:audit", "admin:index"):
        assert name in walk.seen, f"no link leads to {reverse(name)}"
    return f"{sum(walk.seen.values())} pages of {len(walk.seen)} kinds"


@check("L5", title="a browser logs in and runs a flow to its end", environments=DEV, timeout=BROWSER_SECONDS)
def browser_runs_a_flow(place: Place) -> str:
    """As an author does: log in, open the flow, run it, watch until the page says that it succeeded."""
    address = drawing.need_portal()
    drawing.need_chromium()
    try:
        flow = _examples(place)[0]
    finally:
        connection.close()
    said = drawing.Complaints()
    with visitor(Role.AUTHOR, environment=place.environment, seconds=BROWSER_SECONDS) as who:
        try:
            with drawing.browser() as browser:
                page = browser.new_page(base_url=address)
                page.set_default_timeout(drawing.PATIENCE_MS)
                said.watch(page)
                drawing.log_in(page, who)
                page.goto(reverse("flows:detail", args=[flow.name]))
                page.get_by_role("link", name="Run", exact=True).click()
                page.get_by_role("button", name="Run").click()
                page.wait_for_url(re.compile(r"/runs/\d+/$"))
                state = page.locator("#run-top .state", has_text=re.compile("|".join(FINAL)))
                state.wait_for(timeout=FINISHED_MS)
                assert state.inner_text() == State.SUCCEEDED, f"{page.url} says {state.inner_text()}"
        finally:
            number = _settle_runs_of(who.username)
    assert not said, f"the browser complains: {said[0]}"
    return f"run {number} of {flow.name}"


def _settle_runs_of(username: str) -> int | None:
    """Cancel what the browser began and did not see end. Returns the number of the newest; the row itself stays, as of
    every run."""
    try:
        runs = list(Run.objects.filter(requested_by=username).select_related("environment").order_by("pk"))
        for run in runs:
            if not run.is_final:
                cancel_run(by=BY, run=run)
        return runs[-1].pk if runs else None
    finally:
        connection.close()


# --- what programs read of us --------------------------------------------------------------------------

DIAGNOSTIC = {
    "severity": str, "code": str, "message": str, "hint": str | None,
    "line": int, "column": int, "end_line": int, "end_column": int,
}  # fmt: skip
RUN: dict[str, Shape] = {
    "version": int,
    "status": str,
    "seconds": int | float | None,
    "error": dict | None,
    "steps": [{"name": str, "status": str, "rows": int | None, "seconds": int | float | None}],
    "outputs": [{"name": str, "path": str, "rows": int | None, "bytes": int | None}],
    "checks": [{"step": str, "check": str, "severity": str, "ok": bool, "failed_rows": int | None}],
}
TESTS = {
    "version": int, "passed": int, "failed": int,
    "cases": [{"file": str, "title": str, "ok": bool, "message": str, "seconds": int | float}],
}  # fmt: skip
BRIDGE = {
    "version": int, "environment": str, "session": str, "state": str, "layers_done": [str],
    "transitions": [{"seq": int, "from": str | None, "to": str, "actor": str, "at": str, "reason": str}],
}  # fmt: skip


def _files(**more: Any) -> dict[str, Shape]:
    return {"version": int, "files": [{"path": str, "ok": bool, "diagnostics": [DIAGNOSTIC], **more}]}


@check("L5", title="each command on files answers in the form that is promised", environments=DEV, timeout=120)
def commands_on_files_answer_in_json() -> None:
    flows = sorted(settings.EXAMPLES.glob("*/*.flow"))
    if not flows:
        raise Skip("the examples are not shipped here")
    names = list(map(str, flows))
    with tempfile.TemporaryDirectory(prefix="case-") as folder:
        wrong = wrong_flow(Path(folder))
        checked = _answer("flow", "check", *names, wrong, shape=_files(), status=1)
        assert [each["ok"] for each in checked["files"]] == [*([True] * len(names)), False], "other files are right"
        assert checked["files"][-1]["diagnostics"], "flow check does not say what is wrong"
        _answer("flow", "format", "--check", *names, shape=_files(changed=bool))
        tested = _answer("flow", "test", *names, shape=TESTS)
        assert tested["failed"] == 0, f"{tested['failed']} tests of the examples fail"
        workspace = Path(folder) / "workspace"
        shutil.copytree(flows[0].parent / "data", workspace)
        ran = _answer("flow", "run", names[0], "--workspace", str(workspace), shape=RUN)
        assert ran["outputs"], f"flow run {flows[0].name} tells of no output"
        drawn = json.loads(_said("flow", "graph", names[0], "--format", "json"))
        check_shape(drawn, {"version": int, "nodes": [{"id": str, "kind": str}], "edges": [{"from": str, "to": str}]})


@check("L5", title="each command of the portal answers in the form that is promised", environments=DEV, timeout=120)
def commands_of_the_portal_answer_in_json(place: Place) -> None:
    verified = _answer(
        "audit", "verify", shape={"version": int, "ok": bool, "events": int, "first_bad": int | None, "message": str}
    )
    assert verified["ok"], verified["message"]
    _answer("audit", "head", shape={"version": int, "seq": int, "digest": str})
    event = {"seq": int, "at": str, "kind": str, "actor": str, "target": str, "environment": str, "detail": dict}
    _answer("audit", "list", "--limit", "5", shape={"version": int, "events": [event]})
    _answer("accounts", "list", shape={"version": int, "accounts": [dict]})
    try:
        flow = Flow.objects.filter(archived_at__isnull=True, current__isnull=False, name__in=_example_names()).first()
    finally:
        connection.close()
    if flow is not None:
        _answer("flow", "run", flow.name, "--env", place.environment, "--wait", shape={"run": int, **RUN})


def _example_names() -> list[str]:
    return [path.stem for path in settings.EXAMPLES.glob("*/*.flow")]


@check("L5", title="the bridge's commands answer in the form that is promised", environments=DEV, timeout=60)
def bridge_answers_in_json(place: Place) -> None:
    """In a data folder of the case's own: the real one has a session, that of this test run."""
    with tempfile.TemporaryDirectory(prefix="case-") as folder:
        of = ["--env", place.environment]
        refusal = {"version": int, "error": {"code": str, "message": str, "cure": str}}
        none = _answer("bridge", "status", *of, shape=refusal, status=1, data=folder)
        assert none["error"]["code"] == "no_session", f"without a session it says {none['error']['code']}"
        for verb in (["init"], ["layer", "L0"], ["case", "pass", "it answers"], ["offer"], ["accept"], ["status"]):
            answer = _answer("bridge", *verb, *of, shape=BRIDGE, data=folder)
        assert (answer["state"], answer["layers_done"]) == ("handoff_accepted", ["L0"]), f"it stands at {answer}"
        problems = {"version": int, "ok": bool, "problems": [{"code": str, "message": str}]}
        verified = _answer("bridge", "verify", *of, shape=problems, data=folder)
        assert verified["ok"], f"bridge verify finds {verified['problems']}"


@check("L5", title="the exports of a test run open in what reads them", environments=DEV, timeout=60)
def exports_open(place: Place) -> str:
    try:
        newest = TestRun.objects.filter(environment__slug=place.environment).order_by("-pk").first()
    finally:
        connection.close()
    if newest is None:
        raise Skip("no test run has been started here yet")
    number = str(newest.pk)
    suites = ET.fromstring(_said("testrun", "export", number, "--format", "junit"))  # noqa: S314  our own
    assert suites.tag == "testsuites", f"JUnit begins with <{suites.tag}>"
    tap = _said("testrun", "export", number, "--format", "tap").splitlines()
    assert tap[0] == "TAP version 14", f"TAP begins with {tap[0]!r}"
    assert any(re.fullmatch(r"1\.\.\d+", line) for line in tap), "TAP has no plan"
    summary = dict.fromkeys(("tests", "passed", "failed", "skipped"), int)
    ctrf = json.loads(_said("testrun", "export", number, "--format", "ctrf"))
    check_shape(ctrf, {"results": {"tool": {"name": str}, "summary": summary, "tests": [{"name": str, "status": str}]}})
    return f"of test run {number}"


def _answer(*arguments: str, shape: Shape, status: int = 0, data: str = "") -> Any:
    """What a command prints with --json: one document of that shape and version 1, and nothing else."""
    said = _said(*arguments, "--json", status=status, data=data)
    command = _name(arguments)
    try:
        document = json.loads(said)
    except ValueError:
        raise AssertionError(f"{command} prints no JSON document: {said[:200]!r}") from None
    check_shape(document, shape, command)
    assert document["version"] == 1, f"{command}: its version is {document['version']}"
    return document


def _said(*arguments: str, status: int = 0, data: str = "") -> str:
    done = piped(*arguments, **({"FLOWCONTROL_DATA": data} if data else {}))
    said = done.stderr.decode("utf-8", "replace").strip()
    assert done.returncode == status, f"{_name(arguments)} ends with {done.returncode}, not {status}: {said[-500:]}"
    return done.stdout.decode("utf-8")


def _name(arguments: Sequence[str]) -> str:
    return " ".join(arguments[:2])
